"""A tunnel's way out: gathers a stream into pieces, and spreads them over the connections.

A piece goes out at once while no other is on its way. While some are, what comes is gathered up to
a full piece, or for ``GATHER`` seconds. A worker that is free takes it; there is one for each
connection, in a thread of the migration.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from ramferry.errors import PeerTimeout, RamferryError
from ramferry.flows.peer.stream_encoding import PieceSender
from ramferry.wire.relay_packing import Gathered, PagesAt
from ramferry.wire.relay_stream import MOST

GATHER: Final = 0.002
"""Seconds that bytes may wait for more, while a worker is free to send them."""
AT_ONCE: Final = 16 * 1024
"""Most bytes of a piece that the thread which sends carries itself, if no other is on its way: that
saves a small message the wait for a worker's thread."""
_FULL: Final = 1024
"""A piece with less room than this is full."""
_WORKERS: Final = len(os.sched_getaffinity(0))
"""Pieces that may be encoded at once though enough is held: as in ``flows.outlet.outbox``."""
_SLOW_PIECE: Final = 64 * 1024
"""Least bytes of a full piece, on however slow a link."""


class StreamOut:
    """Takes a stream from one thread; ``run`` is the body of each worker's thread."""

    def __init__(self, senders: Sequence[PieceSender], page_size: int, *, packs: bool) -> None:
        """:param packs: whether pages are packed apart from the rest."""
        self._senders = senders
        self._page_size, self._packs = page_size, packs
        self._lock = threading.Lock()
        self._free: list[Gathered] = []
        self._open: Gathered | None = None
        """What is gathered, and given to nobody."""
        self._queue: deque[Gathered] = deque()
        """Full pieces that wait for a worker, one at most."""
        self._idle: list[_Worker] = []
        self._leader: _Worker | None = None
        """The worker that is going to take what is gathered."""
        self._workers = [_Worker(one) for one in senders]
        self._number = 0
        self._busy = 0
        self._encoding = 0
        self._held = 0.0
        """Bytes that were given to workers and not sent, by their size on the wire."""
        self._unsent = 0
        """Those of them that are encoded."""
        self._most = float("inf")
        self._full = MOST
        """Bytes of a full piece."""
        self._growth = 1.0
        """Bytes on the wire for each of the stream, of the last piece."""
        self._room = threading.Semaphore(0)
        """Released when the sending thread, which waits, may look again."""
        self._waits = False
        self._finishing = False
        self._ended = 0
        """Workers that have sent their end."""
        self._error: Exception | None = None
        self.stall_timeout = 60.0
        """Seconds after which a peer that takes nothing is given up."""

    def limit(self, size: float) -> None:
        """Set how many bytes may be held between the stream and the wire, beyond one piece for each
        core."""
        with self._lock:
            self._most = size
            self._full = int(min(MOST, max(_SLOW_PIECE, size / max(self._growth, 0.1))))
            self._stir()

    # --- the thread that sends

    def send(self, data: memoryview, runs: Sequence[PagesAt] = ()) -> None:
        """Take bytes of the stream; they are copied. ``flush`` sends them, if nothing else does.

        :param runs: where whole pages lie in them, in order.
        :raise OSError: the tunnel broke, or the stream was finished.
        :raise PeerTimeout: the peer takes nothing for the stall limit.
        """
        at = 0
        for start, pages, stride in runs:
            while pages:
                self._add(data, at, start)
                piece = self._piece()
                taken = piece.add_pages(data, PagesAt(start, pages, stride))
                at = start + (taken - 1) * stride + self._page_size if taken else start
                pages, start = pages - taken, start + taken * stride
                self._put(piece, full=not taken or piece.room < self._page_size + _FULL)
        self._add(data, at, len(data))

    def offer(self, data: memoryview) -> int:
        """Take bytes of the stream as long as there is room for more within the stall limit;
        returns how many."""
        at = 0
        with contextlib.suppress(PeerTimeout):
            while at < len(data):
                piece = self._piece()
                at += piece.add(data[at:])
                self._put(piece, full=piece.room < _FULL)
        self.flush()
        return at

    def _add(self, data: memoryview, at: int, end: int) -> None:
        while at < end:
            piece = self._piece()
            at += piece.add(data[at:end])
            self._put(piece, full=piece.room < _FULL)

    def _piece(self) -> Gathered:
        """The piece that is gathered, or another one, once there is room for it."""
        with self._lock:
            piece, self._open = self._open, None
        if piece is not None:
            return piece
        while True:
            with self._lock:
                self._check()
                if len(self._queue) < 1:
                    return self._fresh()
                self._waits, before = True, self._sent_pieces
            if not self._room.acquire(timeout=self.stall_timeout) and before == self._sent_pieces:
                raise PeerTimeout("the peer takes no more bytes")

    @property
    def _sent_pieces(self) -> int:
        return sum(one.sent for one in self._workers)

    def _fresh(self) -> Gathered:
        piece = self._free.pop() if self._free else Gathered(self._page_size, packs=self._packs)
        piece.since = time.monotonic()
        return piece

    def _put(self, piece: Gathered, *, full: bool) -> None:
        """Give a piece back that was added to."""
        with self._lock:
            self._check()
            if not full and piece.size < self._full:
                self._open = piece
                return
            self._queue.append(piece)
            self._stir()

    def flush(self) -> None:
        """Everything that was to be sent is here: send it at once, or leave it to a worker."""
        with self._lock:
            self._check()
            piece, worker = self._open, None
            if piece is None:
                return
            if piece.size <= AT_ONCE and not self._busy and not self._queue and self._ready:
                worker, self._open = self._idle.pop(), None
                number = self._begin(piece)
            else:
                self._stir()
        if worker is not None:
            try:
                self._carry(worker, piece, number)
            finally:
                with self._lock:
                    self._idle.append(worker)
                    if self._finishing:
                        self._wake(worker)
            self._check()

    def finish(self) -> None:
        """Say that nothing more comes, and wait until all is sent, for the stall limit at most."""
        with self._lock:
            self._finishing = True
            for worker in self._workers:
                self._wake(worker)
        while True:
            with self._lock:
                if self._ended == len(self._workers) or self._error is not None:
                    return
                before = self._sent_pieces, self._ended
                self._waits = True
            done = self._room.acquire(timeout=self.stall_timeout)
            if not done and before == (self._sent_pieces, self._ended):
                return

    @property
    def finished(self) -> bool:
        """True once it was said that nothing more comes."""
        return self._finishing

    @property
    def _ready(self) -> bool:
        """Whether the next idle worker's connection takes bytes now, so that to send a few does not
        wait."""
        if not self._idle:
            return False
        poll = select.poll()
        poll.register(self._idle[-1].sender.fileno(), select.POLLOUT)
        return bool(poll.poll(0))

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
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    # --- workers

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

    def _next(self, worker: _Worker) -> tuple[Gathered, int] | None:
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

    def _offer(self, worker: _Worker) -> tuple[Gathered | None, float | None]:
        """What a worker is to send, or how long it waits to look again; None: until it is woken."""
        if not self._admits:
            return None, None
        if self._queue:
            if self._leader is worker:
                self._leader = None
            return self._queue.popleft(), None
        piece = self._open
        if piece is None:
            if self._leader is worker:
                self._leader = None
            return None, None
        left = piece.since + GATHER - time.monotonic()
        if left <= 0 or not self._busy or self._finishing:
            self._open = self._leader = None
            return piece, None
        if self._leader not in (None, worker):
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

    def _carry(self, worker: _Worker, piece: Gathered, number: int) -> None:
        """Encode a piece and send it."""
        size, held, unsent = piece.size, piece.size * self._growth, 0
        try:
            parts, wire = worker.sender.encode(piece, number)
            with self._lock:
                self._encoding -= 1
                self._held += wire - held
                self._unsent += wire
                held, unsent = float(wire), wire
                if size > _FULL:
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
    def _wake(worker: _Worker) -> None:
        if worker.turn.locked():
            worker.turn.release()

    def _call_sender(self) -> None:
        if self._waits:
            self._waits = False
            self._room.release()


class _Worker:
    """What one connection's thread waits for."""

    def __init__(self, sender: PieceSender) -> None:
        self.sender = sender
        self.sent = 0
        self.turn = threading.Lock()
        """Released by whoever wakes it."""
        self.turn.acquire()
