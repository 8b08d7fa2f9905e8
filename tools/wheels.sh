#!/usr/bin/env bash
# Installs dist's wheel by pip alone, and tries what it brings; after `make dist`.
#
#   tools/wheels.sh              asks the package index whether all that Ramferry needs, with its
#                                extras, has wheels for each Python from 3.11 to 3.14
#   tools/wheels.sh PYTHON...    installs it in a fresh environment of each of these Pythons: every
#                                module is imported, warnings being errors; doctor, and a file
#                                compressed and decompressed
set -euo pipefail
cd "$(dirname -- "$0")/.."
# shellcheck source=tools/host.sh
. tools/host.sh

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
unset VIRTUAL_ENV PYTHONHOME PYTHONPATH
pythons=(3.11 3.12 3.13 3.14)
# Debian 12 has glibc 2.36; pip wants each older one named too.
platforms=(manylinux_2_{36,35,34,31,28,27,24,17,12,5}_x86_64 manylinux2014_x86_64)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

wheel=$(ls dist/ramferry-*-py3-none-any.whl 2>/dev/null) || fail "there is no wheel in dist: run make dist."
extras=$(extras)

# index_has VERSION: says in pip's words what it would install, and installs nothing.
index_has() {
    local pip=(.venv/bin/python -m pip install --dry-run --quiet --report "$scratch/report.json")
    "${pip[@]}" --ignore-installed --target "$scratch/none" --only-binary :all: \
        --implementation cp --python-version "$1" "${platforms[@]/#/--platform=}" \
        "$wheel[$extras]" 2>"$scratch/log" || { cat "$scratch/log" >&2 && return 1; }
}

every_module='
import importlib, pkgutil, ramferry
for module in pkgutil.walk_packages(ramferry.__path__, "ramferry."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
'

# try_python PYTHON: every step is chained, because `set -e` does not reach into a condition.
try_python() {
    local venv=$scratch/venv ramferry=$scratch/venv/bin/ramferry code=0
    rm -rf "$venv"
    "$1" -m venv "$venv" && "$venv/bin/python" --version &&
        "$venv/bin/python" -m pip install --quiet --only-binary :all: "$wheel[$extras]" \
            2>"$scratch/log" || { cat "$scratch/log" >&2 && return 1; }
    cp README.md "$scratch/file" && rm -f "$scratch/file.gz" &&
        "$venv/bin/python" -W error -c "$every_module" &&
        "$ramferry" --version &&
        "$ramferry" compress --keep "$scratch/file" && rm "$scratch/file" &&
        "$ramferry" decompress --keep "$scratch/file.gz" && cmp README.md "$scratch/file" &&
        gzip -t "$scratch/file.gz" && [ -f "$venv/share/man/man1/ramferry-migrate.1" ] || return 1
    # 10: no QAT device, and software does the work
    "$ramferry" doctor >"$scratch/doctor" || code=$?
    [ "$code" -eq 0 ] || [ "$code" -eq 10 ] || { cat "$scratch/doctor" >&2 && return 1; }
}

if [ $# -eq 0 ]; then
    for version in "${pythons[@]}"; do
        index_has "$version" || fail "Python $version lacks a wheel (pip's words are above)."
        say "Python $version: a wheel for everything"
    done
    exit 0
fi
for python in "$@"; do
    try_python "$python" || fail "$python: it does not install or work (its words are above)."
    say "$python: installed, and it works"
done
