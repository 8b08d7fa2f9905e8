"""Two hosts with a libvirtd each, and a real sshd, so that ``virsh migrate`` works between them.

They are those of ``sshing``, with more that is their own: a host name, accounts, and the folders
of libvirt under /etc, /var and /run. QEMUs run as libvirt-qemu and without KVM. A guest's RAM is a
memfd, which this process maps too.

    with domain(hosts) as guest:
        hosts.virsh("alpha", "migrate", "--live", guest.name, SYSTEM.format("beta"))
        assert guest.runs("beta")
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import libvirt_files as files
import numpy as np
from guests import COMMANDS
from qemu_faults import raise_known
from sshing import FAR, NEAR, ROOT, TwoHosts, two_hosts, until

from ramferry.bench.boot_sector import boot_sector, state
from ramferry.bench.fill import fill
from ramferry.bench.qemu import FLOPPY_BYTES, QemuBinary, qemu_at

MIB = 1024 * 1024
NAMES = ("alpha", "beta")
ADDRESSES = dict(zip(NAMES, (NEAR, FAR), strict=True))
SYSTEM = "qemu+ssh://root@{}/system"
GONE_SECONDS = 5.0
"""Within which libvirt sees that a QEMU has ended."""
OWN = ("home", "etc/qemu", "lib/libvirt", "cache", "log", "run")


@dataclass(frozen=True, slots=True)
class Libvirt:
    """A libvirt and the QEMU that it starts."""

    libvirtd: Path
    virsh: Path
    emulator: QemuBinary
    peers: Path | None = None
    """The folder of tools/peers.sh, which both hosts have at ``libvirt_files.PEERS`` then."""


def stock(find_peer: Callable[[str], Path]) -> Libvirt:
    """Those on the PATH: Debian 12's."""
    return Libvirt(find_peer("libvirtd"), find_peer("virsh"), qemu_at(find_peer(COMMANDS["stock"])))


def newer(find_peer: Callable[[str], Path]) -> Libvirt:
    """Debian 13's; of the host it takes the folders that Debian 12's libvirt has there."""
    stock(find_peer)
    qemu = qemu_at(find_peer(COMMANDS["10.0"]))
    libvirtd, virsh = find_peer("libvirtd-11.3"), find_peer("virsh-11.3")
    there = Path(files.PEERS, "bin")
    return Libvirt(
        there / libvirtd.name,
        there / virsh.name,
        replace(qemu, path=there / qemu.path.name),
        libvirtd.parents[1],
    )


