"""What every connection can do, whatever carries its bytes.

Flows know connections by this contract alone. ``transport.plain`` keeps it with the kernel's
sockets, ``transport.tls`` with TLS over them. At any time at most one thread receives and one
sends; everything else may be called from any thread.

If a connection broke, ``OSError`` is raised; its ``strerror`` says how. If the peer was silent for
longer than ``settle`` allows, ``PeerTimeout`` is raised.
"""

from __future__ import annotations

from typing import Protocol

from ramferry.errors import PeerTimeout
from ramferry.vocabulary import Buffer


class Connection(Protocol):
    """A stream of bytes in both directions between this process and one peer."""

    @property
    def windowed(self) -> bool:
        """True if bytes travel over a network, with a window and acknowledgements: TCP.

        False for a UNIX socket, whose bytes are in the peer's hands once they are sent.
        """

    def fileno(self) -> int:
        """The descriptor to poll for arrivals and for the peer's end; -1 once closed.

        A connection may hold bytes that its descriptor does not tell of, so whoever polls receives
        until nothing is there.
        """

    def settle(self, stall_timeout: float, *, piece: float | None = None) -> None:
        """Make it blocking, prompt, and aware of a peer that went silent.

        :param stall_timeout: seconds, more than 0, in which a receive or a send has to move
            something.
        :param piece: the same for receiving alone, after which ``receive_some`` returns what there
            is; None: as ``stall_timeout``.
        """

    # --- bytes in

    def receive(self, view: memoryview, least: int | None = None, *, idle: bool = False) -> int:
        """Receive into ``view``, which is the caller's, until it holds ``least`` bytes.

        :param least: None: all of ``view``. If it is less, bytes that came with them are kept in
            ``view`` as well.
        :param idle: silence before the first byte is no fault, so it is waited for without limit.
        :return: bytes received, fewer than ``least`` only at the end of the stream.
        :raise PeerTimeout: the peer went silent in the middle.
        """

    def receive_some(self, view: memoryview, *, whole: bool = False) -> int | None:
        """Receive what there is, at least one byte; 0 at the end of the stream.

        :param whole: wait for a full ``view``, as long as ``settle`` said with ``piece``.
        :return: None if nothing came: within the time that ``settle`` allows, or, on a
            connection that was accepted and is not settled yet, at once.
        """

    def unread(self) -> int:
        """Bytes that have come and were not received; encrypted ones count with their wrapping."""

    def heard_at(self) -> float:
        """When the last bytes came, in seconds of ``time.monotonic``; if not ``windowed``, the
        present time."""

    def acknowledge(self) -> None:
        """Tell the peer at once that its bytes have arrived, in case it waits for that."""

    # --- bytes out

    def send(self, parts: list[Buffer]) -> int:
        """Send every byte of ``parts`` in order, without joining them; returns their sum.

        :raise PeerTimeout: the peer took nothing for the stall limit.
        """

    def send_some(self, data: Buffer) -> int:
        """Send as much of ``data`` as the peer takes, and return how much; 0 if it takes nothing
        for the stall limit.

        The next send has to continue with the bytes that are left of ``data``: an encrypted
        connection may have begun to send them.
        """

    def unsent(self) -> int:
        """Bytes that the peer has not taken: not read, or, if ``windowed``, not acknowledged.

        If not ``windowed``, 0 proves that the peer has read everything; if ``windowed``, that its
        host has received it. Either holds only if the peer has not ``hung_up`` since, because bytes
        that a closing peer has not read are no longer counted. After ``reset`` the figure has no
        meaning.
        """

    # --- size and time

    def set_buffers(self, *, send: int | None = None, receive: int | None = None) -> None:
        """Set how many bytes the buffers for sending and receiving may hold; None leaves one as it
        is."""

    def round_trip(self) -> float:
        """Smallest round trip seen, in seconds; 0 if not ``windowed``."""

    def segment(self) -> int:
        """Bytes of a segment on this path; 0 if not ``windowed``."""

    # --- its end

    def hung_up(self) -> bool:
        """True if the peer has closed its side, or the connection broke."""

    def finish(self) -> None:
        """Say that no more bytes come; what was sent is still delivered.

        The end of an encrypted connection on which this was not said is an error to the peer.
        """

    def cut(self) -> None:
        """End both directions and wake every thread that waits on this connection.

        A far peer that is sending does not notice while the window is full: see ``reset``.
        """

    def reset(self) -> None:
        """Abort it so that the peer notices at once, whatever is in the window.

        What it has not taken may be lost. Threads that wait on the connection wake up.
        """

    def close(self) -> None:
        """Free the descriptor; after that only ``fileno`` may be called."""


def receive_by_some(
    connection: Connection, view: memoryview, least: int | None, *, idle: bool
) -> int:
    """``Connection.receive`` by its ``receive_some``, for connections that cannot leave all of the
    wait to the kernel."""
    wanted = len(view) if least is None else least
    filled = 0
    while filled < wanted:
        count = connection.receive_some(view[filled:], whole=wanted == len(view))
        if count is None:
            if idle and not filled:
                continue
            raise PeerTimeout(f"the peer went silent after {filled} of {wanted} bytes")
        if not count:
            break
        filled += count
    return filled
