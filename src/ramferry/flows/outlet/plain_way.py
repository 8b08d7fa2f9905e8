"""A plain stream on its way to the far end: whole pages told from the rest, at the cap's pace."""

from __future__ import annotations

from ramferry.flows.outlet.forwarding import send_patiently
from ramferry.flows.outlet.outlet import Outlet
from ramferry.flows.peer.stream import Tunnel
from ramferry.flows.session.tally import ChannelTally
from ramferry.transport.connection import Connection
from ramferry.vocabulary import Buffer
from ramferry.wire.events import PageRun
from ramferry.wire.grammar import RECORD_SIZE
from ramferry.wire.relay_packing import PagesAt


class PlainWay:
    """Sends a plain stream; used by main's thread."""

    def __init__(self, outlet: Outlet, destination: Connection, tally: ChannelTally) -> None:
        """:param destination: a tunnel, or a connection to a destination that is no Ramferry.
        :param tally: main's, which has every page that main's parser sees."""
        self._outlet = outlet
        self._destination = destination
        self._tally = tally
        self._pages: list[PageRun] = []
        self._wire = 0
        """Bytes on the tunnel's connections for which the pacer was asked."""

    def note(self, pages: PageRun) -> None:
        """Pages lie in what is going to be sent next."""
        self._pages.append(pages)

    def send(self, part: Buffer, at: int) -> None:
        """Send some of the stream.

        :param at: the offset in the stream at which it begins.
        :raise OSError: the connection broke.
        :raise PeerTimeout: the far end takes nothing for the stall limit.
        """
        session = self._outlet.session
        if isinstance(self._destination, Tunnel):
            self._keep_pace(session.tally.bytes_out)
            runs = self._runs(at, at + len(part))
            if not session.plain.raw:
                self._destination.send_pages(memoryview(part), runs)
                return
        else:
            self._outlet.pacer.wait(len(part))
        if session.plain.raw:
            send_patiently(self._destination, memoryview(part), session.check)
        else:
            self._destination.send([part])
        if not isinstance(self._destination, Tunnel):
            self._tally.bytes_out += len(part)

    def _keep_pace(self, wire: int) -> None:
        """Wait for a slot for what the tunnel has sent since the last call: what compression makes
        of bytes is known afterwards only."""
        if self._outlet.paced:
            self._outlet.pacer.wait(wire - self._wire)
        self._wire = wire

    def _runs(self, first: int, end: int) -> list[PagesAt]:
        """Where pages lie in this part of the stream, by their offsets in it; one that is cut is
        none."""
        pages, self._pages = self._pages, [one for one in self._pages if one.end > end]
        return [_lie(one, first) for one in pages if one.end <= end and _start(one) >= first]


def _start(pages: PageRun) -> int:
    """Where the first page's bytes begin: behind its record's word."""
    count, size = pages.content.shape
    return int(pages.end - count * size - (count - 1) * RECORD_SIZE)


def _lie(pages: PageRun, first: int) -> PagesAt:
    count, size = pages.content.shape
    return PagesAt(_start(pages) - first, count, size + RECORD_SIZE)
