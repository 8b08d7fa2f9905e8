#!/usr/bin/env bash
# Makes dist/ramferry_VERSION_amd64.deb, for Debian 12, of dist's wheel; `make deb` makes that first.
#
# Debian 12 lacks half of the libraries that Ramferry stands on and has older versions of others. So
# the package is whole: /usr/lib/ramferry is a virtual environment of the system's own Python with all
# of them, as wheels at the versions of tools/constraints.txt. Nothing else on the host sees them.
#
# No rights are needed, and no Debian: pip and dpkg-deb do it. The same commit makes the same bytes.
set -euo pipefail
cd "$(dirname -- "$0")/../.."
# shellcheck source=tools/host.sh
. tools/host.sh

here=packaging/deb
root=build/deb/root
python=3.11
home=usr/lib/ramferry
site=$root/$home/lib/python$python/site-packages
# Debian 12 has glibc 2.36; pip wants each older one named too.
platforms=(manylinux_2_{36,35,34,31,28,27,24,17,12,5}_x86_64 manylinux2014_x86_64)

command -v dpkg-deb >/dev/null || fail "there is no dpkg-deb on the PATH: install dpkg."
wheel=$(ls dist/ramferry-*-py3-none-any.whl 2>/dev/null) || fail "there is no wheel in dist: run make dist."
version=${wheel#dist/ramferry-}
version=${version%%-*}
SOURCE_DATE_EPOCH=$(source_date)
export SOURCE_DATE_EPOCH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# put MODE FILE: what comes on standard input.
put() { install -D -m "$1" /dev/stdin "$root/$2"; }

libraries() {
    # by name and not by path, of which pip would leave a note in the package
    .venv/bin/python -m pip install --quiet --no-compile --target "$site" --only-binary :all: \
        --implementation cp --python-version "$python" "${platforms[@]/#/--platform=}" \
        --find-links dist --constraint tools/constraints.txt "ramferry[$(extras)]==$version"
    # the command is written below; tests are for those who change a library
    rm -rf "$site/bin" "$site/share" "$site/plotly/labextension" "$site"/numpy/*/tests \
        "$site"/numpy/tests "$site"/numpy/*/*/tests
    # how it came here, which is of no use where dpkg keeps the list of files
    rm -f "$site"/*.dist-info/{RECORD,REQUESTED,direct_url.json}
    for installer in "$site"/*.dist-info/INSTALLER; do echo dpkg >"$installer"; done
}

environment() {
    mkdir -p "$root/$home/bin" "$root/usr/bin"
    ln -s /usr/bin/python3 "$root/$home/bin/python3"
    printf 'home = /usr/bin\ninclude-system-site-packages = false\n' | put 644 "$home/pyvenv.cfg"
    put 755 "$home/bin/ramferry" <<END
#!/$home/bin/python3
from ramferry.__main__ import main

main()
END
    ln -s ../lib/ramferry/bin/ramferry "$root/usr/bin/ramferry"
}

shells() {
    local ramferry=.venv/bin/ramferry
    "$ramferry" --completion bash | put 644 usr/share/bash-completion/completions/ramferry
    "$ramferry" --completion zsh | put 644 usr/share/zsh/vendor-completions/_ramferry
    "$ramferry" --completion fish | put 644 usr/share/fish/vendor_completions.d/ramferry.fish
}

documents() {
    local page doc=usr/share/doc/ramferry
    for page in build/man/*.1; do gzip -9n <"$page" | put 644 "usr/share/man/man1/${page##*/}.gz"; done
    gzip -9n <CHANGELOG.md | put 644 "$doc/changelog.gz"
    .venv/bin/python "$here/copyright.py" "$site" | put 644 "$doc/copyright"
    put 644 usr/share/lintian/overrides/ramferry <"$here/lintian-overrides"
    if [ -f packaging/relay.toml ]; then put 644 "$doc/examples/relay.toml" <packaging/relay.toml; fi
}

# The relay as a service, and whose it is.
service() {
    local systemd=packaging/systemd
    mkdir -p "$root/etc/ramferry"
    [ -f "$systemd/ramferry-relay@.service" ] || return 0
    put 644 "lib/systemd/system/ramferry-relay@.service" <"$systemd/ramferry-relay@.service"
    put 644 usr/lib/sysusers.d/ramferry.conf <"$systemd/ramferry.sysusers"
}

control() {
    local script size
    size=$(du -sk --apparent-size "$root" | cut -f 1)
    sed -e "s/@VERSION@/$version/; s/@SIZE@/$size/" "$here/control" | put 644 DEBIAN/control
    for script in postinst prerm postrm; do put 755 "DEBIAN/$script" <"$here/$script"; done
    (cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z |
        xargs -0 md5sum) | put 644 DEBIAN/md5sums
}

# Whatever umask and clock built it. --root-owner-group sees to the owner.
level() {
    chmod -R u=rwX,go=rX "$root"
    find "$root" -newermt "@$SOURCE_DATE_EPOCH" -print0 |
        xargs -0 --no-run-if-empty touch --no-dereference --date="@$SOURCE_DATE_EPOCH"
}

# What is written on this host must not lead back to it.
no_traces() {
    ! grep -rlIF -e "$PWD" -e "$HOME/" "$root" || fail "these name a path of this host (above)."
}

rm -rf build/deb
mkdir -p "$site"
umask 022
libraries
environment
shells
documents
service
control
level
no_traces
# level 1: a fifth larger than by 6, in a quarter of the time
dpkg-deb --root-owner-group -Zxz -z1 --build "$root" "dist/ramferry_${version}_amd64.deb" >/dev/null
ls dist/*.deb
