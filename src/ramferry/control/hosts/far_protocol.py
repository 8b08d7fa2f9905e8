"""What ``ramferry`` and its far half, started over ssh, say to one another: lines of JSON.

The far half begins with a ``Hello``. Then the near half asks and the far half answers each
question by its number, in any order. Streams carry bytes beside that, each under a number that the
near half chose: both directions of a monitor's connection, and what a process that was started
there prints. A line is at most ``MOST_BYTES`` long; ``Piece`` has at most ``PIECE_BYTES``.

``PROTOCOL`` changes with these messages, and with the options of ``ramferry relay`` that the near
half uses: two halves of different numbers refuse each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ramferry.typed import decoder

PROTOCOL: Final = 2
MOST_BYTES: Final = 1 << 20
PIECE_BYTES: Final = 1 << 16

TICK_SECONDS: Final = 1.0
"""How often the far half says something, so that its kernel notices that nothing arrives."""
BEAT_SECONDS: Final = 5.0
"""How often the near half says something."""
SILENCE_SECONDS: Final = 90.0
"""Silence of the near half after which the far half ends: where it cannot look at the connection
of its ssh, or that leads to a host in between. Longer than a near half is likely to be stopped."""


class Hello(msgspec.Struct, frozen=True):
    """The far half's first line."""

    ramferry_far: int
    """Its ``PROTOCOL``."""
    version: str
    """Of its Ramferry."""
    address: str = ""
    """The address of its host that ssh connected to; empty if it is not known."""
    origin: str = ""
    """The address that ssh connected from; empty if it is not known."""


# --- questions


class OpenMonitor(msgspec.Struct, frozen=True, tag="monitor"):
    """Connect to a monitor; its bytes go by ``stream``. The answer is the process id at its far
    end, or None."""

    stream: int
    path: str
    seconds: float


class Locate(msgspec.Struct, frozen=True, tag="locate"):
    """Which process vCPU threads belong to; the answer is its id, or None."""

    peer_pid: int | None
    threads: tuple[int, ...]


class LocateDomain(msgspec.Struct, frozen=True, tag="domain"):
    """The QEMU of a libvirt domain; the answer is its process id and the thread ids of its vCPUs,
    or None."""

    name: str
    uuid: str


class Forsake(msgspec.Struct, frozen=True, tag="forsake"):
    """Remove a socket at the end, if whoever is to make it leaves it there; no answer."""

    path: str


class Cpu(msgspec.Struct, frozen=True, tag="cpu"):
    """A QEMU's CPU seconds without those of its vCPU threads; the answer is a number or None."""

    pid: int
    threads: tuple[int, ...]


class MakeFolder(msgspec.Struct, frozen=True, tag="folder"):
    """Make a folder that a QEMU may use; the answer is its path, by which it is called."""

    uri: str
    pid: int | None


class RequireFolder(msgspec.Struct, frozen=True, tag="require"):
    """See ``Folder.require``; no answer."""

    path: str
    writes: bool


class HandOverFolder(msgspec.Struct, frozen=True, tag="hand over"):
    """See ``Folder.hand_over``; no answer."""

    path: str


class RemoveFolder(msgspec.Struct, frozen=True, tag="remove"):
    """Remove a folder; no answer."""

    path: str


class Accelerates(msgspec.Struct, frozen=True, tag="accelerates"):
    """Whether a QAT device may work there under a policy; the answer is a truth value."""

    policy: str


class Meet(msgspec.Struct, frozen=True, tag="meet"):
    """Listen at a free port, or at a socket's path, for one connection that begins with ``token``.

    The answer is where: the host to listen at and the port, or the path and 0.
    """

    host: str
    first: int
    last: int
    token: str
    path: str = ""
    """Empty for a port."""


class Met(msgspec.Struct, frozen=True, tag="met"):
    """Whether a connection with that token has come to the port of ``Meet``, which is closed."""

    token: str


class Start(msgspec.Struct, frozen=True, tag="start"):
    """Start ``ramferry`` with these arguments. It prints to two streams, the first of which ends
    with its exit code. The answer is its process id."""

    out: int
    err: int
    arguments: tuple[str, ...]
    secret: bytes = b""
    """What it reads from its standard input."""


class End(msgspec.Struct, frozen=True, tag="end"):
    """Send a process that was started a signal; no answer."""

    out: int
    kill: bool = False


Question = (
    OpenMonitor
    | Locate
    | LocateDomain
    | Forsake
    | Cpu
    | MakeFolder
    | RequireFolder
    | HandOverFolder
    | RemoveFolder
    | Accelerates
    | Meet
    | Met
    | Start
    | End
)


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """A question under a number."""

    number: int
    question: Question


# --- answers


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """The answer to the question of that number."""

    number: int
    value: Any = None


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """The question of that number has no answer."""

    number: int
    text: str
    exit_code: int
    """Of the error's class in ``ramferry.errors``."""
    errno: int = 0
    """If it is an error of the kernel's."""


ANSWERS: Final[Mapping[type, Any]] = {
    OpenMonitor: int | None,
    Locate: int | None,
    LocateDomain: tuple[int, tuple[int, ...]] | None,
    Cpu: float | None,
    MakeFolder: str,
    Accelerates: bool,
    Meet: tuple[str, int],
    Met: bool,
    Start: int,
}
"""What the answers to questions are; to those that are missing it may be anything."""

# --- both ways


class Piece(msgspec.Struct, frozen=True, tag="piece"):
    """Bytes of a stream."""

    stream: int
    data: bytes


class Over(msgspec.Struct, frozen=True, tag="over"):
    """The end of a stream, and the exit code of the process that printed it."""

    stream: int
    exit_code: int = 0


class Alive(msgspec.Struct, frozen=True, tag="alive"):
    """Nothing else is to be said."""


FromNear = Ask | Piece | Over | Alive
FromFar = Answer | Refusal | Piece | Over | Alive

from_near: Final = decoder(FromNear)
from_far: Final = decoder(FromFar)
hello: Final = decoder(Hello)


def line(message: msgspec.Struct) -> bytes:
    """A message as its line."""
    return msgspec.json.encode(message) + b"\n"
