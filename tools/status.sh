#!/bin/sh
# Fail unless dvc.lock and the tracked artefacts belong to this code, data and params.yaml. Nothing is run.
set -eu
planned=$(dvc repro --allow-missing --dry)
echo "$planned" | tail -n 3
if echo "$planned" | grep -q "^Running stage"; then
    echo "$planned" | grep "^Running stage" >&2
    echo "the stages above are out of date: run 'make repro' and commit dvc.lock and artefacts/" >&2
    exit 1
fi
cmp artefacts/scores.csv published/scores.csv || { echo "run 'make publish' and commit published/" >&2; exit 1; }
git diff --exit-code --stat -- artefacts dvc.lock published README.md
