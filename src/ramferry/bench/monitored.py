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

    ``qmp`` is a connection of this process to the monitor, ``uri`` the address of another monitor
    for ``ramferry migrate``. The process ends with the thread that started it, whatever happens.
    """

    def __init__(self, name: str, speaker: str, patience: float, host: Host) -> None:
        """
        :param name: what sentences call it.
        :param speaker: the word that its own error messages begin with.
        :param patience: seconds to wait for the greeting of its monitor.
        :param host: where it runs.
        """
        self._name = name
        self._speaker = speaker
        self._patience = patience
        self._host = host

    def _make_folder(self) -> None:
        self._own = TempFolder.for_sockets()
        self.folder = self._own.path
        """A folder for sockets, which is removed with the process."""
        self.uri = f"qmp:{self.folder}/qmp"

    def _start(self, command: Sequence[str], monitor: str) -> None:
        """Start the command and wait for the greeting of the monitor, a socket in the folder.

        :raise HostError: it ends first, or takes too long; the sentence has its error message.
        """
        with (self.folder / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                self._host.command([*dies_with_us(), *command]),
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                # a Ctrl-C is for us, and QEMU would take it as "quit"; not a session of its own:
                # control.hosts.started says what that costs
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
        """The most telling line of stderr: the program's last error message, without hints."""
        lines = self.stderr().splitlines() or ["it does not answer"]
        own = [line for line in lines if line.startswith(self._speaker)]
        return (own or lines)[-1].removeprefix(f"{self._speaker}: ")

    def _end(self) -> None:
        """End the process and remove the folder."""
        if hasattr(self, "process"):
            self.process.kill()
            self.process.wait()
        if hasattr(self, "qmp"):
            self.qmp.close()
        self._own.close()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def stderr(self) -> str:
        """What it has written to stderr so far."""
        return (self.folder / "stderr").read_text(errors="replace").strip()


def dies_with_us() -> list[str]:
    """A prefix under which a program ends with the thread that started it (util-linux)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
