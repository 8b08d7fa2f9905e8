# Shared by the scripts of this folder: how to speak to a person, and what this host lets us do.
# Sourced, never run. Messages are one sentence each, on standard error.
# shellcheck shell=bash

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
    say "$@"
    exit 1
}

# True where Debian packages may be installed without asking anyone: root, on a Debian or Ubuntu.
may_install() { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; }

# apt_install PACKAGE...: installs Debian packages and only what they depend on. Asks nothing;
# prints apt's own words only where it fails.
apt_install() {
    local log
    log=$(mktemp)
    if { apt-get -q update && apt_get_install "$@"; } </dev/null >"$log" 2>&1; then
        rm -f "$log"
        return 0
    fi
    cat "$log" >&2
    rm -f "$log"
    return 1
}

apt_get_install() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "$@"
}

# Prints the time that what is built here bears, in seconds: SOURCE_DATE_EPOCH if it is set, else that
# of the commit that is checked out, else, in an unpacked sdist, that of its change log.
source_date() {
    [ -z "${SOURCE_DATE_EPOCH:-}" ] || { echo "$SOURCE_DATE_EPOCH" && return; }
    git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md
}

# Prints the extras of Ramferry that a user may want, with commas between them: all but dev.
extras() {
    .venv/bin/python -c '
import tomllib
with open("pyproject.toml", "rb") as file:
    groups = tomllib.load(file)["project"]["optional-dependencies"]
print(",".join(group for group in groups if group != "dev"))'
}

# Prints the address of this host's own Debian archive, as apt knows it from whatever file and
# format the sources are written in, also before a first `apt-get update`; nothing where it has none.
debian_archive() {
    local id='' codename=''
    [ -r /etc/os-release ] && {
        id=$(. /etc/os-release && printf '%s' "${ID:-}")
        codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-none}")
    }
    [ "$id" = debian ] || return 0
    # shellcheck disable=SC2016 # apt fills these in, not the shell
    apt-get indextargets --no-release-info --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' \
        'Created-By: Packages' |
        awk -v suite="$codename" '$2 == "main" && !/ cdrom:/ &&
            ($1 == suite || $1 ~ /^(oldstable|stable|testing|unstable|sid)$/) { print $3; exit }'
}
