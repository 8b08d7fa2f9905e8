"""The one tree of errors, with an exit code for each class.

::

    RamferryError                 1   anything unforeseen; seeing this plain class is a bug
    ├── UsageError                2   the caller's fault: a bad option, level, address or file
    ├── PeerUnreachable           3   nobody answers, or what answers is not a QEMU or a relay
    ├── MethodUnavailable         4   a QEMU was not built with, or cannot do, what was asked
    ├── MigrationFailed           5   a migration, save or restore ended early
    ├── Cancelled                 6   a person or a supervisor ended it
    ├── RemoteProtocolError       7   a peer sent what the protocol forbids
    │   └── CorruptDataError      7   compressed data that does not inflate to what was promised
    ├── HostError                 8   this host refuses: address in use, disk full, no permission
    └── PeerTimeout               9   a peer stopped in the middle of what it had begun

``UsageError`` and ``HostError`` are local; ``PeerUnreachable``, ``RemoteProtocolError`` and
``PeerTimeout`` are a peer's doing. Exit codes 10 and 11 belong to ``ramferry doctor``.
"""

from __future__ import annotations

import os
from typing import ClassVar, Self, TypeVar

_Error = TypeVar("_Error", bound="RamferryError")


class RamferryError(Exception):
    """Base of every error raised on purpose; its text is one sentence for a person."""

    exit_code: ClassVar[int] = 1

    def reworded(self, sentence: str) -> Self:
        """The same kind of error with another text, for a caller that can add to it where the guest
        is."""
        return _made(type(self), sentence, self.__dict__)


class UsageError(RamferryError, ValueError):
    """A bad option, level, address or call: nothing was touched."""

    exit_code = 2


class PeerUnreachable(RamferryError):
    """Nobody answers at an address, or what answers speaks another protocol."""

    exit_code = 3


class MethodUnavailable(RamferryError):
    """A peer lacks the method or capability that was asked for."""

    exit_code = 4


class MigrationFailed(RamferryError):
    """It ended early. If a guest had begun to move, the text says where it was seen."""

    exit_code = 5


class Cancelled(RamferryError):
    """A person or a supervisor ended it. If a guest had begun to move, the text says where it was
    seen."""

    exit_code = 6


class RemoteProtocolError(RamferryError):
    """A peer sent what the protocol forbids.

    ``expected`` and ``received`` are short phrases; ``channel`` is "main" or "multifd 3";
    ``packet`` is the packet's index in its channel, counted from 0.
    """

    exit_code = 7
    # also of one that another Ramferry told, which is a sentence alone
    expected = received = channel = ""
    packet: int | None = None

    def __init__(
        self, expected: str, received: str, *, channel: str = "", packet: int | None = None
    ) -> None:
        super().__init__(expected, received)
        self.expected = expected
        self.received = received
        self.channel = channel
        self.packet = packet

    def at(self, channel: str, packet: int | None = None) -> Self:
        """Add the channel and packet, unless a deeper layer did already; returns self."""
        self.channel = self.channel or channel
        if self.packet is None:
            self.packet = packet
        return self

    def __str__(self) -> str:
        if len(self.args) == 1:  # reworded
            return str(self.args[0])
        place = self.channel + (f" packet {self.packet}" if self.packet is not None else "")
        return f"{place + ': ' if place else ''}expected {self.expected}, received {self.received}"


class CorruptDataError(RemoteProtocolError):
    """Compressed data is damaged, cut short, or inflates to another size than was promised."""


class HostError(RamferryError):
    """This host refuses: an address in use, a full disk, a missing permission."""

    exit_code = 8


class PeerTimeout(RamferryError):
    """A peer stopped in the middle of what it had begun."""

    exit_code = 9


def unreadable(name: object, error: OSError) -> RamferryError:
    """The error of a file that somebody named and that cannot be opened for reading.

    ``UsageError`` if there is no such file, else ``HostError``.
    """
    missing = isinstance(error, FileNotFoundError | NotADirectoryError)
    kind = UsageError if missing else HostError
    return kind(f"cannot read {name}: {error.strerror}")


def of_exit_code(code: int, sentence: str) -> RamferryError:
    """The error that another Ramferry told, by its exit code; ``MigrationFailed`` for a code that
    no class has."""
    kinds: list[type[RamferryError]] = RamferryError.__subclasses__()
    kind = next((one for one in kinds if one.exit_code == code), MigrationFailed)
    return _made(kind, sentence, {})


def class_names() -> dict[int, str]:
    """Exit code → the name of the class that has it, of the classes in this file."""
    kinds: list[type[RamferryError]] = [RamferryError, *RamferryError.__subclasses__()]
    return {one.exit_code: one.__name__ for one in kinds if one.__module__ == __name__}


def _made(kind: type[_Error], sentence: str, other: dict[str, object]) -> _Error:
    """An error with this text, made without the arguments that its class asks for.

    :param other: what else it holds.
    """
    error = kind.__new__(kind)
    error.args = (sentence,)
    error.__dict__.update(other)
    return error


def kernel_error(number: int) -> OSError:
    """An error as the kernel's, with its words and of its class: ``ECONNRESET`` is a
    ConnectionResetError."""
    return OSError(number, os.strerror(number))
