"""systemd's journal, by the datagrams of its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

One datagram is one entry, whose fields stand one behind the other. A value without a line end::

    MESSAGE=listening\\n

and any other value with its length before it, 64 bits, little-endian::

    MESSAGE\\n  \\x0b\\x00\\x00\\x00\\x00\\x00\\x00\\x00  two\\nlines \\n
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from typing import Final, Self

from ramferry.cli.line_writer import LineWriter
from ramferry.cli.logs.entry import Entry
from ramferry.transport.datagrams import send_datagram

SOCKET: Final = "/run/systemd/journal/socket"
IDENTIFIER: Final = "ramferry"
"""What ``journalctl -t`` finds it by."""
_PREFIX: Final = "RAMFERRY_"
_SECONDS: Final = 1.0
"""For which a journal that does not read is waited for, in the writer's thread."""


def datagram(fields: Mapping[str, str]) -> bytes:
    """An entry of these fields; a name has upper-case letters, digits and underscores."""
    return b"".join(_field(name.encode("ascii"), value) for name, value in fields.items())


def _field(name: bytes, value: str) -> bytes:
    data = value.encode("utf-8", "backslashreplace")
    if b"\n" in data:
        return name + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
    return name + b"=" + data + b"\n"


def fields_of(entry: Entry, message: str) -> dict[str, str]:
    """An entry's fields in the journal: ``RAMFERRY_MIGRATION``, ``RAMFERRY_UUID`` and so on beside
    the usual ones."""
    own = {f"{_PREFIX}{name.upper()}": str(value) for name, value in entry.fields.items()}
    return {
        "MESSAGE": message,
        "PRIORITY": str(int(entry.note.level)),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        **own,
    }


def is_journal(fd: int, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a descriptor leads to the journal: systemd tells a service in ``$JOURNAL_STREAM``
    device and inode of the stream that it gave it (systemd.exec(5)). A service may have
    redirected its standard error since."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


class JournalLine(str):
    """A line as it is written where the journal's socket does not take it, with its datagram."""

    __slots__ = ("datagram",)

    datagram: bytes

    def __new__(cls, line: str, sent: bytes) -> Self:
        """:param sent: the datagram."""
        made = super().__new__(cls, line)
        made.datagram = sent
        return made


class JournalWriter(LineWriter):
    """Sends each line's datagram to the journal; what cannot be sent is written to the descriptor,
    which leads to the journal too, without its fields."""

    path = SOCKET

    def _write(self, line: str) -> None:
        if not (isinstance(line, JournalLine) and self._send(line.datagram)):
            super()._write(line)

    def _send(self, data: bytes) -> bool:
        # there is no journal, it does not read, or the entry is too long for it
        return send_datagram(self.path, data, _SECONDS)
