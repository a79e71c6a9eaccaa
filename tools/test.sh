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
echo "== notebooks against their executed references (nbval), the stages beside the others"
nbval="python -m pytest --nbval --nbval-current-env --nbval-cell-timeout=600 -p no:cacheprovider"
$nbval tests/reference/[1-4]*.ipynb & stages=$!
others=0; $nbval tests/reference/[5-9]*.ipynb || others=$?
wait "$stages"
[ "$others" = 0 ]
echo "== unit tests, property tests, the whole pipeline at smoke size: two processes of one thread each"
export OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
[ -n "${PATCHSEG_NIGHTLY:-}" ] && chosen="" || chosen="not nightly"
python -m pytest tests patchseg --ignore=tests/reference -m "$chosen" -n 2 --dist loadfile --no-loadscope-reorder --durations=40 --cov --cov-report=term-missing:skip-covered --cov-fail-under=95
