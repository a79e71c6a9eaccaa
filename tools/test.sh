#!/bin/sh
# Every test. Run it by `make test`, which sets up the environment first.
set -eu
rm -rf build/scratch build/state/build .coverage .coverage.*
sh tools/system_packages.sh python chromium
echo "== code style"
ruff check .
ruff format --check .
echo "== CITATION.cff"
check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
echo "== notebooks against their executed references (nbval)"
python -m pytest --nbval --nbval-current-env --nbval-cell-timeout=600 tests/reference
echo "== unit tests, property tests, the whole pipeline at smoke size"
python -m pytest tests patchseg --ignore=tests/reference --cov --cov-report=term-missing:skip-covered --cov-fail-under=95
