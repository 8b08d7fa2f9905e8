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
from ramferry.bench.ceiling.wish import (
    ENCRYPTED,
    INCOMING,
    OUTGOING,
    TLS_IN,
    TLS_OUT,
    Wish,
)
from ramferry.bench.certificates import certificates
from ramferry.errors import HostError
from ramferry.transport import credentials, dialing, handshake, plain, plain_peer
from ramferry.transport.address import (
    Address,
    Place,
    TcpAddress,
    TlsAddress,
    UnixAddress,
    parse_address,
    place_of,
)
from ramferry.transport.connection import Connection
from ramferry.transport.listening import Listener
from ramferry.transport.security import IN_THIS_HOST, Security
from ramferry.wire.packets import INITIAL_LAYOUT, INITIAL_SIZE, Initial
from ramferry.wire.return_path import shut

LOOPBACK: Final = "127.0.0.1"
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
        self._tls_creds, self._security = self._certified()
        self.relay: Child
        self.gil = 0
        """Where the relay's GIL says whether it is held; 0 if it has none."""
        self._address: Address
        """Where the relay listens."""
        self._listener: Listener
        self._source: Connection
        self._destination: Connection
        self._outgoing: list[Connection]
        self._readers: dict[int, Child] = {}
        """By channel id."""
        self._writers: list[Child] = []

    def _certified(self) -> tuple[str, Security]:
        """A folder with certificates, and what checks them; empty without TLS."""
        if self._wish.link not in ENCRYPTED:
            return "", IN_THIS_HOST
        folder = self.enter_context(certificates(LOOPBACK))
        return str(folder), Security(credentials.read(folder))

    def begin(self, seconds: float) -> None:
        """Start and connect everybody, and have the writers begin.

        :param seconds: how long they write.

        :raise RamferryError: as ``Children.wait``.
        """
        outgoing = self._wish.link in OUTGOING
        listens: Place = TcpAddress(LOOPBACK, 0) if outgoing else self._unix("destination")
        self._listener = self.enter_context(closing(Listener(listens)))
        self.relay = self._start_relay()
        held, address = self._children.line(self.relay, "the first word").split(maxsplit=1)
        self.gil, self._address = int(held), parse_address(address)
        self._source = self._connected_main()
        channels = range(self._wish.channels)
        self._outgoing = [self._connected() for _ in channels]
        waits, go = os.pipe()
        with os.fdopen(waits, "rb"), os.fdopen(go, "wb"):  # the writers wait for its end
            for channel in channels:
                self._start_writer(channel, waits, seconds)
            for writer in self._writers:
                self._children.line(writer, "a word")
            self._destination = self._accepted_main()
            for channel in channels:
                self._start_reader(channel)

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
        wish = self._wish
        listen: Place = TcpAddress(LOOPBACK, 0) if wish.link in INCOMING else self._unix("relay")
        addresses = (
            TlsAddress(place) if wish.link == encrypted and isinstance(place, TcpAddress) else place
            for place, encrypted in ((listen, TLS_IN), (place_of(self._listener.address), TLS_OUT))
        )
        codecs = measured.OWN_CODECS if wish.codec_micros is None else wish.codec_micros
        methods = (wish.method_in, wish.method_out)
        words = (*addresses, *methods, wish.channels, codecs, self._tls_creds)
        command = [sys.executable, "-m", measured.__name__, *map(str, words)]
        return self._children.start("relay", command, cores=self._cores)

    def _start_reader(self, number: int) -> None:
        """Take the next channel that the relay opens.

        :param number: how many there are already.
        """
        connection = self._accepted()
        tls = self._tls_creds if self._wish.link in OUTGOING else ""
        reader = self._children.start(
            f"reader {number}",
            plain_peer.command_line("read", INITIAL_SIZE, self._room, tls),
            stdin=connection.fileno(),
            pass_fds=(self._room,),
        )
        connection.close()
        initial = bytes.fromhex(self._children.line(reader, "the first bytes"))
        self._readers[INITIAL_LAYOUT.unpack(initial)[3]] = reader

    def _start_writer(self, channel: int, waits: int, seconds: float) -> None:
        opening, header, last = (self._folder / name for name in ("opening", "header", "closing"))
        opening = opening.with_suffix(f".{channel}")
        opening.write_bytes(stream.channel_opening(channel))
        tls = self._tls_creds if self._wish.link in INCOMING else ""
        what = (opening, header, self._memory, self._payload, last, waits, seconds, tls)
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

    def _unix(self, name: str) -> UnixAddress:
        return UnixAddress(str(self._folder / name))

    def _connected_main(self) -> Connection:
        security = self._security
        main = self.enter_context(
            closing(dialing.connect(self._address, security, check=self._children.check))
        )
        main.settle(SECONDS)
        main.send([stream.main_opening()])
        return main

    def _connected(self) -> Connection:
        """A channel to the relay, in clear: its writer makes TLS's handshake."""
        connection = self.enter_context(closing(plain.connect(place_of(self._address))))
        connection.settle(SECONDS)
        return connection

    def _accepted_main(self) -> Connection:
        main = self._accepted()
        if self._wish.link == TLS_OUT:
            context = self._security.server(TlsAddress(TcpAddress(LOOPBACK, 0)))
            watch = handshake.Watch(self._children.check)
            secured = handshake.as_server(main.detach(), context, watch)
            main = self.enter_context(closing(secured))
            main.settle(SECONDS)
        return main

    def _accepted(self) -> plain.Plain:
        """The next connection that the relay made, in clear."""
        found: list[plain.Plain] = []

        def come() -> bool:
            if (accepted := self._listener.accept()) is not None:
                connection = accepted.connection
                assert isinstance(connection, plain.Plain)
                found.append(connection)
                self.callback(connection.close)
            return bool(found)

        self._children.wait(come, "a connection of the relay")
        found[0].settle(SECONDS)
        return found[0]
