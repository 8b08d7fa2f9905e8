#!/usr/bin/env bash
# Makes .venv in the checkout: Ramferry, editable, with all of its extras and development tools,
# at the versions of tools/constraints.txt. Does nothing where that is done already.
#
#   PYTHON=/path/to/python3 tools/venv.sh    uses that Python (3.11 or later)
set -euo pipefail
cd "$(dirname -- "$0")/.."
# shellcheck source=tools/host.sh
. tools/host.sh

venv=.venv
stamp=$venv/.ramferry-stamp

# What the environment was made from; the folder counts, because a venv does not survive a move.
recipe() {
    { pwd && cat pyproject.toml tools/constraints.txt tools/venv.sh; } | sha256sum
}

is_current() {
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$1" ] && "$venv/bin/python" -c '' 2>/dev/null
}

new_enough='import sys; sys.exit(sys.version_info < (3, 11))'

# Prints the first Python that is new enough, and can make environments where $1 is "complete".
find_python() {
    local candidate test=$new_enough
    [ "$1" = complete ] && test="import ensurepip, venv; $new_enough"
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$candidate" -c "$test" 2>/dev/null; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

require_python() {
    find_python complete && return 0
    if [ -z "${PYTHON:-}" ] && may_install; then
        say "installing python3-venv with apt-get"
        apt_install python3-venv || fail "apt-get could not install python3-venv (its words are above)."
        find_python complete && return 0
    fi
    if find_python any >/dev/null; then
        fail "this Python cannot make virtual environments: install Debian's python3-venv" \
            "(as root: apt-get install python3-venv) and run this again."
    fi
    fail "there is no Python 3.11 or later here: install python3 and python3-venv of Debian 12" \
        "or later, or name one with PYTHON=/path/to/python3."
}

make_environment() {
    local python=$1
    say "making $venv with $("$python" --version 2>&1)"
    if ! "$venv/bin/python" -c "import pip; $new_enough" 2>/dev/null; then
        "$python" -m venv --clear "$venv"
    fi
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
    local pip=("$venv/bin/python" -m pip install --quiet --constraint tools/constraints.txt)
    # The build backend first, so that it is pinned too: an isolated build would ignore the pins.
    "${pip[@]}" hatchling editables &&
        "${pip[@]}" --no-build-isolation --editable '.[report,bench,metrics,dev]'
}

# An activated environment, and settings for another Python, must not leak into this one.
unset VIRTUAL_ENV PYTHONHOME PYTHONPATH

wanted=$(recipe)
is_current "$wanted" && exit 0
python=$(require_python)
make_environment "$python" ||
    fail "pip could not install what Ramferry needs (its words are above); is a package index in reach?"
printf '%s\n' "$wanted" >"$stamp"
