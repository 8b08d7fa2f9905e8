"""What every connection can do, whatever carries its bytes.

Flows know connections by this contract alone; ``transport.plain`` is the kernel's own sockets, and
another kind (TLS) is another module that keeps the same contract. At any time at most one thread
receives and one sends; everything else may be called from any thread.

Where a connection broke, ``OSError`` is raised; its ``strerror`` says how. Where the peer went
silent for longer than ``settle`` allows, ``PeerTimeout``.
"""

from __future__ import annotations

from typing import Protocol

from ramferry.vocabulary import Buffer


class Connection(Protocol):
    """A stream of bytes in both directions between this process and one peer."""

    @property
    def windowed(self) -> bool:
        """True if a network lies between, with a window and acknowledgements: TCP.

        False for a UNIX socket, whose bytes are in the peer's hands once they are sent.
        """

    def fileno(self) -> int:
        """The descriptor to poll for arrivals and for the peer's end; -1 once closed."""

    def settle(self, stall_timeout: float, *, piece: float | None = None) -> None:
        """Make it blocking, prompt, and aware of a peer that went silent.

        :param stall_timeout: seconds, more than 0, in which a receive or a send has to move
            something.
        :param piece: the same for receiving alone, after which ``receive_some`` comes back with
            what there is; None: as ``stall_timeout``.
        """

    # --- bytes in

    def receive(self, view: memoryview, least: int | None = None, *, idle: bool = False) -> int:
        """Receive into ``view``, which is the caller's, until it holds ``least`` bytes.

        :param least: None: all of ``view``. Where it is less, what came with it is kept, too.
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
        """Bytes that have come and were not received."""

    def heard_at(self) -> float:
        """When the last bytes came, in ``time.monotonic``'s seconds; not ``windowed``: now."""

    def acknowledge(self) -> None:
        """Tell the peer at once that its bytes have arrived, where it may be waiting for that."""

    # --- bytes out

    def send(self, parts: list[Buffer]) -> int:
        """Send every byte of ``parts`` in order, without joining them; returns their sum.

        :raise PeerTimeout: the peer took nothing for the stall limit.
        """

    def send_some(self, data: Buffer) -> int:
        """Send what the peer takes of ``data``; 0 where it takes nothing for the stall limit."""

    def unsent(self) -> int:
        """Bytes the peer has not taken: unread by a local one, unacknowledged by a far one.

        Not ``windowed``, 0 proves that the peer has read everything; ``windowed``, that its host
        has it; both, only where it has not ``hung_up`` since: what a peer that closes has not
        read does not count any more. Says nothing once this end was ``reset``.
        """

    # --- size and time

    def set_buffers(self, *, send: int | None = None, receive: int | None = None) -> None:
        """Bound how many bytes are held on the way out of, and into, this end; None: as it is."""

    def round_trip(self) -> float:
        """Smallest round trip seen, in seconds; 0 if not ``windowed``."""

    def segment(self) -> int:
        """Bytes of a segment on this path; 0 if not ``windowed``."""

    # --- its end

    def hung_up(self) -> bool:
        """True if the peer has closed its side, or the connection broke."""

    def finish(self) -> None:
        """Say that no more bytes come; what was sent is still delivered."""

    def cut(self) -> None:
        """End both directions and wake every thread that waits on this connection.

        A far peer that is sending does not notice while the window is full: see ``reset``.
        """

    def reset(self) -> None:
        """Abort it so that the peer notices at once, whatever is in the window.

        What it has not taken may be lost. Threads that wait on the connection wake up.
        """

    def close(self) -> None:
        """Free the descriptor; nothing else may be called any more, but for ``fileno``."""
