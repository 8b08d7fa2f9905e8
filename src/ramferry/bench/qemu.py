"""Real QEMUs for demo, bench and tests: found, started with visible RAM, ended without a trace.

The guest's RAM is a file in memory that QEMU and this process both map, so that it can be filled
and compared from outside, byte for byte. Whatever happens to this process, its QEMUs and their RAM
end with it: the RAM file loses its name once QEMU has opened it, and QEMU dies with the thread that
started it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ramferry.bench.monitored import Monitored
from ramferry.control.hosts.host import HERE, Host
from ramferry.errors import HostError

COMMAND = "qemu-system-x86_64"
START_SECONDS = 20.0
"""How long a QEMU may take from its start to its QMP greeting: 0.2 s here, seconds under load."""

FLOPPY_BYTES = 1440 * 1024
"""A size that the firmware knows; a boot image is padded to it."""

RAM_ID = "pc.ram"
"""What the ``pc`` machine calls its RAM; source and destination must agree on it."""

TLS_ID = "tls0"
"""What a QEMU's certificates are called in its parameters."""


@dataclass(frozen=True, slots=True)
class QemuBinary:
    """A QEMU program of this host."""

    path: Path
    version: tuple[int, int, int]

    @property
    def name(self) -> str:
        """Major and minor version: "7.2"."""
        return f"{self.version[0]}.{self.version[1]}"

    @property
    def machine(self) -> str:
        """The ``pc`` machine as this version introduced it; every later version has it as well."""
        return f"pc-i440fx-{self.name}"


def find_qemus(environ: Mapping[str, str] = os.environ) -> list[QemuBinary]:
    """Find the QEMUs of this host, oldest version first, one of each version.

    Looks on the PATH, and for versions beside it in the folders that RAMFERRY_PEERS names, or
    else in ``build/peers/bin`` of the current folder and those above it. What does not run is
    left out.
    """
    on_path = shutil.which(COMMAND, path=environ.get("PATH"))
    candidates = [Path(on_path)] if on_path else []
    for folder in peer_folders(environ):
        candidates += sorted(folder.glob(f"{COMMAND}*"))
    found: dict[tuple[int, int, int], QemuBinary] = {}
    for path in candidates:
        with suppress(HostError):
            binary = qemu_at(path)
            found.setdefault(binary.version, binary)
    return [found[version] for version in sorted(found)]


def choose_qemu(wanted: str | None, *, newest: bool = False) -> QemuBinary:
    """One of ``find_qemus``.

    :param wanted: its version, as 7.2 or 10.0; None takes the oldest, or the newest if asked for.
    :raise HostError: there is none.
    """
    found = find_qemus()
    fitting = [binary for binary in found if wanted in (None, binary.name)]
    if not fitting:
        names = ", ".join(binary.name for binary in found) or "none"
        which = f" {wanted}" if wanted else ""
        raise HostError(f"no QEMU{which} here (found: {names}): install qemu-system-x86")
    return fitting[-1 if newest else 0]


def qemu_at(path: Path) -> QemuBinary:
    """Ask the program at ``path`` for its version.

    :raise HostError: it does not run, or is not QEMU.
    """
    try:
        answer = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=START_SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise HostError(f"{path} does not run: {error}") from error
    match = re.match(r"QEMU emulator version (\d+)\.(\d+)\.(\d+)", answer)
    if match is None:
        raise HostError(f"{path} is not QEMU")
    return QemuBinary(path, (int(match[1]), int(match[2]), int(match[3])))


def accelerator(*, runs: bool = True) -> str:
    """Choose "kvm" or "tcg": KVM if this user may use it.

    For a guest that ``runs``, also only on real hardware. A KVM without a processor's
    virtualisation under it (kvm_pvm, inside a virtual machine) interprets what is not a kernel made
    for it: there QEMU 7.2 took 7 to 12 s to start the boot sector, which then dirtied 3 MB/s, and
    10.0 did not start it in 40 s. Under TCG both take 0.2 s and dirty 400 to 690 MB/s (one vCPU of
    a busy 2-core EPYC guest, Linux 6.18; ``boot_sector(rate=None)``). For a guest that never runs
    it makes no difference.
    """
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "tcg"
    return (
        "kvm" if not runs or re.search(r"^flags\s*:.* (vmx|svm)\b", flags, re.MULTILINE) else "tcg"
    )


