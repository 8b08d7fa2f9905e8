"""A tunnel's way out: gathers a stream into pieces, and spreads them over the connections.

A piece goes out at once while no other is on its way. While some are, what comes is gathered up to
a full piece, or for ``GATHER`` seconds (``stream_workers``). A worker that is free takes it; there
is one for each connection, in a thread of the migration.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Sequence
from typing import Final

from ramferry.errors import PeerTimeout
from ramferry.flows.peer.stream_encoding import PieceSender
from ramferry.flows.peer.stream_workers import StreamWorkers
from ramferry.wire.relay_packing import Gathered, PagesAt

AT_ONCE: Final = 16 * 1024
"""Most bytes of a piece that the thread which sends carries itself, if no other is on its way: that
saves a small message the wait for a worker's thread."""
_FULL: Final = 1024
"""A piece with less room than this is full."""
_SLOW_PIECE: Final = 64 * 1024
"""Least bytes of a full piece, on however slow a link."""


class StreamOut(StreamWorkers):
    """Takes a stream from one thread, and cuts it into pieces."""

    def __init__(self, senders: Sequence[PieceSender], page_size: int, *, packs: bool) -> None:
        """:param packs: whether pages are packed apart from the rest."""
        super().__init__(senders)
        self._page_size, self._packs = page_size, packs

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
                worker, self._open, self._leader = self._idle.pop(), None, None
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