@dataclass
class LibvirtHosts:
    """The two hosts; made by ``libvirt_hosts``."""

    two: TwoHosts
    libvirt: Libvirt

    @property
    def folder(self) -> Path:
        """A folder that both hosts see."""
        return self.two.folder

    def line(self, host: str, *command: object) -> list[str]:
        """The command line that runs a command on a host, as root."""
        own = (self.folder / "host", host, *command)
        return self.two.within(host == NAMES[1], ROOT, *own)

    def start(self, host: str, *command: object, **how: Any) -> subprocess.Popen[str]:
        """Start a command on a host; it ends with the fixture at the latest."""
        own = (self.folder / "host", host, *command)
        return self.two.start(host == NAMES[1], ROOT, *own, **how)

    def run(self, host: str, *command: object, seconds: float = 60) -> Ended:
        """Run a command on a host to its end."""
        return subprocess.run(
            self.line(host, *command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )

    def virsh(self, host: str, *command: object, seconds: float = 60) -> Ended:
        """Run ``virsh`` on a host, with its own libvirtd."""
        line = (self.libvirt.virsh, "-q", "-c", "qemu:///system", *command)
        return self.run(host, *line, seconds=seconds)

    def domains(self, host: str) -> dict[str, str]:
        """The domains that a host knows, running or not, with their states."""
        listed = self.virsh(host, "list", "--all")
        assert listed.returncode == 0, listed.stderr
        rows = (line.split(None, 2) for line in listed.stdout.splitlines() if line.strip())
        return {name: words for _, name, words in rows}

    def log(self, host: str) -> str:
        """What a host's libvirtd complained of."""
        return (self.folder / host / "libvirtd.log").read_text(errors="replace")

    def own(self, host: str, path: str) -> Path:
        """Where this process finds a path of a host's own folders."""
        places = {"/run": "run", "/var/lib": "lib", "/var/log": "log", "/etc/libvirt": "etc"}
        for prefix, place in places.items():
            if path.startswith(f"{prefix}/"):
                return self.folder / host / place / path.removeprefix(f"{prefix}/")
        raise AssertionError(f"{path} is not a host's own")


Ended = subprocess.CompletedProcess[str]


@dataclass
class Domain:
    """A guest that a host's libvirt has started, and can be migrated with ``virsh``."""

    hosts: LibvirtHosts
    name: str

    def pid(self, host: str) -> int:
        """The process id of its QEMU there."""
        found = self.hosts.own(host, f"/run/libvirt/qemu/{self.name}.pid")
        if not found.exists():
            words = f"{self.name} has no QEMU at {host}: {self.last_words(host)}"
            raise_known(words, self.hosts.libvirt.emulator)
            raise AssertionError(words)
        return int(found.read_text())

    def last_words(self, host: str) -> str:
        """The end of what its QEMU and libvirt said of it there."""
        log = self.hosts.own(host, f"/var/log/libvirt/qemu/{self.name}.log")
        return log.read_text(errors="replace")[-2000:] if log.exists() else "it left no log"

    def ram(self, host: str) -> np.ndarray[Any, Any]:
        """Its memory there; it can be read also after its QEMU's end."""
        found: list[np.ndarray[Any, Any]] = []

        def mapped() -> bool:
            # of a QEMU that has just ended there is no memory, and still libvirt's pid file: once
            # that is gone, ``pid`` says why it ended
            with contextlib.suppress(OSError, ValueError):
                for entry in Path(f"/proc/{self.pid(host)}/fd").iterdir():
                    if "memfd:memory-backend" in os.readlink(entry):
                        found.append(np.memmap(entry, np.uint8, "r+"))
                        break
            return bool(found)

        until(f"{self.name} has memory at {host}", mapped, GONE_SECONDS)
        return found[0]

    def state(self, host: str) -> str:
        """As the host's libvirt says it; "" where it does not know it."""
        return self.hosts.domains(host).get(self.name, "")

    def beats(self, host: str) -> int:
        """How far it has run there, seen in its memory."""
        return state(self.ram(host)).beats

    def runs(self, host: str) -> bool:
        """Whether it is seen to go on there."""
        before = self.beats(host)
        until(f"{self.name} runs at {host}", lambda: self.beats(host) > before + 3)
        return self.state(host) == "running"


@contextlib.contextmanager
def domain(
    hosts: LibvirtHosts,
    name: str = "guest",
    *,
    host: str = NAMES[0],
    megabytes: int = 64,
    rate: float = 0.0,
    devices: str = "",
    filled: bool = True,
    crashes: str = "destroy",
) -> Iterator[Domain]:
    """A domain that runs at a host, until then transient; wherever it is in the end, it is ended.

    :param rate: MB/s that it writes, in the upper half of its memory. QEMU 7.2 without KVM loses
        some of that whoever migrates it: there only a guest that writes nothing can be compared.
    :param devices: further devices, XML of libvirt's.
    :param filled: whether its memory holds what a guest's may, rather than zeros.
    :param crashes: what libvirt is to do with it where it panics.
    """
    boot = hosts.folder / f"{name}.img"
    size = megabytes * MIB
    boot.write_bytes(boot_sector(size, first=size // 2, rate=rate).ljust(FLOPPY_BYTES, b"\0"))
    path = hosts.folder / f"{name}.xml"
    emulator = hosts.libvirt.emulator
    words = {"name": name, "uuid": uuid.uuid4(), "megabytes": megabytes, "boot": boot}
    words |= {"emulator": emulator.path, "machine": emulator.machine, "devices": devices}
    words["crashes"] = crashes
    path.write_text(files.DOMAIN.format(**words))
    made = Domain(hosts, name)
    try:
        created = hosts.virsh(host, "create", path, "--paused")
        assert created.returncode == 0, created.stderr + hosts.log(host)
        if filled:
            fill(made.ram(host)[: size if rate == 0 else size // 2])
        assert hosts.virsh(host, "resume", name).returncode == 0
        until(f"{name} has started", lambda: made.beats(host) > 3)
        yield made
    finally:
        for each in NAMES:
            for verb in ("destroy", "undefine"):
                hosts.virsh(each, verb, name)


@contextlib.contextmanager
def libvirt_hosts(libvirt: Libvirt, sshd: Path) -> Iterator[LibvirtHosts]:
    """Make both hosts; their libvirtds answer, and the one's root may log in at the other."""
    with two_hosts(sshd) as two:
        hosts = LibvirtHosts(two, libvirt)
        _files(hosts)
        daemons = [_libvirtd(hosts, name) for name in NAMES]
        for name in NAMES:
            _sshd(hosts, name)
        for name, process in zip(NAMES, daemons, strict=True):
            until(
                f"libvirtd answers at {name}",
                lambda name=name, process=process: (  # type: ignore[misc]
                    process.poll() is not None or hosts.virsh(name, "uri").returncode == 0
                ),
            )
            assert process.poll() is None, hosts.log(name)
        yield hosts


def _files(hosts: LibvirtHosts) -> None:
    folder = hosts.folder
    (folder / "newer").mkdir()
    peers = hosts.libvirt.peers
    for program in ("virsh", "virt-ssh-helper") if peers else ():
        (folder / "newer" / program).symlink_to(f"{files.PEERS}/bin/{program}-11.3")
    words = "".join(f"{address} {name}\n" for name, address in ADDRESSES.items())
    (folder / "hosts").write_text(f"127.0.0.1 localhost\n{words}")
    key = (folder / "host_key.pub").read_text()
    known = "".join(f"{address} {key}" for address in ADDRESSES.values())
    (folder / "known_hosts").write_text(known)
    config = "".join(
        files.SSH.format(name=name, address=address, folder=folder)
        for name, address in ADDRESSES.items()
    )
    script = folder / "host"
    more = files.NEWER.format(peers=peers) if peers else ""
    script.write_text(files.HOST.format(folder=folder, newer=more))
    script.chmod(0o755)
    for name in NAMES:
        own = folder / name
        for place in OWN:
            (own / place).mkdir(parents=True)
        (own / "passwd").write_text(files.PASSWD.format(home=own / "home"))
        (own / "group").write_text(files.GROUP)
        (own / "home/config").write_text(config)
        (own / "home/root").symlink_to(".")
        (own / "etc/libvirtd.conf").write_text(files.LIBVIRTD.format(uuid=uuid.uuid4()))
        (own / "etc/qemu.conf").write_text(files.QEMU)


def _libvirtd(hosts: LibvirtHosts, name: str) -> subprocess.Popen[str]:
    with (hosts.folder / name / "libvirtd.log").open("w") as output:
        return hosts.start(name, hosts.libvirt.libvirtd, stdout=output, stderr=output)


def _sshd(hosts: LibvirtHosts, name: str) -> None:
    path = f"{hosts.folder}/newer:{hosts.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    config = hosts.folder / name / "sshd_config"
    words = {"address": ADDRESSES[name], "folder": hosts.folder, "path": path}
    config.write_text(files.SSHD.format(**words))
    log = hosts.folder / name / "sshd.log"
    with log.open("w") as output:
        command = (hosts.folder / "sshd", "-D", "-e", "-f", config)
        process = hosts.start(name, *command, stdout=output, stderr=output)
    until(
        f"sshd listens at {name}",
        lambda: "Server listening" in log.read_text() or process.poll() is not None,
    )
    assert process.poll() is None, log.read_text()
