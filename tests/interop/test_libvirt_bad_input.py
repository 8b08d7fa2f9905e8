"""``ramferry migrate libvirt:DOMAIN`` of domains, and by folders, that cannot go; and of one whose
disk goes too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from libvirt_command import ALPHA, BETA, begin, migrate, nothing_left
from libvirt_files import QEMU_USER
from libvirting import MIB, NAMES, Domain, LibvirtHosts, domain
from qcow2_images import read_image, write_image
from sshing import TAKES_ROOT, until

pytestmark = [pytest.mark.interop, TAKES_ROOT]

SLOW = pytest.mark.slow
IMAGES = "/var/lib/libvirt/images"
DISK = f"""\
<disk type='file' device='disk'>
  <driver name='qemu' type='qcow2' cache='none'/>
  <source file='{IMAGES}/disk.qcow2'/><target dev='vda' bus='virtio'/>
</disk>"""
CONTENT = np.random.default_rng(7).integers(0, 256, 4 * MIB, np.uint8).tobytes()
SIZE = 8 * MIB


@pytest.fixture
def images(libvirts: LibvirtHosts) -> Iterator[dict[str, Path]]:
    """An image for DISK on both hosts, of which only alpha's has content."""
    made = {}
    for host in NAMES:
        path = libvirts.own(host, f"{IMAGES}/disk.qcow2")
        path.parent.mkdir(exist_ok=True)
        made[host] = write_image(path, SIZE, CONTENT if host == ALPHA else b"")
        os.chown(path, QEMU_USER, QEMU_USER)
    yield made
    for path in made.values():
        for one in path.parent.iterdir():
            one.unlink()


def fails(guest: Domain, code: int, *options: object) -> str:
    """The command ends so, the guest runs at the source, and nothing is left anywhere; what it
    said."""
    ended = begin(guest, *options).wait()
    assert ended.returncode == code, ended.stderr
    nothing_left(guest, ALPHA)
    return ended.stderr


def test_a_domain_that_has_crashed(libvirts: LibvirtHosts) -> None:
    with domain(libvirts, devices="<panic model='isa'/>", crashes="preserve") as guest:
        panic = ("qemu-monitor-command", "--hmp", guest.name, "o /b 0x505 1")
        assert libvirts.virsh(ALPHA, *panic).returncode == 0
        until("it has crashed", lambda: guest.state(ALPHA) == "crashed")
        ended = begin(guest).wait()
        assert ended.returncode == 2
        assert "the domain guest is crashed: only one that is running or paused" in ended.stderr
        assert guest.state(BETA) == ""


@SLOW
@pytest.mark.usefixtures("images")
def test_a_snapshot(libvirts: LibvirtHosts) -> None:
    with domain(libvirts, devices=DISK) as guest:
        overlay = f"vda,file={IMAGES}/overlay.qcow2"
        line = ("snapshot-create-as", guest.name, "before", "--disk-only", "--diskspec", overlay)
        made = libvirts.virsh(ALPHA, *line)
        assert made.returncode == 0, made.stderr
        said = fails(guest, 5)
        assert "libvirt says: " in said
        assert "cannot migrate domain with 1 snapshots; the guest runs at the source" in said
        line = ("snapshot-delete", guest.name, "before", "--metadata")
        assert libvirts.virsh(ALPHA, *line).returncode == 0


@SLOW
@pytest.mark.parametrize("host", NAMES)
def test_a_folder_that_qemu_may_not_enter(libvirts: LibvirtHosts, host: str) -> None:
    folder = f"/run/closed-{host}"
    for one in NAMES:
        libvirts.own(one, folder).mkdir()
        libvirts.own(one, folder).chmod(0o700 if one == host else 0o1777)
    with domain(libvirts) as guest:
        said = fails(guest, 5, "--socket-folder", folder)
        assert f"{folder}/ramferry-" in said
        assert "Permission denied; the guest runs at the source" in said
        for one in NAMES:
            assert list(libvirts.own(one, folder).iterdir()) == []


@SLOW
def test_a_folder_that_is_not_there(libvirts: LibvirtHosts) -> None:
    with domain(libvirts) as guest:
        said = fails(guest, 8, "--socket-folder", "/run/nowhere")
        assert "cannot listen on unix:/run/nowhere/ramferry-" in said
        assert "No such file or directory" in said


@SLOW
@pytest.mark.parametrize("libvirts", ["stock", "newer"], indirect=True)
def test_a_disk_that_libvirt_copies(libvirts: LibvirtHosts, images: dict[str, Path]) -> None:
    with domain(libvirts, devices=DISK) as guest:
        said = fails(guest, 5)
        assert "Migration without shared storage is unsafe; the guest runs at the source" in said
        assert not any(read_image(images[BETA]))
        migrate(guest, "--copy-storage", "all")
        nothing_left(guest, BETA)
    assert read_image(images[BETA]) == CONTENT.ljust(SIZE, b"\0")
