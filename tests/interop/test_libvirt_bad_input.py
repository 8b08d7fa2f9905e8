"""``ramferry migrate libvirt:DOMAIN`` of domains, and by folders, that cannot go; and one with a
disk."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from libvirt_command import ALPHA, BETA, begin, migrate, nothing_left
from libvirt_files import QEMU_USER
from libvirting import NAMES, Ended, LibvirtHosts, domain
from sshing import TAKES_ROOT, until

pytestmark = [pytest.mark.interop, TAKES_ROOT, pytest.mark.slow]

IMAGES = "/var/lib/libvirt/images"
DISK = f"""\
<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/>
<source file='{IMAGES}/disk.qcow2'/><target dev='vda' bus='virtio'/></disk>"""
PANIC = "<panic model='isa'/>"
MEGABYTES = 8


@pytest.fixture
def images(
    libvirts: LibvirtHosts, require_peer: Callable[[str], Path]
) -> Iterator[dict[str, Path]]:
    """An image for DISK on both hosts, of which alpha's has content."""
    tool = require_peer("qemu-img")
    raw = libvirts.folder / "disk.raw"
    content = np.random.default_rng(7).integers(0, 256, MEGABYTES << 20, np.uint8)
    raw.write_bytes(content.tobytes())
    made = {}
    for host in NAMES:
        path = made[host] = libvirts.own(host, f"{IMAGES}/disk.qcow2")
        path.parent.mkdir(exist_ok=True)
        if host == ALPHA:
            line = [tool, "convert", "-O", "qcow2", raw, path]
        else:
            line = [tool, "create", "-q", "-f", "qcow2", path, f"{MEGABYTES}M"]
        subprocess.run(line, check=True)
        os.chown(path, QEMU_USER, QEMU_USER)
    yield made
    for path in made.values():
        path.unlink()


def refused(ended: Ended, code: int) -> str:
    """What the command said, which ended so."""
    print(ended.returncode, ended.stderr)
    assert ended.returncode == code, ended.stderr
    return ended.stderr


def test_a_snapshot(libvirts: LibvirtHosts, images: dict[str, Path]) -> None:
    with domain(libvirts, devices=DISK) as guest:
        path = libvirts.folder / f"{guest.name}.xml"
        assert libvirts.virsh(ALPHA, "define", path).returncode == 0
        line = ("snapshot-create-as", guest.name, "before", "--disk-only")
        made = libvirts.virsh(ALPHA, *line, "--diskspec", f"vda,file={IMAGES}/overlay.qcow2")
        print(made)
        line = ("snapshot-create-as", guest.name, "before")
        if made.returncode: print(libvirts.virsh(ALPHA, *line, seconds=100))
        ended = begin(guest).wait()
        print(ended.returncode, ended.stderr)
        print(libvirts.virsh(ALPHA, "snapshot-delete", guest.name, "before", "--metadata"))


def test_a_domain_that_has_crashed(libvirts: LibvirtHosts) -> None:
    with domain(libvirts, devices=PANIC, crashes="preserve") as guest:
        poke = ("qemu-monitor-command", "--hmp", guest.name, "o /b 0x505 1")
        assert libvirts.virsh(ALPHA, *poke).returncode == 0
        until("it has crashed", lambda: guest.state(ALPHA) == "crashed")
        said = refused(begin(guest).wait(), 2)
        assert "the domain guest is crashed: only one that is running or paused" in said
        assert guest.state(BETA) == ""


@pytest.mark.parametrize("hosts", [(ALPHA,), (BETA,)])
def test_a_folder_that_qemu_may_not_use(libvirts: LibvirtHosts, hosts: tuple[str, ...]) -> None:
    folder = f"/run/closed-{hosts[0]}"
    for host in NAMES:
        path = libvirts.own(host, folder)
        path.mkdir()
        path.chmod(0o700 if host in hosts else 0o1777)
    with domain(libvirts) as guest:
        ended = begin(guest, "--socket-folder", folder).wait()
        print(ended.returncode, ended.stderr)
        nothing_left(guest, ALPHA)
        for host in NAMES:
            assert list(libvirts.own(host, folder).iterdir()) == []


def test_a_folder_that_is_not_there(libvirts: LibvirtHosts) -> None:
    with domain(libvirts) as guest:
        ended = begin(guest, "--socket-folder", "/run/nowhere").wait()
        print(ended.returncode, ended.stderr)
        nothing_left(guest, ALPHA)


DEVICES = {
    "9p": "<filesystem type='mount' accessmode='passthrough'><source dir='/run'/><target dir='s'/></filesystem>",
    "usb": "<hostdev mode='subsystem' type='usb'><source startupPolicy='optional'><vendor id='0x1234'/><product id='0xbeef'/></source></hostdev>",
    "cache": DISK.replace("none", "unsafe"),
    "tpm": "<tpm model='tpm-tis'><backend type='emulator' version='2.0'/></tpm>",
    "host-scsi": "<hostdev mode='subsystem' type='scsi_host'><source protocol='vhost' wwpn='naa.5123456789abcde0'/></hostdev>",
    "host-pci": "<hostdev mode='subsystem' type='pci' managed='no'><source><address domain='0' bus='0' slot='0' function='0'/></source></hostdev>",
}


@pytest.mark.parametrize("device", DEVICES)
def test_explore(libvirts: LibvirtHosts, device: str, images) -> None:
    with domain(libvirts, devices=DEVICES[device]) as guest:
        ended = begin(guest).wait()
        print(ended.returncode, ended.stderr)


@pytest.mark.parametrize("libvirts", ["stock", "newer"], indirect=True)
def test_a_disk_that_libvirt_copies(
    libvirts: LibvirtHosts, images: dict[str, Path], require_peer: Callable[[str], Path]
) -> None:
    with domain(libvirts, devices=DISK) as guest:
        said = refused(begin(guest).wait(), 5)
        assert guest.runs(ALPHA)
        found = migrate(guest, "--copy-storage", "all")
        nothing_left(guest, BETA)
        print(json.dumps(found)[:500])
        libvirts.virsh(BETA, "suspend", guest.name)
    compare = (require_peer("qemu-img"), "compare", "-f", "raw", "-F", "qcow2")
    subprocess.run([*compare, libvirts.folder / "disk.raw", images[BETA]], check=True)
