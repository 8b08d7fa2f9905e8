#!/usr/bin/env bash
# Gets the programs Ramferry is tested against; does nothing where they are there already.
#
#   tools/peers.sh qemu   a qemu-system-x86_64 on the PATH
#   tools/peers.sh        that, a C compiler, Chromium, an SSH client, libvirt, systemd-analyze, and
#                         under build/peers: Debian 13's QEMU 10.0, libvirt 11.3, nasm, the real qzip
#                         and libqatzip, and OpenSSH's server
#
# Only QEMU, cc, chromium, ssh, ip, libvirtd, virsh and systemd-analyze on the PATH are installed on
# the system, and only with root's rights. Of libvirt that is its programs without Debian's packages
# that set it up: no account, no unit and no settings, so that nothing of it runs. Everything else is
# fetched with a private apt configuration and unpacked under
# build/peers/trixie, which takes no rights. The commands in build/peers/bin run those programs with
# their own dynamic loader and libraries: they see the caller's files, sockets and devices, and keep
# the caller's process id.
#
# A peer that cannot be had costs one sentence and is skipped; with RAMFERRY_REQUIRE_PEERS=1 it is
# a failure.
set -euo pipefail
cd "$(dirname -- "$0")/.."
# shellcheck source=tools/host.sh
. tools/host.sh

peers=$PWD/build/peers
suite=trixie
qemu_version=10.0
libvirt_version=11.3
qemu=bin/qemu-system-x86_64-$qemu_version
qzip=bin/qzip
nasm=bin/nasm
sshd=bin/sshd
libvirtd=bin/libvirtd-$libvirt_version
virsh=bin/virsh-$libvirt_version
missing=0

miss() {
    say "$@"
    missing=1
}

# on_path COMMAND WHAT PACKAGE...: has apt install the packages where the command is not on the PATH
# and they may be installed; else says that the tests which need WHAT are skipped.
on_path() {
    local command=$1 skipped="what needs $2 is skipped"
    shift 2
    PATH=$PATH:/usr/sbin:/sbin command -v "$command" >/dev/null && return 0
    if may_install; then
        say "installing $* with apt-get"
        apt_install "$@" && return 0
        miss "apt-get could not install $* (its words are above): $skipped."
        return 0
    fi
    miss "there is no $command on the PATH: install it (Debian, as root: apt-get install $*);" \
        "until then $skipped."
}

qemu_on_path() { on_path qemu-system-x86_64 'a QEMU' qemu-system-x86; }

# The stand-ins for libqatzip and libqat (tests/standin) are compiled when a test asks for them.
compiler() { on_path cc 'a stand-in for a device' gcc libc6-dev; }

# The pages of `ramferry report` are looked at in it; Ubuntu has no such package.
browser() { on_path chromium 'a browser' chromium; }

# `ramferry migrate … ssh://HOST/…` starts it.
ssh_client() { on_path ssh 'an SSH client' openssh-client; }

# Two hosts are played by network namespaces, with a libvirtd each.
libvirts() {
    on_path ip 'a network namespace' iproute2
    on_path libvirtd 'a libvirt' libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients
    on_path virsh 'a libvirt' libvirt-clients
}
# It reads the unit of packaging/systemd and knows which system calls that allows; libseccomp, with
# which the tests allow a relay the same, comes with it.
unit_reader() { on_path systemd-analyze 'a reader of systemd units' systemd; }

# private_apt FOLDER ARCHIVE: writes a configuration under which apt knows nothing but that suite,
# has nothing installed, and leaves the system's own state alone. The host's own proxies and
# certificates still apply; its hooks do not.
private_apt() {
    local folder=$1 archive=$2 keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed=''
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    : >"$folder/status"
    if [ -r "$keyring" ]; then signed=" signed-by=$keyring"; fi
    printf 'deb [arch=amd64%s] %s %s main\n' "$signed" "$archive" "$suite" >"$folder/sources.list"
    cat >"$folder/apt.conf" <<END
#clear APT::Update;
#clear DPkg;
#clear APT::Architectures;
#clear APT::Default-Release;
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Retries "3";
Acquire::Languages "none";
Debug::NoLocking "true";
Dir::State "$folder";
Dir::State::lists "$folder/lists";
Dir::State::status "$folder/status";
Dir::Cache "$folder/cache";
Dir::Cache::archives "$folder/cache/archives";
Dir::Etc::sourcelist "$folder/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
END
}

