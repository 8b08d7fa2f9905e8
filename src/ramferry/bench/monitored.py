"""A process with a QMP monitor: started, connected to, ended without a trace."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from ramferry.control.hosts.host import Host
from ramferry.control.qemu.qmp import Qmp
from ramferry.errors import HostError, PeerUnreachable
from ramferry.patience import Patience
from ramferry.transport.tempfolder import TempFolder

POLL_SECONDS = 0.01


class Monitored:
    """A QEMU, or a built-in guest.

    ``qmp`` is this process's connection, ``uri`` the address of a monitor for ``ramferry migrate``.
    Whatever happens to us, the process goes with the thread that started it.
    """

    def __init__(self, name: str, speaker: str, patience: float, host: Host) -> None:
        """
        :param name: for sentences.
        :param speaker: what its own complaints begin with.
        :param patience: seconds until its greeting is given up.
        :param host: where it runs.
        """
        self._name = name
        self._speaker = speaker
        self._patience = patience
        self._host = host

    def _make_folder(self) -> None:
        self._own = TempFolder.for_sockets()
        self.folder = self._own.path
        """For sockets; goes with the process."""
        self.uri = f"qmp:{self.folder}/qmp"

    def _start(self, command: Sequence[str], monitor: str) -> None:
        """Start it, and wait until the monitor at that name in the folder greets.

        :raise HostError: it ends first, or takes too long; says what it complained about.
        """
        with (self.folder / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                self._host.command([*dies_with_us(), *command]),
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                # a Ctrl-C is for us, and QEMU would take it as "quit"; not a session of its own:
                # control.relay_child says what that costs
                process_group=0,
            )
        self.qmp = self._connect(self.folder / monitor)

    def _connect(self, socket: Path) -> Qmp:
        patience = Patience(self._patience)
        while self.alive and not patience.over:
            if not socket.exists():
                time.sleep(POLL_SECONDS)
                continue
            try:
                return Qmp.connect(f"qmp:{socket}", patience.left)
            except PeerUnreachable:
                # between bind and listen, or on its way out: the next look at it tells
                time.sleep(POLL_SECONDS)
        raise HostError(f"{self._name} did not start: {self._complaint()}")

    def _complaint(self) -> str:
        """The line of stderr that tells most: the program's own last one, before its hints."""
        lines = self.stderr().splitlines() or ["it does not answer"]
        own = [line for line in lines if line.startswith(self._speaker)]
        return (own or lines)[-1].removeprefix(f"{self._speaker}: ")

    def _end(self) -> None:
        """End what was started; the folder goes, too."""
        if hasattr(self, "process"):
            self.process.kill()
            self.process.wait()
        if hasattr(self, "qmp"):
            self.qmp.close()
        self._own.close()

    @property
    def pid(self) -> int:
        """The process."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def stderr(self) -> str:
        """What it has complained about so far."""
        return (self.folder / "stderr").read_text(errors="replace").strip()


def dies_with_us() -> list[str]:
    """A prefix under which a program ends with the thread that started it (util-linux)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
