"""Messages, and descriptors, to a child process by its standard input."""

from __future__ import annotations

import socket
from collections.abc import Sequence


class ToChild:
    """The parent's end of a pair of sockets (SOCK_SEQPACKET) whose other end a child inherits."""

    def __init__(self, patience: float) -> None:
        """
        :param patience: seconds that a message may take.
        :raise OSError: this process has no descriptor left.
        """
        self._near, self._far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._near.settimeout(patience)

    def far(self) -> int:
        """The child's end; to be passed on as its standard input, before ``given``."""
        return self._far.fileno()

    def given(self) -> None:
        """The child has its end, or there is none."""
        self._far.close()

    def send(self, message: bytes) -> None:
        """Send a message.

        :raise OSError: the child has ended, or does not take it.
        """
        self._near.send(message)

    def send_descriptors(self, message: bytes, numbers: Sequence[int]) -> None:
        """Send a message with duplicates of descriptors.

        :raise OSError: the child has ended, or does not take it.
        """
        socket.send_fds(self._near, [message], list(numbers))

    def receive(self, most: int) -> bytes:
        """The child's next message; empty at its end.

        :raise OSError: none came in time.
        """
        return self._near.recv(most)

    def close(self) -> None:
        """End the connection."""
        self._near.close()