# unpack FOLDER: downloads the packages with all they depend on, and unpacks them in FOLDER/tree
# without running anything of theirs.
unpack() {
    local folder=$1 deb
    local apt=(apt-get -q -y -c "$folder/apt.conf" -o Dpkg::Use-Pty=0)
    "${apt[@]}" update || return 1
    "${apt[@]}" install --download-only qemu-system-x86 nasm qatzip libqatzip3 openssh-server \
        libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients || return 1
    mkdir -p "$folder/tree"
    for deb in "$folder"/cache/archives/*.deb; do
        dpkg-deb -x "$deb" "$folder/tree" || return 1
    done
}

# keep TREE KEPT: moves the programs, the libraries and the firmware; the rest is not needed.
keep() {
    local tree=$1/usr kept=$2
    mkdir "$kept" "$kept/bin" "$kept/share" &&
        mv "$tree/bin/qemu-system-x86_64" "$tree/bin/nasm" "$tree/bin/qzip" "$kept/bin/" &&
        mv "$tree/sbin/sshd" "$tree/lib/openssh/sshd-session" "$tree/lib/openssh/sshd-auth" \
            "$kept/bin/" &&
        mv "$tree/sbin/libvirtd" "$tree/bin/virsh" "$tree/bin/virt-ssh-helper" "$kept/bin/" &&
        mv "$tree/share/qemu" "$tree/share/seabios" "$tree/share/libvirt" "$kept/share/" &&
        mv "$tree/lib/x86_64-linux-gnu" "$kept/lib"
}

# write_command FILE PROGRAM OPTIONS [NAME]: a command that runs the tree's PROGRAM, which is called
# NAME there (PROGRAM by default). It finds the tree from where it lies itself, so that the checkout
# may move; `exec` keeps the process id. OPTIONS and NAME may name that tree as $tree, and the folder
# of the commands as $bin.
write_command() {
    mkdir -p "${1%/*}"
    cat >"$1" <<END
#!/bin/sh
# Written by tools/peers.sh: runs $2 of Debian's $suite with its own loader and libraries.
here=\$(readlink -f -- "\$0")
bin=\${here%/*}
tree=\${bin%/*}/$suite
export QEMU_MODULE_DIR="\$tree/lib/qemu" LIBVIRT_DRIVER_DIR="\$tree/lib/libvirt/connection-driver"
exec "\$tree/lib/ld-linux-x86-64.so.2" --inhibit-cache --library-path "\$tree/lib" \\
    --argv0 ${4:-$2} "\$tree/bin/$2" $3 "\$@"
END
    chmod +x "$1"
}

# try_out FOLDER: QEMU is of the expected version and brings up a paused machine with its own
# firmware, nasm assembles, qzip returns a file as it was, libqatzip is there, and sshd and libvirt say
# their versions.
try_out() {
    local qemu=$1/$qemu qzip=$1/$qzip nasm=$1/$nasm sample=$1/sample
    echo "Expecting QEMU $qemu_version:"
    "$qemu" --version | grep -F "version $qemu_version." || return 1
    echo "Bringing up a paused machine:"
    printf '{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n' |
        "$qemu" -nodefaults -display none -machine pc -accel tcg -S -qmp stdio | grep '"SHUTDOWN"' ||
        return 1
    echo "Assembling one instruction with nasm:"
    echo nop >"$sample" && "$nasm" -f bin -o "$1/nop" "$sample" || return 1
    echo "Compressing a file with qzip and decompressing it:"
    cp "$1/$suite/share/seabios/bios-256k.bin" "$sample" && "$qzip" -k "$sample" &&
        "$qzip" -d -k -o "$1/again" "$sample.gz" && cmp "$sample" "$1/again" || return 1
    echo "Looking for libqatzip:"
    ls "$1/$suite/lib/libqatzip.so.3" || return 1
    echo "Asking sshd for its version:"
    "$1/$sshd" -V || return 1
    echo "Expecting libvirt $libvirt_version:"
    "$1/$libvirtd" --version | grep -F " $libvirt_version." &&
        "$1/$virsh" --version | grep "^$libvirt_version\\." &&
        ls "$1/$suite/lib/libvirt/connection-driver/libvirt_driver_qemu.so"
}

# fetch ARCHIVE: nothing appears in build/peers before it was tried out. Every step is chained,
# because `set -e` does not reach into a condition.
fetch() {
    local folder=$peers/.fetch
    rm -rf "$folder" && private_apt "$folder" "$1" && unpack "$folder" || return 1
    # shellcheck disable=SC2016 # $tree is the command's own variable
    keep "$folder/tree" "$folder/$suite" &&
        write_command "$folder/$qemu" qemu-system-x86_64 \
            '-L "$tree/share/qemu" -L "$tree/share/seabios"' &&
        write_command "$folder/$nasm" nasm '' &&
        write_command "$folder/$qzip" qzip '' &&
        write_command "$folder/bin/sshd-session" sshd-session '' &&
        write_command "$folder/bin/sshd-auth" sshd-auth '' &&
        write_command "$folder/$sshd" sshd \
            '-o SshdSessionPath="$bin/sshd-session" -o SshdAuthPath="$bin/sshd-auth"' '"$bin/sshd"' &&
        write_command "$folder/$libvirtd" libvirtd '' &&
        write_command "$folder/$virsh" virsh '' &&
        write_command "$folder/bin/virt-ssh-helper-$libvirt_version" virt-ssh-helper '' &&
        try_out "$folder" || return 1
    rm -rf "${peers:?}/$suite" "${peers:?}/bin" &&
        mv "$folder/$suite" "$folder/bin" "$peers/" && rm -rf "$folder"
}

is_current() {
    [ -f "$peers/stamp" ] && [ "$(cat "$peers/stamp")" = "$1" ] &&
        [ -x "$peers/$qemu" ] && [ -x "$peers/$nasm" ] && [ -x "$peers/$qzip" ] &&
        [ -x "$peers/$sshd" ] && [ -x "$peers/$libvirtd" ] && [ -x "$peers/$virsh" ]
}

trixie_peers() {
    local what="QEMU $qemu_version, libvirt $libvirt_version, nasm, qzip, libqatzip and sshd of Debian 13" skipped="the tests that need them are skipped."
    local wanted archive
    wanted=$(sha256sum <tools/peers.sh)
    is_current "$wanted" && return 0
    if [ "$(uname -m)" != x86_64 ]; then
        miss "$what are fetched on x86-64 only and this host is $(uname -m): $skipped"
        return 0
    fi
    archive=$(debian_archive)
    if [ -z "$archive" ]; then
        miss "$what cannot be fetched, because this host has no Debian package source: $skipped"
        return 0
    fi
    say "fetching $what into build/peers"
    mkdir -p "$peers"
    if fetch "$archive" </dev/null >"$peers/log" 2>&1; then
        printf '%s\n' "$wanted" >"$peers/stamp"
        return 0
    fi
    rm -rf "$peers/.fetch"
    tail -n 20 "$peers/log" >&2
    miss "$what could not be fetched or do not run here (build/peers/log ends with why): $skipped"
}

case ${1:-all} in
    qemu) qemu_on_path ;;
    all)
        qemu_on_path
        compiler
        browser
        ssh_client
        libvirts
        unit_reader
        trixie_peers
        ;;
    *) fail "the argument is qemu or all, not $1." ;;
esac
[ "$missing" -eq 0 ] || [ "${RAMFERRY_REQUIRE_PEERS:-}" != 1 ] ||
    fail "RAMFERRY_REQUIRE_PEERS=1 is set, so a missing peer is a failure."
