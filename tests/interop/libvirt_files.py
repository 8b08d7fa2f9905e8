"""What the two hosts of ``libvirting`` have in files: accounts, libvirt's settings, domains."""

from __future__ import annotations

from typing import Final

QEMU_USER: Final = 64055
"""Debian's number of the user libvirt-qemu."""

PASSWD = """\
root:x:0:0:root:{home}/root:/bin/sh
nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin
libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin
sshd:x:64999:65534::/run/sshd:/usr/sbin/nologin
"""
GROUP = """\
root:x:0:
tty:x:5:
kvm:x:64054:
libvirt-qemu:x:64055:
nogroup:x:65534:
"""
LIBVIRTD = """\
host_uuid = "{uuid}"
unix_sock_group = "root"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:stderr"
admin_max_clients = 5
"""
# AppArmor and SELinux are not here; ownership is what libvirt changes by itself (dynamic_ownership)
QEMU = """\
user = "libvirt-qemu"
group = "libvirt-qemu"
dynamic_ownership = 1
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
namespaces = []
cgroup_controllers = []
"""
SSHD = """\
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PermitRootLogin yes
PidFile none
SetEnv PATH={path}
"""
SSH = """\
Host {name}
  HostName {address}
  IdentityFile {folder}/key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking yes
"""
HOST = """\
#!/bin/sh
# host NAME COMMAND...: runs a command on one of the two hosts, as sshing's `within` started it
exec unshare --uts sh -c '
    root=$1/$2
    hostname "$2" &&
        mount --bind "$root/passwd" /etc/passwd &&
        mount --bind "$root/group" /etc/group &&
        mount --bind "$1/hosts" /etc/hosts &&
        mount --bind "$root/etc" /etc/libvirt &&
        mount --bind "$root/lib" /var/lib &&
        mount --bind "$root/cache" /var/cache &&
        mount --bind "$root/log" /var/log &&
        mount --bind "$root/run" /run{newer} || exit 98
    # where QEMU may use a slow KVM, libvirt takes a minute to ask it what it can do with that
    [ ! -e /dev/kvm ] || mount --bind "$root/passwd" /dev/kvm || exit 98
    export PATH="$1/newer:$PATH" HOME="$root/home"
    unset XDG_RUNTIME_DIR XDG_CONFIG_HOME XDG_CACHE_HOME XDG_DATA_HOME
    shift 2
    exec "$@"
' sh "{folder}" "$@"
"""
PEERS: Final = "/mnt"
"""Where libvirt and QEMU of another Debian are on both hosts: every user gets there."""
MODULES: Final = "/usr/lib/x86_64-linux-gnu/qemu"
NEWER = f""" &&
        mount --bind "{{peers}}" {PEERS} &&
        mount --bind {PEERS}/trixie/share/libvirt /usr/share/libvirt || exit 98
    # QEMU 10.0 ends itself over a module of another QEMU, which it finds there
    [ ! -d {MODULES} ] || mount --bind {PEERS}/trixie/lib/qemu {MODULES}"""
DOMAIN = """\
<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{megabytes}</memory>
  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='{machine}'>hvm</type><boot dev='fd'/></os>
  <on_poweroff>destroy</on_poweroff>
  <on_crash>{crashes}</on_crash>
  <devices>
    <emulator>{emulator}</emulator>
    <disk type='file' device='floppy'>
      <driver name='qemu' type='raw'/><source file='{boot}'/><target dev='fda'/><readonly/>
    </disk>
    {devices}
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <video><model type='none'/></video>
    <audio id='1' type='none'/>
  </devices>
</domain>
"""
