"""Starts the far end of a probe of the link on another host."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from ramferry.control.hosts.contract import Host
from ramferry.control.hosts.started import Lines, Started
from ramferry.errors import HostError, PeerTimeout
from ramferry.patience import Patience
from ramferry.transport.address import TcpAddress, parse_address, place_of

LISTEN_SECONDS: Final = 20.0
"""How long it may take to listen; as a relay (``control.migrate.relay_child``)."""
_WAITING: Final = "waiting at "
_LOOK: Final = 0.1


@contextmanager
def probe_there(host: Host) -> Iterator[TcpAddress]:
    """Have ``ramferry plan link`` wait on ``host``; yields where it is reached from here.

    :raise PeerUnreachable: data cannot get there.
    :raise HostError: it cannot listen there.
    :raise PeerTimeout: it does not say that it listens.
    """
    where = place_of(parse_address(host.meeting()))
    process = host.start(["plan", "link", str(where), "--wait", str(10 * LISTEN_SECONDS)])
    try:
        words = _Words(process.stderr)
        place = place_of(parse_address(host.reached_at(words.where(process))))
        assert isinstance(place, TcpAddress)
        yield place
    finally:
        process.terminate()


class _Words:
    """What it says to people, among which is where it waits."""

    def __init__(self, lines: Lines | None) -> None:
        self._said: list[str] = []
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()

    def where(self, process: Started) -> str:
        """Wait until it listens; the URI at which it does."""
        patience = Patience(LISTEN_SECONDS)
        while not patience.over:
            for line in list(self._said):
                if line.startswith(_WAITING):
                    return line.removeprefix(_WAITING).split(": ")[0]
            if process.poll() is not None:
                words = self._said[-1:] or ["it says nothing"]
                raise HostError(f"the probe there does not wait: {words[0].strip()}")
            threading.Event().wait(_LOOK)
        raise PeerTimeout(f"the probe there did not listen within {LISTEN_SECONDS:g} s")

    def _read(self, lines: Lines | None) -> None:
        if lines is not None:
            with closing(lines):
                for line in lines:
                    self._said.append(line)
