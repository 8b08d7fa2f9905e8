#!/usr/bin/env bash
# Makes a wheel and an sdist in dist, the same bytes each time from the same commit; `make dist`.
set -euo pipefail
cd "$(dirname -- "$0")/.."
# shellcheck source=tools/host.sh
. tools/host.sh

SOURCE_DATE_EPOCH=$(source_date)
export SOURCE_DATE_EPOCH
mkdir -p dist
rm -f dist/*.whl dist/*.tar.gz
# hatchling of .venv, at its pinned version
.venv/bin/python -m hatchling build --target sdist --target wheel >/dev/null
ls dist/*
