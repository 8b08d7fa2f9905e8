"""Starts the far end of a probe of the link on another host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ramferry.control.hosts.contract import Host
from ramferry.control.hosts.spoken import LISTEN_SECONDS, Spoken
from ramferry.transport.address import TcpAddress, parse_address, place_of

_WAITING: Final = "waiting at "


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
        listens = Spoken(process, "the probe there", _where).wait()
        place = place_of(parse_address(host.reached_at(listens)))
        assert isinstance(place, TcpAddress)
        yield place
    finally:
        process.terminate()


def _where(line: str) -> str:
    return line.removeprefix(_WAITING).split(": ")[0] if line.startswith(_WAITING) else ""
