"""What every part of the QATzip layer shares: formats, limits, results, and a backend's contract.

A :class:`Backend` does the work of one session in one format. The software one is
``software.py``, the one for QAT devices ``hardware.py``; ``accelerator.py`` chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ramferry.errors import UsageError
from ramferry.vocabulary import (
    FORMATS,
    FOUR_BYTE,
    GZIP,
    GZIP_EXT,
    MAX_MEMBER_SIZE,
    METHOD_LEVELS,
    Buffer,
)

GZIP_FORMATS = frozenset({GZIP_EXT, GZIP})
"""Formats whose members are gzip members: a reader of one reads the other."""

MEMBER_FORMATS = frozenset({GZIP_EXT, GZIP, FOUR_BYTE})
"""Formats cut into members of ``member_size`` bytes; raw and zlib are always one stream."""

LEVELS = METHOD_LEVELS["qatzip"]

ISAL, LIBDEFLATE, STDLIB = "isa-l", "libdeflate", "zlib"
"""The names of the engines of the CPU, in results."""

MAX_SIZE = 1 << 30
"""Default cap of what :func:`ramferry.qatzip.decompress` puts out, in bytes."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one call gave, and who did it."""

    data: bytes | bytearray
    """The compressed or decompressed bytes; the caller's from here on."""
    backend: str
    """Every backend that ran, in the order of its first use: "isa-l", "isa-l + zlib" …"""


@dataclass(frozen=True, slots=True)
class Totals:
    """What one stream gave, and who did it."""

    bytes_in: int
    bytes_out: int
    backend: str
    """Every backend that ran, as in :attr:`Result.backend`."""


class Backend(Protocol):
    """Compresses and decompresses for one session: one format, one level, one thread at a time.

    Everything expensive inside a backend releases the GIL.
    """

    @property
    def name(self) -> str:
        """What does the work at this level: "isa-l", "libdeflate"; a device with its share: "qat 93
        % / isa-l 7 %"."""

    @property
    def inflater(self) -> str:
        """What has inflated into memory of callers so far, as ``name``."""

    @property
    def used(self) -> str:
        """Every engine that ran in the latest call, in the order of its first use."""

    @property
    def accelerated(self) -> bool:
        """Whether a device was chosen, lost or not."""

    @property
    def shares(self) -> Mapping[str, int]:
        """Bytes of data, uncompressed, by engine so far; empty if there is only one engine."""

    @property
    def trouble(self) -> str:
        """The latest failure of the device, whose work the CPU did; empty if none failed."""

    def buffer(self, size: int) -> memoryview:
        """Memory of ``size`` bytes to pass to this backend, which a device reads without a copy."""

    def compress_parts(self, data: memoryview) -> list[Buffer]:
        """Compress ``data`` as a whole number of members, in the session's format.

        ``data`` may be empty and is not changed; nothing of it is kept.

        :return: the members in order, in one part or several, for ``sendmsg``; the backend's, and
            valid until the next call.
        """

    def decompress(self, data: memoryview, max_size: int) -> bytearray:
        """Decompress all members in ``data``.

        :return: at most ``max_size`` bytes, the caller's.
        :raise CorruptDataError: damage, truncation, trailing bytes, or more than ``max_size``.
        """

    def decompress_into(self, payload: memoryview, out: memoryview) -> None:
        """Decompress all members in ``payload`` into ``out``, the caller's, filling it exactly.

        :raise CorruptDataError: as above, or ``out`` is not filled exactly; what ``out`` then
            holds is undefined.
        """


def check_format(name: str) -> str:
    """Return ``name``, one of :data:`FORMATS`.

    :raise UsageError: it is none of them.
    """
    if name not in FORMATS:
        raise UsageError(f"format must be one of {', '.join(FORMATS)}, not {name!r}")
    return name


def check_level(level: int) -> int:
    """Return ``level``, one of :data:`LEVELS`.

    :raise UsageError: it is outside of them.
    """
    if level not in LEVELS:
        raise UsageError(f"level must be {LEVELS[0]} to {LEVELS[-1]}, not {level!r}")
    return level


def check_member_size(size: int) -> int:
    """Return ``size``, input bytes of a member.

    :raise UsageError: it is not 1 to :data:`MAX_MEMBER_SIZE`.
    """
    if not 1 <= size <= MAX_MEMBER_SIZE:
        raise UsageError(f"member size must be 1 to {MAX_MEMBER_SIZE} bytes, not {size!r}")
    return size


def byte_view(data: object) -> memoryview:
    """View any contiguous buffer as bytes, without a copy.

    :raise UsageError: ``data`` is no buffer, or has gaps.
    """
    try:
        view = memoryview(data)  # type: ignore[arg-type]
    except TypeError:
        raise UsageError(f"data must be a buffer of bytes, not {type(data).__name__}") from None
    if not view.c_contiguous:
        raise UsageError("data must be contiguous, not a buffer with gaps")
    return view.cast("B") if view.nbytes else memoryview(b"")
