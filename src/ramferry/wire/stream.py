"""What the parsers of one-way streams have in common: bytes in, events out, errors kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from ramferry.errors import RemoteProtocolError
from ramferry.wire.source import ByteSource, Parse

Event = TypeVar("Event")


class StreamParser(ABC, Generic[Event]):
    """Turns a stream's bytes, in pieces of any size, into events.

    Which events come, and at which offsets, does not depend on the pieces. After an error the
    parser is of no further use and repeats it.
    """

    def __init__(self, channel: str) -> None:
        self._source = ByteSource(channel)
        self._events: list[Event] = []
        self._error: RemoteProtocolError | None = None
        self._parse = self._stream()

    @property
    def position(self) -> int:
        """Absolute stream offset behind the last byte that was fed."""
        return self._source.end

    def feed(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Take the stream's next bytes; the buffer is the caller's again on return.

        :return: the events that these bytes complete, in the order of the stream.
        :raise RemoteProtocolError: the stream is not what a QEMU sends. Events before that place
            in ``data`` are what ``salvage`` returns.
        """
        if self._error is not None:
            raise self._error
        self._source.push(memoryview(data).cast("B"))
        try:
            next(self._parse)
        except RemoteProtocolError as error:
            self._error = error
            raise
        finally:
            self._source.release()
        events, self._events = self._events, []
        return events

    def salvage(self) -> list[Event]:
        """The events before the place at which ``feed`` failed; called once after that."""
        events, self._events = self._events, []
        return events

    def _emit(self, event: Event) -> None:
        self._events.append(event)

    @abstractmethod
    def _stream(self) -> Parse[None]:
        """Parse the whole stream, yielding when more bytes are needed; never returns."""
