"""Tries candidates on copies of packets, in one thread that gives way to all others."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from ramferry.codec import Decoder, create_decoder
from ramferry.errors import RamferryError
from ramferry.flows.choosing.encoders import Encoders
from ramferry.policy.figures import Tried
from ramferry.policy.measurements import Candidate, PageClass
from ramferry.vocabulary import OFF, PACKET_BYTES

_NICE: Final = 10
"""A thread of this niceness gets a tenth of a core that another one wants."""

_MOST: Final = 4
"""Most candidates that are tried on one packet, beside the yardstick."""

Next = Callable[[PageClass], Candidate | None]
"""What is to be tried on pages of a class; None: nothing now."""
Told = Callable[[PageClass, int, Sequence[Tried]], None]
"""Takes what came of the trials on one packet, with its bytes of pages; the yardstick's is the
first."""


class Trials:
    """The thread and its one packet. It begins with the first packet that is offered."""

    open = True
    """Whether a packet is wanted; a look without a lock, which ``offer`` repeats with one."""

    def __init__(
        self, encoders: Encoders, yardstick: Candidate, wanted: Next, told: Told, page_size: int
    ) -> None:
        """:param yardstick: what others are compared with, on the same packet."""
        self._encoders = encoders
        self._yardstick = yardstick
        self._wanted = wanted
        self._told = told
        self._page_size = page_size
        self._decoders: dict[str, Decoder] = {}
        self._pages = np.empty(PACKET_BYTES, np.uint8)
        self._out = memoryview(bytearray(PACKET_BYTES))
        self._sample: tuple[PageClass, int] | None = None
        """The class and the size of the packet that waits or is tried."""
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None
        self._ended = self._paused = False
        self.count = 0
        self.seconds = 0.0
        """Core seconds that were spent."""

    def offer(self, kind: PageClass, pages: memoryview) -> None:
        """Take a copy of a packet, unless another one is here; called in any channel's thread."""
        with self._lock:
            if self._sample is not None or self._paused or self._ended:
                return
            self.open = False
            self._sample = kind, len(pages)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="trials", daemon=True)
                self._thread.start()
        # without the GIL, which an assignment to a slice keeps
        np.copyto(self._pages[: len(pages)], np.frombuffer(pages, np.uint8))
        self._news.set()

    def pause(self, *, on: bool) -> None:
        """Take no packets while ``on``."""
        with self._lock:
            self._paused = on
            self._open_if_free()

    def _open_if_free(self) -> None:
        """Called with the lock."""
        self.open = self._sample is None and not self._paused and not self._ended

    def close(self) -> None:
        """End the thread; waits for the trial that is under way."""
        with self._lock:
            self._ended, self.open, thread = True, False, self._thread
        self._news.set()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while True:
            self._news.wait()
            self._news.clear()
            if self._ended:
                return
            assert self._sample is not None
            kind, size = self._sample
            self._try_on(kind, self._pages.data[:size])
            with self._lock:
                self._sample = None
                self._open_if_free()

    def _try_on(self, kind: PageClass, pages: memoryview) -> None:
        tried: dict[Candidate, Tried] = {}
        for _ in range(_MOST):
            if self._ended or (candidate := self._wanted(kind)) is None:
                break
            for one in (self._yardstick, candidate):
                if one not in tried:
                    tried[one] = self._try(one, pages)
        if tried:
            self._told(kind, len(pages), list(tried.values()))

    def _try(self, candidate: Candidate, pages: memoryview) -> Tried:
        size, begun = len(pages), time.thread_time()
        try:
            encoder = self._encoders.of(candidate)
            made = time.thread_time()
            parts = self._encoders.payload(encoder.encode(pages))
        except (RamferryError, MemoryError):
            # it would fail a channel as well: nobody is to choose it
            return Tried(candidate, size, 1.0, 1.0)
        encoded = time.thread_time()
        payload = memoryview(b"".join(parts))
        decoder = self._decoder(candidate.method)
        joined = time.thread_time()
        decoder.decode(payload, self._out[:size])
        ended = time.thread_time()
        self.count += 1
        self.seconds += ended - begun
        return Tried(candidate, len(payload), encoded - made, ended - joined)

    def _decoder(self, method: str) -> Decoder:
        decoder = self._decoders.get(method)
        if decoder is None:
            decoder = create_decoder(method, page_size=self._page_size, accelerator=OFF)
            self._decoders[method] = decoder
        return decoder
