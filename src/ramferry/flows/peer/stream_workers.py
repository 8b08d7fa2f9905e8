"""The workers of a tunnel's way out: each has a connection, and takes the next piece for it."""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from ramferry.allowance import busy_threads
from ramferry.errors import RamferryError, kernel_error
from ramferry.flows.peer.stream_encoding import PieceSender
from ramferry.wire.relay_packing import Gathered
from ramferry.wire.relay_stream import MOST

GATHER: Final = 0.002
"""Seconds that bytes may wait for more, while a worker is free to send them."""
_WORKERS: Final = busy_threads()
"""Pieces that may be encoded at once though enough is held: as in ``flows.outlet.outbox``."""
_SLOW_PIECE: Final = 64 * 1024
"""Least bytes of a full piece, on however slow a link."""
_TELLING: Final = 1024
"""Least bytes of a piece whose growth says something of the next one's."""


class Worker:
    """What one connection's thread waits for."""

    def __init__(self, sender: PieceSender) -> None:
        self.sender = sender
        self.sent = 0
        self.turn = threading.Lock()
        """Released by whoever wakes it."""
        self.turn.acquire()


class StreamWorkers:
    """Takes what was gathered, and sends it in order; ``run`` is the body of each worker's thread.

    Everything here is guarded by one lock, which is held for a few additions only.
    """

    stall_timeout = 60.0
    """Seconds after which a peer that takes nothing is given up."""
    _open: Gathered | None = None
    """What is gathered, and given to nobody."""
    _leader: Worker | None = None
    """The worker that is going to take what is gathered."""
    _error: Exception | None = None
    """Why the tunnel broke; None if it has not."""
    _number = 0
    """Pieces that were given to workers."""
    _busy = 0
    """Those that are at work."""
    _encoding = 0
    """Those of them that are not encoded yet."""
    _held = 0.0
    """Bytes that were given to workers and not sent, by their size on the wire."""
    _unsent = 0
    """Those of them that are encoded."""
    _most = float("inf")
    """Bytes that may be held, beyond a piece for each core; and most that may be unsent."""
    _full = MOST
    """Bytes of a full piece."""
    _growth = 1.0
    """Bytes on the wire for each of the stream, of the last piece."""
    _waits = False
    """Whether the sending thread waits for ``_room``."""
    _finishing = False
    """True once nothing more comes."""
    _ended = 0
    """Workers that have sent their end."""

    def __init__(self, senders: Sequence[PieceSender]) -> None:
        self._lock = threading.Lock()
        self._free: list[Gathered] = []
        self._queue: deque[Gathered] = deque()
        """Full pieces that wait for a worker, one at most."""
        self._workers = [Worker(one) for one in senders]
        self._idle: list[Worker] = []
        self._room = threading.Semaphore(0)
        """Released when the sending thread may look again."""

    def limit(self, size: float) -> None:
        """Set how many bytes may be held between the stream and the wire, beyond one piece for each
        core."""
        with self._lock:
            self._most = size
            self._full = int(min(MOST, max(_SLOW_PIECE, size / max(self._growth, 0.1))))
            self._stir()

    @property
    def pending(self) -> int:
        """Bytes that were taken and not sent yet, as they are in the stream or on the wire."""
        with self._lock:
            waiting = sum(one.size for one in self._queue) + int(self._held)
            return waiting + (self._open.size if self._open is not None else 0)

    def fail(self, error: Exception) -> None:
        """The tunnel broke: every thread that waits here ends."""
        with self._lock:
            self._error = self._error or error
            for worker in self._workers:
                self._wake(worker)
            self._waits = False
        self._room.release()

    def _check(self) -> None:
        if self._error is not None or self._finishing:
            if isinstance(self._error, RamferryError):
                raise self._error
            raise kernel_error(errno.EPIPE)

    @property
    def _sent_pieces(self) -> int:
        return sum(one.sent for one in self._workers)

    def run(self, index: int) -> None:
        """Send pieces on one connection until the stream's end, or until the tunnel breaks."""
        worker = self._workers[index]
        while (piece := self._next(worker)) is not None:
            self._carry(worker, *piece)
        if self._error is None:
            worker.sender.end(self._number)
            with self._lock:
                self._ended += 1
                self._call_sender()

    def _next(self, worker: Worker) -> tuple[Gathered, int] | None:
        """The next piece for a worker, waited for; None if there are no more."""
        while True:
            with self._lock:
                if worker in self._idle:
                    self._idle.remove(worker)
                if self._error is not None:
                    return None
                piece, wait = self._offer(worker)
                if piece is not None:
                    return piece, self._begin(piece)
                if self._finishing and not self._queue and self._open is None:
                    return None
                if wait is None:
                    self._idle.append(worker)
            worker.turn.acquire(timeout=-1 if wait is None else wait)

    def _offer(self, worker: Worker) -> tuple[Gathered | None, float | None]:
        """What a worker is to send, or how long it waits to look again; None: until it is woken."""
        if self._leader is worker:
            self._leader = None  # until it is to wait again: who is idle leads nothing
        if not self._admits:
            return None, None
        if self._queue:
            return self._queue.popleft(), None
        piece = self._open
        if piece is None:
            return None, None
        left = piece.since + GATHER - time.monotonic()
        if left <= 0 or not self._busy or self._finishing:
            self._open = self._leader = None
            return piece, None
        if self._leader is not None:
            return None, None
        self._leader = worker
        return None, left

    @property
    def _admits(self) -> bool:
        room = self._held < self._most or self._encoding < _WORKERS
        return room and self._unsent <= self._most

    def _begin(self, piece: Gathered) -> int:
        """A piece is given to a worker: its place in the stream is settled; called with the
        lock."""
        number, self._number = self._number, self._number + 1
        self._busy += 1
        self._encoding += 1
        self._held += piece.size * self._growth
        self._call_sender()
        return number

    def _carry(self, worker: Worker, piece: Gathered, number: int) -> None:
        """Encode a piece and send it."""
        size, held, unsent = piece.size, piece.size * self._growth, 0
        try:
            parts, wire = worker.sender.encode(piece, number)
            with self._lock:
                self._encoding -= 1
                self._held += wire - held
                self._unsent += wire
                held, unsent = float(wire), wire
                if size > _TELLING:
                    self._growth = wire / size
                self._stir()
            worker.sender.send(parts, wire)
            worker.sent += 1
        finally:
            with self._lock:
                self._busy -= 1
                self._held -= held
                self._unsent -= unsent
                piece.clear()
                self._free.append(piece)
                self._stir()

    def _stir(self) -> None:
        """Wake a worker if there is something for it; called with the lock."""
        leader = self._leader
        if self._queue and leader is not None:
            self._leader = None
            self._wake(leader)
            return
        waits = bool(self._queue) or (self._open is not None and leader is None)
        if waits and self._idle and self._admits:
            self._wake(self._idle.pop())

    @staticmethod
    def _wake(worker: Worker) -> None:
        if worker.turn.locked():
            worker.turn.release()

    def _call_sender(self) -> None:
        if self._waits:
            self._waits = False
            self._room.release()
