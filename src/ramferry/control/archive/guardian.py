"""A small process that lets a guest go on if ``ramferry save`` is killed.

A QEMU that waits before the switchover waits for ``migrate-continue`` only; it does not even notice
that its connections are lost. And a guest that was stopped for its save stands still until somebody
lets it go on. If a save can come to either, this process stands by and reads its standard input.
When the save ends, well or not, it is told so and ends. If the input closes without that, it
cancels a migration that waits, and lets a guest that was stopped run on.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from ramferry import standard
from ramferry.errors import HostError, RamferryError

if TYPE_CHECKING:
    from ramferry.control.qemu.qmp import Qmp

SECONDS: Final = 30.0
"""How long a QEMU's migration may take to end."""
END_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.05
_DONE: Final = b"."
_STOPPED: Final = b"s"
_CANCELLED: Final = (
    "ramferry: the save was killed while its QEMU waited for it: it was cancelled; the guest's "
    "disks may be on overlays (see query-block)"
)
_GOES_ON: Final = "ramferry: the save was killed while its guest stood still for it: it goes on"


class Guardian:
    """Starts the process that stands by; a context manager that dismisses it."""

    def __init__(self, uri: str) -> None:
        """
        :param uri: the QEMU's QMP address; its monitor is free for another client once the save is
            gone.
        """
        self._line = [sys.executable, "-m", "ramferry.control.archive.guardian", uri]

    def __enter__(self) -> Self:
        """
        :raise HostError: the process cannot be started.
        """
        try:
            self._process = subprocess.Popen(
                self._line,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                process_group=0,  # a Ctrl-C is for the save, which sees to its QEMU itself
            )
        except OSError as error:
            raise HostError(f"cannot start a process: {error.strerror}") from error
        return self

    def tell_stopped(self) -> None:
        """Say that the guest is about to be stopped, and has to be let run on if the save is
        killed."""
        self._tell(_STOPPED)

    def _tell(self, word: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(word)
            self._process.stdin.flush()

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin is not None
        self._tell(_DONE)
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def stand_by(uri: str) -> None:
    """Wait for the end of standard input; unless the save said that it has ended, let the guest go
    on.

    :raise RamferryError: the QEMU does not answer.
    """
    stopped = False
    while (word := sys.stdin.buffer.read(1)) == _STOPPED:
        stopped = True
    if word == _DONE:
        return
    # only here, so that standing by costs next to nothing
    from ramferry.control.qemu.qmp import Qmp
    from ramferry.control.qemu.settings import PAUSE, capability_list

    with Qmp.connect(uri) as qmp:
        status = _settled(qmp)
        # of a migration that has completed the guest is postmigrate, and in its file, whole
        ended = status in ("failed", "cancelled")
        if stopped and (ended or qmp.execute("query-status")["status"] == "paused"):
            qmp.execute("cont")
            standard.say(_GOES_ON)
        # the next migration may be one that nobody lets go on
        off = {"capabilities": capability_list({PAUSE: False})}
        qmp.execute("migrate-set-capabilities", off)


def _settled(qmp: Qmp) -> str:
    """Cancel a migration that waits, wait until any has ended, and return the status."""
    from ramferry.control.qemu.status import FINISHING, IDLE, Phase, phase_of
    from ramferry.patience import Patience

    patience = Patience(SECONDS)
    while True:
        status = str(qmp.execute("query-migrate").get("status", "none"))
        if phase_of(status) is Phase.PAUSED:
            qmp.execute("migrate_cancel")
            standard.say(_CANCELLED)
        finishing = qmp.execute("query-status")["status"] == FINISHING
        if (status in IDLE and not finishing) or patience.over:
            return status
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    try:
        stand_by(sys.argv[1])
    except RamferryError as error:
        sys.exit(f"ramferry: {error}")
