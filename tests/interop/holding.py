"""A proxy before a destination that holds main back at the switchover, on its way there or back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Literal

import raw_sockets
from fault_blows import Way
from fault_proxy import Line, Proxy
from ramferry.transport.address import Address
from ramferry.wire.events import RamEnd
from ramferry.wire.main import MainParser

Held = Literal["tail", "answer"]
"""What is held: the rest of the stream from ram's END on, or what the destination answers then."""


class Holder(Proxy):
    """Passes everything on, and main up to ram's END; from there on only when released.

    A sender's sockets hold what follows, so that it knows nothing of it: all of that is delivered
    later, also where the sender has closed the connection meanwhile.
    """

    def __init__(self, listen: Address, target: Address, held: Held) -> None:
        self.holding = threading.Event()
        """Set at ram's END."""
        self.pause = 0.0
        """Seconds that each piece of a channel waits on its way."""
        self._released = threading.Event()
        self._lost = False
        self._held = held
        self._parser = MainParser()
        super().__init__(listen, target, self._watch)

    def release(self) -> None:
        """Deliver what was held."""
        self._released.set()

    def lose(self) -> None:
        """Drop what was held, and end every connection on both sides."""
        self._lost = True
        self._released.set()
        for line in self.lines:
            line.end(raw_sockets.cut)

    def close(self) -> None:
        """End every connection."""
        self.lose()
        super().close()

    def _watch(self, line: Line, way: Way, data: bytes) -> Iterator[bytes]:
        if line.name == "main" and way == "forward" and not self.holding.is_set():
            events = self._parser.feed(data)
            if any(isinstance(event, RamEnd) for event in events):
                self.holding.set()
        if line.name != "main" and way == "forward" and self.pause:
            time.sleep(self.pause)
        held = "forward" if self._held == "tail" else "back"
        if line.name == "main" and way == held and self.holding.is_set():
            self._released.wait()
            if self._lost:
                raise ConnectionAbortedError
        yield data
