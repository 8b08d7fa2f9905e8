"""The relay and everything around it, set up for one run."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from ramferry.bench.ceiling import measured, stream
from ramferry.bench.ceiling.children import SECONDS, Child, Children
from ramferry.bench.ceiling.wish import Wish
from ramferry.errors import HostError
from ramferry.transport import plain_peer
from ramferry.transport.address import UnixAddress
from ramferry.transport.connection import Connection
from ramferry.transport.listening import Listener
from ramferry.transport.plain import connect
from ramferry.wire.packets import INITIAL_LAYOUT, INITIAL_SIZE, Initial
from ramferry.wire.return_path import shut

MEMORY: Final = 128 * 1024 * 1024
"""Bytes of each guest's memory, which all channels' writers send from, or all readers write to."""


class Stand(ExitStack):
    """A relay between the two main channels, played here, and writers and readers.

    A context manager that closes its connections; its processes are the ``Children``'s.
    """

    def __init__(
        self, wish: Wish, folder: Path, children: Children, cores: Collection[int]
    ) -> None:
        """:param cores: where the relay runs."""
        super().__init__()
        self._wish = wish
        self._folder = folder
        self._children = children
        self._cores = cores
        header, payload = stream.packet(wish.method_in, own_codecs=wish.codec_micros is None)
        self._header, self._payload = len(header), len(payload)
        (folder / "header").write_bytes(header)
        # a guest's memory is in no cache, and does not become so with fewer channels
        self._memory = self._memory_file(payload * (MEMORY // len(payload)))
        self._room = self._memory_file(bytes(MEMORY))
        (folder / "closing").write_bytes(stream.channel_end())
        self.relay: Child
        self.gil = 0
        """Where the relay's GIL says whether it is held; 0 if it has none."""
        self._listener: Listener
        self._source: Connection
        self._destination: Connection
        self._outgoing: list[Connection]
        self._readers: dict[int, Child] = {}
        """By channel id."""
        self._writers: list[Child] = []

    def begin(self, seconds: float) -> None:
        """Start and connect everybody, and have the writers begin.

        :param seconds: how long they write.

        :raise RamferryError: as ``Children.wait``.
        """
        destination = UnixAddress(str(self._folder / "destination"))
        self._listener = self.enter_context(closing(Listener(destination)))
        self.relay = self._start_relay()
        self.gil = int(self._children.line(self.relay, "the first word"))
        channels = range(self._wish.channels)
        self._source = self._connected(stream.main_opening())
        self._outgoing = [self._connected(stream.channel_opening(one)) for one in channels]
        self._destination = self._accepted()
        for _ in channels:
            self._start_reader()
        waits, go = os.pipe()
        with os.fdopen(waits, "rb"), os.fdopen(go, "wb"):  # the writers wait for its end
            for channel in channels:
                self._start_writer(channel, waits, seconds)
            for child in (*self._readers.values(), *self._writers):
                self._children.line(child, "a word")

    def ask(self, word: str) -> str:
        """The relay's answer to a question.

        :raise RamferryError: as ``Children.wait``.
        """
        self.relay.ask(word)
        return self._children.line(self.relay, f"the answer to {word!r}")

    def finish(self) -> int:
        """Wait for the writers, complete the migration and compare; return how many packets came.

        :raise HostError: other bytes arrived than were sent.
        :raise RamferryError: as ``Children.wait``.
        """
        counts = [int(self._children.line(writer, "the count")) for writer in self._writers]
        self._finish_main()
        for connection in (self._destination, self._source, *self._outgoing):
            connection.close()
        sent = json.loads(self._children.line(self.relay, "the last word"))
        for channel, reader in self._readers.items():
            self._compare(channel, counts[channel], reader, sent)
        self._children.wait(lambda: self.relay.process.poll() is not None, "the relay's end")
        self._children.check()
        return sum(counts)

    def _memory_file(self, content: bytes) -> int:
        """The number of a file in memory that holds ``content``, which this object will close."""
        file = self.enter_context(os.fdopen(os.memfd_create("ramferry-ceiling"), "wb", 0))
        file.write(content)
        return file.fileno()

    # --- processes

    def _start_relay(self) -> Child:
        wish, addresses = self._wish, (self._folder / "relay", self._folder / "destination")
        codecs = measured.OWN_CODECS if wish.codec_micros is None else wish.codec_micros
        words = (*addresses, wish.method_in, wish.method_out, wish.channels, codecs)
        command = [sys.executable, "-m", measured.__name__, *map(str, words)]
        return self._children.start("relay", command, cores=self._cores)

    def _start_reader(self) -> None:
        """Take the next channel that the relay opens."""
        connection = self._accepted()
        initial = bytearray(INITIAL_SIZE)
        connection.receive(memoryview(initial))
        channel = INITIAL_LAYOUT.unpack(initial)[3]
        self._readers[channel] = self._children.start(
            f"reader of channel {channel}",
            plain_peer.command_line("read", self._room),
            stdin=connection.fileno(),
            pass_fds=(self._room,),
        )
        connection.close()

    def _start_writer(self, channel: int, waits: int, seconds: float) -> None:
        closing = self._folder / "closing"
        what = (self._folder / "header", self._memory, self._payload, closing, waits, seconds)
        writer = self._children.start(
            f"writer of channel {channel}",
            plain_peer.command_line("write", *what),
            stdin=self._outgoing[channel].fileno(),
            pass_fds=(waits, self._memory),
        )
        self._writers.append(writer)

    # --- what comes at the end

    def _finish_main(self) -> None:
        """Send the rest of main, and have the destination say that it has the guest."""
        self._source.send([stream.main_rest()])
        due = len(stream.main_opening()) + len(stream.main_rest())
        if (came := self._destination.receive(memoryview(bytearray(due)))) != due:
            self._children.check()
            raise HostError(f"{came} bytes of main arrived, {due} were sent")
        self._destination.send([shut()])
        answer = bytearray(len(shut()))
        self._source.receive(memoryview(answer))
        if answer != shut():
            self._children.check()
            raise HostError(f"the relay answered {answer.hex()}, the destination {shut().hex()}")

    def _compare(self, channel: int, packets: int, reader: Child, sent: dict[str, int]) -> None:
        """See that all of a channel arrived: what the relay counted, and as much as was due."""
        came = INITIAL_SIZE + int(self._children.line(reader, "the count"))
        due = sent[Initial(b"", channel).name]
        if self._wish.codec_micros is not None:
            each = self._header + stream.payload_size(self._wish.method_out)
            ends = len(stream.channel_opening(channel)) + len(stream.channel_end())
            due = ends + packets * each
        if came != due:
            raise HostError(f"{came} bytes of channel {channel} arrived, {due} were due")

    # --- connections

    def _connected(self, first: bytes) -> Connection:
        connection = self.enter_context(closing(connect(UnixAddress(str(self._folder / "relay")))))
        connection.settle(SECONDS)
        connection.send([first])
        return connection

    def _accepted(self) -> Connection:
        found: list[Connection] = []

        def come() -> bool:
            if (accepted := self._listener.accept()) is not None:
                found.append(self.enter_context(closing(accepted.connection)))
            return bool(found)

        self._children.wait(come, "a connection of the relay")
        found[0].settle(SECONDS)
        return found[0]
