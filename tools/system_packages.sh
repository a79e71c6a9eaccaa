#!/bin/sh
# Debian and Ubuntu split venv off Python: install it where it is missing and we may. Usage: system_packages.sh PYTHON [chromium]
# With "chromium" also the browser of the tests, if we may; without it those tests skip.
set -eu
"$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || {
    echo "patchseg needs Python 3.11 to 3.13, but $1 is $("$1" --version 2>&1); call make PYTHON=python3.11" >&2
    exit 1
}
missing=""
"$1" -c 'import ensurepip, venv' 2>/dev/null || missing="python3-venv"
command -v git >/dev/null || missing="$missing git"
if [ "${2:-}" = chromium ] && ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then missing="$missing chromium"; else echo "no Chromium here: the tests that look at pages skip"; fi
fi
[ -z "$missing" ] && exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing
else
    echo "please install first: $missing (Debian, Ubuntu: sudo apt-get install $missing)" >&2
    exit 1
fi
