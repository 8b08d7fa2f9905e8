#!/usr/bin/env bash
# Makes build/chroot/SUITE.tar, a Debian of that suite with nothing but what every Debian has; does
# nothing where it is there already. Takes root's rights, and minutes.
#
#   tools/chroot.sh bookworm
#
# It is made by mmdebstrap, of this host's own package archive. If that is not on the PATH, Debian's
# package of it is unpacked under build/chroot.
set -euo pipefail
cd "$(dirname -- "$0")/.."
# shellcheck source=tools/host.sh
. tools/host.sh

suite=${1:?which suite}
folder=$PWD/build/chroot
tar=$folder/$suite.tar
[ -f "$tar" ] && exit 0
may_install || fail "this takes root's rights, and a Debian."

mkdir -p "$folder"
if ! command -v mmdebstrap >/dev/null; then
    (cd "$folder" && apt-get -qq download mmdebstrap && dpkg-deb -x mmdebstrap_*.deb mmdebstrap) ||
        fail "there is no mmdebstrap on the PATH, and apt-get cannot download it (its words are above)."
    PATH=$folder/mmdebstrap/usr/bin:$PATH
fi
say "making $tar"
# by the name it would take "*.tar.new" for a folder
mmdebstrap --quiet --format=tar --variant=minbase "$suite" "$tar.new" "deb $(debian_archive) $suite main" ||
    fail "mmdebstrap could not make a $suite (its words are above)."
mv "$tar.new" "$tar"
