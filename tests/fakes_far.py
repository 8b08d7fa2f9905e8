"""A far half in this process: a ``FarLink`` and the real house, joined by pipes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ramferry.control.far.house import serve
from ramferry.control.hosts import far_protocol as far
from ramferry.control.hosts.far_link import FarLink

END_SECONDS = 10.0


@dataclass
class FarHalf:
    """One that runs in a thread."""

    link: FarLink
    hello: far.Hello
    thread: threading.Thread


@contextmanager
def far_half(environment: Mapping[str, str] | None = None) -> Iterator[FarHalf]:
    """Start it; at the end the near half hangs up, and it must end by itself."""
    to_far, to_near = os.pipe(), os.pipe()
    thread = threading.Thread(target=serve, args=(to_far[0], to_near[1], environment or {}))
    thread.start()
    reading, writing = os.fdopen(to_near[0], "rb"), os.fdopen(to_far[1], "wb")
    hello = far.hello.decode(reading.readline())
    link = FarLink("beta", writing, reading)
    try:
        yield FarHalf(link, hello, thread)
    finally:
        writing.close()
        thread.join(END_SECONDS)
        alive = thread.is_alive()
        os.close(to_near[1])
        os.close(to_far[0])
        link.join(END_SECONDS)
        reading.close()
        assert not alive
