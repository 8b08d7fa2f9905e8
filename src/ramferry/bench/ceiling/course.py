"""One run: a relay between writers and readers, looked at twice while it carries.

This process plays both QEMUs' main channels, which carry next to nothing, and their connecting;
then it hands each channel's two sockets to a writer and a reader.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Collection
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from ramferry.bench.ceiling import measured, peer, stream
from ramferry.bench.ceiling.children import SECONDS, Child, Children
from ramferry.bench.ceiling.measured import LISTENING, Sample
from ramferry.errors import HostError, PeerTimeout
from ramferry.transport.address import UnixAddress
from ramferry.transport.listening import Listener
from ramferry.transport.plain import Plain, connect
from ramferry.transport.tempfolder import TempFolder
from ramferry.wire.packets import INITIAL_LAYOUT, INITIAL_SIZE
from ramferry.wire.return_path import shut

_WARM: Final = 0.15
"""Seconds before the first look: every buffer was used once by then."""
_SLACK: Final = 0.1
"""Seconds that the writers go on after the second look."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a run shall be."""

    method_in: str
    method_out: str
    channels: int
    seconds: float
    """Between the two looks."""
    codec_micros: float = 0.0
    """CPU time of the codec for each packet; 0: none."""
    cores: int = 0
    """The relay runs on so many cores, and its peers on the others, if any are left; 0: all run
    where they like."""


@dataclass(frozen=True, slots=True)
class Course:
    """What was seen."""

    first: Sample
    last: Sample
    memory: int
    """The relay's memory at the second look, in bytes (PSS)."""
    packets: int
    """With pages, in all: as many as were written, and as arrived."""


def run(wish: Wish, stop: threading.Event) -> Course:
    """Make one run.

    :raise Cancelled: ``stop`` was set.
    :raise HostError: a process ended early, or other bytes arrived than were sent.
    :raise PeerTimeout: the relay, or a peer, does not go on.
    """
    with TempFolder.for_sockets() as folder, Children(folder.path, stop) as children:
        with _Stand(wish, folder.path, children) as stand:
            return stand.carry()


def _split(wish: Wish) -> tuple[Collection[int], Collection[int]]:
    """The cores of the relay, and those of its peers."""
    here = sorted(os.sched_getaffinity(0))
    if not wish.cores:
        return here, here
    return here[: wish.cores], here[wish.cores :] or here


class _Stand(ExitStack):
    """The relay and everything around it."""

    def __init__(self, wish: Wish, folder: Path, children: Children) -> None:
        super().__init__()
        self._wish = wish
        self._folder = folder
        self._children = children
        self._cores, self._others = _split(wish)
        header, payload = stream.packet(wish.method_in)
        self._header = len(header)
        (folder / "packet").write_bytes(header + payload)
        (folder / "closing").write_bytes(stream.channel_end())

    def carry(self) -> Course:
        """Carry one migration through."""
        self._destination = self._closed(Listener(UnixAddress(str(self._folder / "destination"))))
        self._relay = self._start_relay()
        source = self._connected(stream.main_opening())
        outgoing = [self._connected(stream.channel_opening(n)) for n in range(self._wish.channels)]
        destination = self._accepted()
        readers = self._start_readers()
        writers, go = self._start_writers(outgoing)
        for child in (*readers.values(), *writers):
            self._children.line(child, "a word")
        os.close(go)
        self._children.pause(_WARM)
        first = self._look()
        self._children.pause(self._wish.seconds)
        last = self._look()
        self._relay.ask("weigh")
        memory = int(self._children.line(self._relay, "the memory"))
        counts = [int(self._children.line(writer, "the count")) for writer in writers]
        self._finish(source, destination)
        for plain in (destination, source, *outgoing):
            plain.close()
        for channel, reader in readers.items():
            self._compare(channel, counts[channel], reader)
        self._children.wait(lambda: self._relay.process.poll() is not None, "the relay's end")
        self._children.check()
        return Course(first, last, memory, sum(counts))

    def _start_relay(self) -> Child:
        wish, listen = self._wish, str(self._folder / "relay")
        words = (listen, str(self._folder / "destination"), wish.method_in, wish.method_out)
        command = [sys.executable, "-m", measured.MODULE, *words]
        command += [str(wish.channels), str(wish.codec_micros)]
        relay = self._children.start("relay", command, cores=self._cores)
        if (line := self._children.line(relay, "the first word")) != LISTENING:
            raise HostError(f"the relay said {line!r} before it listened")
        return relay

    def _start_readers(self) -> dict[int, Child]:
        """A reader for each channel that the relay opens, by the channel's id."""
        readers: dict[int, Child] = {}
        for _ in range(self._wish.channels):
            with closing(self._accepted()) as plain:
                initial = memoryview(bytearray(INITIAL_SIZE))
                plain.receive(initial)
                channel = INITIAL_LAYOUT.unpack(initial)[3]
                name = f"reader of channel {channel}"
                readers[channel] = self._children.start(
                    name, peer.command_line("read"), stdin=plain.fileno(), cores=self._others
                )
        return readers

    def _start_writers(self, outgoing: list[Plain]) -> tuple[list[Child], int]:
        """A writer for each channel, and the descriptor whose closing lets them begin."""
        waits, go = os.pipe()
        span = _WARM + self._wish.seconds + _SLACK
        files = (self._folder / "packet", self._header, self._folder / "closing")
        command = peer.command_line("write", *files, waits, span)
        writers = [
            self._children.start(
                f"writer of channel {channel}",
                command,
                stdin=plain.fileno(),
                pass_fds=(waits,),
                cores=self._others,
            )
            for channel, plain in enumerate(outgoing)
        ]
        os.close(waits)
        return writers, go

    def _look(self) -> Sample:
        self._relay.ask("look")
        return msgspec.json.decode(self._children.line(self._relay, "a sample"), type=Sample)

    def _finish(self, source: Plain, destination: Plain) -> None:
        """Send the rest of main, and have the destination say that it has the guest."""
        source.send([stream.main_rest()])
        due = len(stream.main_opening()) + len(stream.main_rest())
        if (came := destination.receive(memoryview(bytearray(due)))) != due:
            raise HostError(f"{came} bytes of main arrived, {due} were sent")
        destination.send([shut()])
        answer = bytearray(len(shut()))
        source.receive(memoryview(answer))
        if answer != shut():
            raise HostError(f"the relay answered {answer.hex()} where SHUT was sent")

    def _compare(self, channel: int, packets: int, reader: Child) -> None:
        """See that all of a channel arrived."""
        came = INITIAL_SIZE + int(self._children.line(reader, "the count"))
        payload = stream.payload_size(self._wish.method_out)
        due = len(stream.channel_opening(channel)) + len(stream.channel_end())
        due += packets * (self._header + payload)
        if came != due:
            raise HostError(f"{came} bytes of channel {channel} arrived, {due} were due")

    # --- connections

    def _connected(self, first: bytes) -> Plain:
        plain = self._closed(connect(UnixAddress(str(self._folder / "relay"))))
        plain.settle(SECONDS)
        plain.send([first])
        return plain

    def _accepted(self) -> Plain:
        found: list[Plain] = []

        def come() -> bool:
            if (accepted := self._destination.accept()) is not None:
                found.append(self._closed(accepted.connection))
            return bool(found)

        self._children.wait(come, "a connection of the relay")
        found[0].settle(SECONDS)
        return found[0]

    def _closed(self, thing: "Plain | Listener") -> "Plain | Listener":
        return self.enter_context(closing(thing))