class Qemu(Monitored):
    """One running QEMU of the ``pc`` machine; a context manager that starts and ends it.

    ``qmp`` is a connection to it; ``uri`` is a second QMP address, for ``ramferry migrate``.
    ``ram`` is the guest's RAM as a flat array that shares its memory with the guest; do not keep a
    view of it after the QEMU's end. ``folder`` is a folder for sockets, which is removed with the
    QEMU.
    """

    def __init__(
        self,
        binary: QemuBinary,
        memory: int,
        *,
        machine: str | None = None,
        boot: bytes = b"",
        incoming: bool = False,
        paused: bool = True,
        accel: str | None = None,
        ram_folder: Path = Path("/dev/shm"),
        options: Sequence[str] = (),
        host: Host = HERE,
    ) -> None:
        """Describe a QEMU; entering the context starts it.

        :param memory: the guest's RAM in bytes, whole MiB.
        :param machine: the machine type, by default that of the binary; both ends need the same.
        :param boot: a boot sector, as ``bench.boot_sector.boot_sector`` makes it.
        :param incoming: wait for ``migrate-incoming``, rather than start a guest.
        :param paused: the guest stays stopped until ``cont``; also after an incoming migration.
        :param accel: "kvm" or "tcg"; by default what ``accelerator()`` chooses if there is a boot
            sector.
        :param ram_folder: the folder of the RAM's file; it should be in memory, or a guest's every
            write goes to a disk.
        :param options: further options of QEMU.
        :param host: where it runs.
        """
        super().__init__(f"QEMU {binary.name}", COMMAND, START_SECONDS, host)
        self.binary = binary
        self.memory = memory
        self._machine = machine or binary.machine
        self._accel = accel or accelerator(runs=bool(boot))
        self._boot = boot
        self._flags = [*(["-S"] if paused else []), *(["-incoming", "defer"] if incoming else [])]
        self._ram_folder = ram_folder
        self._options = options

    def __enter__(self) -> Self:
        self._check_room()
        self._make_folder()
        try:
            ram_file = self._make_ram()
            try:
                self._start(self._command(ram_file), "own")
            finally:
                ram_file.unlink()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()
        if hasattr(self, "ram"):
            del self.ram

    def _check_room(self) -> None:
        room = os.statvfs(self._ram_folder)
        if room.f_bavail * room.f_frsize < self.memory:
            raise HostError(
                f"{self._ram_folder} has {room.f_bavail * room.f_frsize >> 20} MiB left, and the"
                f" guest's RAM takes {self.memory >> 20} MiB"
            )

    def _make_ram(self) -> Path:
        descriptor, name = tempfile.mkstemp(prefix="ramferry-ram-", dir=self._ram_folder)
        with os.fdopen(descriptor, "r+b") as file:
            file.truncate(self.memory)
            self.ram: NDArray[np.uint8] = np.memmap(file, np.uint8, "r+", shape=(self.memory,))
        return Path(name)

    def _command(self, ram_file: Path) -> list[str]:
        command = [str(self.binary.path), "-nodefaults", "-display", "none", "-nic", "none"]
        command += ["-machine", f"{self._machine},accel={self._accel},memory-backend={RAM_ID}"]
        command += ["-m", f"{self.memory >> 20}M", "-object"]
        command += [
            f"memory-backend-file,id={RAM_ID},size={self.memory},mem-path={ram_file},share=on"
        ]
        for name in ("own", "qmp"):
            command += ["-qmp", f"unix:{self.folder}/{name},server=on,wait=off"]
        if self._boot:
            image = self.folder / "boot.img"
            image.write_bytes(self._boot.ljust(FLOPPY_BYTES, b"\0"))
            command += ["-drive", f"if=floppy,format=raw,readonly=on,file={image}"]
        return [*command, *self._flags, *self._options]


def tls_options(folder: Path | None, role: str) -> list[str]:
    """Options of a QEMU that can encrypt migrations, if its parameter ``tls-creds`` is ``TLS_ID``.

    :param folder: with its certificates; None: it gets none.
    :param role: one of those of ``transport.credentials``.
    """
    if folder is None:
        return []
    return ["-object", f"tls-creds-x509,id={TLS_ID},dir={folder},endpoint={role},verify-peer=on"]


def peer_folders(environ: Mapping[str, str]) -> list[Path]:
    """Where peers are looked for beside the PATH."""
    if named := environ.get("RAMFERRY_PEERS"):
        return [Path(part) for part in named.split(os.pathsep) if part]
    here = Path.cwd()
    return [folder / "build" / "peers" / "bin" for folder in (here, *here.parents)]
