"""Keeps a source's connections open if this process dies, or gives up, in the switchover.

The process that does it (``transport.holder``) is started when a migration begins, so that the
switchover waits for nothing but its receipt of the descriptors.
"""

from __future__ import annotations

import contextlib
import pickle
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ramferry.errors import HostError
from ramferry.transport import holder
from ramferry.transport.address import Address
from ramferry.transport.connection import Connection
from ramferry.transport.descriptors import ToChild
from ramferry.transport.holder import MOST_DESCRIPTORS, PACKET
from ramferry.transport.security import Security

_RECEIPT: Final = 5.0
"""Seconds that the process may take to have the descriptors; 0.1 ms as a rule."""
_END: Final = 5.0
_left: list[subprocess.Popen[bytes]] = []
"""Processes that hold connections of earlier migrations; kept so that Python reaps them."""


@dataclass(frozen=True, slots=True)
class Will:
    """What somebody needs to know to find out how a switchover ended, and to tell the source."""

    address: Address
    """Of the far relay."""
    security: Security | None
    token: bytes
    decide: float
    clear: bool
    """Whether main's connection to the source is in clear, so that another process can write on
    it."""


def how_to_decide(holder: int) -> str:
    """What to do where nobody knows whether the destination has the guest, as clauses.

    :param holder: the process that holds the source's connections.
    """
    return (
        "the guest stands still at the source, whose connections are held open by process "
        f"{holder}; see with `info status` whether the destination runs it: if so, `quit` the "
        "source's QEMU; if not, end the destination's QEMU, and then `migrate_cancel` at the "
        f"source, or for a built-in guest `kill {holder}`, lets the guest go on there"
    )


class Guardian:
    """The process, as the relay knows it; ``dismiss`` or ``leave`` ends that."""

    def __init__(self, will: Will) -> None:
        """Start it.

        :raise HostError: that failed.
        """
        try:
            self._child = ToChild(_RECEIPT)
            self._process = self._start()
        except OSError as error:
            raise HostError(f"cannot start a process: {error.strerror}") from error
        content = memoryview(pickle.dumps(will))
        for start in range(0, len(content), PACKET - 1):
            self._send(holder.WILL, content[start : start + PACKET - 1])

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                holder.command_line(),
                stdin=self._child.far(),
                stdout=subprocess.DEVNULL,
                process_group=0,  # a Ctrl-C is for the relay
            )
        except OSError:
            self._child.close()
            raise
        finally:
            self._child.given()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def arm(self, connections: Sequence[Connection]) -> None:
        """Hand over the connections to the source, main first, before ram's END is let go.

        :raise HostError: the process does not take them.
        """
        numbers = [connection.fileno() for connection in connections]
        try:
            for start in range(0, len(numbers), MOST_DESCRIPTORS):
                part = numbers[start : start + MOST_DESCRIPTORS]
                self._child.send_descriptors(holder.ARM, part)
            self._child.send(holder.ARMED)
            received = self._child.receive(1) == holder.ARMED
        except OSError:
            received = False
        if not received:
            raise HostError(
                f"process {self.pid}, which has to hold the source if this relay is killed in the "
                "switchover, does not answer"
            )

    def telling(self) -> None:
        """Say that the source is about to hear that its guest was taken over."""
        self._send(holder.TELLING)

    def dismiss(self) -> None:
        """End it: the source knows how it ended."""
        self._send(holder.DONE)
        self._child.close()
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def leave(self) -> None:
        """Leave the connections to it: it ends when the source closes them."""
        self._send(holder.LEFT)
        self._child.close()
        _left.append(self._process)
        _left[:] = [process for process in _left if process.poll() is None]

    def _send(self, word: bytes, content: memoryview | bytes = b"") -> None:
        with contextlib.suppress(OSError):  # it may have been killed
            self._child.send(word + bytes(content))
