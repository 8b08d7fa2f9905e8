"""Nobody's guest stands still for good because a process was killed.

A QEMU that waits before the switchover waits for ``migrate-continue`` and looks at nothing else,
not at its lost connections either. While ``ramferry save --disk-snapshot`` lets it wait, a small
process stands by that does nothing until the save's end: told of a good or bad one it ends, and
where the other side of its standard input vanishes without a word, it cancels the migration.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from typing import Final, Self

from ramferry.errors import HostError, RamferryError

SECONDS: Final = 30.0
"""How long a QEMU may take until its migration has ended."""
END_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.05
_DONE: Final = b"."
_SENTENCE: Final = (
    "ramferry: the save was killed while its QEMU waited for it: it was cancelled; the guest's "
    "disks may be on overlays (see query-block)"
)


class Guardian:
    """The process that stands by; a context manager that dismisses it."""

    def __init__(self, uri: str) -> None:
        """:param uri: the QEMU's QMP address, free for another client once this process is gone."""
        self._line = [sys.executable, "-m", "ramferry.control.guardian", uri]

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

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(_DONE)
            stdin.flush()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def stand_by(uri: str) -> None:
    """Wait for standard input's end, and let the QEMU's guest go where nobody said it may stand.

    :raise RamferryError: the QEMU does not answer.
    """
    if sys.stdin.buffer.read(1) == _DONE:
        return
    # only here, so that standing by costs next to nothing
    from ramferry.control.qmp import Qmp
    from ramferry.control.settings import PAUSE, capability_list
    from ramferry.control.status import ENDED, Phase, phase_of

    deadline = time.monotonic() + SECONDS
    with Qmp.connect(uri) as qmp:
        while time.monotonic() < deadline:
            status = str(qmp.execute("query-migrate").get("status", "none"))
            if phase_of(status) is Phase.PAUSED:
                qmp.execute("migrate_cancel")
                print(_SENTENCE, file=sys.stderr)
            if status in ENDED | {"none"}:
                break
            time.sleep(POLL_SECONDS)
        # the next migration may be one that nobody lets go on
        off = {"capabilities": capability_list({PAUSE: False})}
        qmp.execute("migrate-set-capabilities", off)


if __name__ == "__main__":
    try:
        stand_by(sys.argv[1])
    except RamferryError as error:
        sys.exit(f"ramferry: {error}")
