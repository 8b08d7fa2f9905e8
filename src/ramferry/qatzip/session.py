"""A QATzip session: one format, one level, one backend, one thread at a time."""

from __future__ import annotations

from collections.abc import Mapping

from ramferry.errors import UsageError
from ramferry.qatzip.accelerator import choose
from ramferry.qatzip.base import (
    MAX_SIZE,
    Result,
    byte_view,
    check_format,
    check_level,
    check_member_size,
)
from ramferry.vocabulary import AUTO, GZIP_EXT, MEMBER_SIZE, Buffer


class Session:
    """Compresses and decompresses call after call with the same parameters and the same backend.

    A session is used by one thread at a time. What it compresses is stateless: every call's
    result stands alone.
    """

    def __init__(
        self,
        level: int = 1,
        *,
        format: str = GZIP_EXT,
        member_size: int = MEMBER_SIZE,
        accelerator: str = AUTO,
    ) -> None:
        """Choose the parameters.

        :param level: 1, fastest, to 9, smallest.
        :param format: "gzip-ext", "gzip", "raw", "4B" or "zlib".
        :param member_size: input bytes of a member, for gzip-ext, gzip and 4B: 65536 is the most
            that QATzip's hardware inflates with its default buffers; raw and zlib are one stream.
        :param accelerator: "auto": a QAT device where a test job proved it, done once in a process;
            "require": a device or an error; "off": the CPU.
        :raise UsageError: a parameter is outside its range.
        :raise MethodUnavailable: a device is required and cannot be had.
        """
        self.level = check_level(level)
        self.format = check_format(format)
        self.member_size = check_member_size(member_size)
        self._backend, self.why = choose(accelerator, level, format, member_size)

    @property
    def backend(self) -> str:
        """What works: "isa-l" or "libdeflate" by the level, "qat", "qat 93 % / isa-l 7 %"."""
        return self._backend.name

    @property
    def accelerated(self) -> bool:
        """Whether a device was chosen, lost or not."""
        return self._backend.accelerated

    @property
    def shares(self) -> Mapping[str, int]:
        """Bytes of data by engine so far; empty if no device was chosen."""
        return self._backend.shares

    @property
    def trouble(self) -> str:
        """The latest failure of the device, whose work the CPU then did; empty if it did not
        fail."""
        return self._backend.trouble

    def buffer(self, size: int) -> memoryview:
        """Memory of ``size`` bytes to pass to this session, which a device reads without a copy."""
        return self._backend.buffer(size)

    def compress(self, data: object) -> Result:
        """Compress ``data``, any contiguous buffer, which may be empty: one empty member then.

        :return: the compressed bytes, and every backend that took part.
        """
        parts = self._backend.compress_parts(byte_view(data))
        return Result(b"".join(parts), self._backend.used)

    def compress_parts(self, data: memoryview) -> list[Buffer]:
        """Compress ``data``, one-dimensional bytes, for ``sendmsg``: nothing is concatenated.

        :return: the members in order, in one part or several; valid until the session's next call.
        """
        return self._backend.compress_parts(data)

    def decompress(self, data: object, *, max_size: int = MAX_SIZE) -> Result:
        """Decompress all members in ``data``, any contiguous buffer.

        gzip-ext and gzip read the same: any gzip members, with any optional header fields; zeros
        behind the last, with which tapes fill their blocks, are passed over. No member at all gives
        no bytes, except in raw and zlib, which are one stream at least.

        :param max_size: most bytes to put out; the error comes before more is allocated.
        :raise CorruptDataError: damage, truncation, trailing bytes, or more than ``max_size``.
        """
        if max_size < 0:
            raise UsageError(f"max_size must be 0 or more bytes, not {max_size}")
        return Result(self._backend.decompress(byte_view(data), max_size), self._backend.used)

    def decompress_into(self, payload: memoryview, out: memoryview) -> None:
        """Decompress all members in ``payload`` into ``out``, both one-dimensional bytes.

        :param out: the caller's; its size is the promise that is kept exactly, empty included.
        :raise CorruptDataError: damage, truncation, trailing bytes, or ``out`` is not filled
            exactly; what it then holds is undefined.
        """
        self._backend.decompress_into(payload, out)


def compress(
    data: object,
    level: int = 1,
    *,
    format: str = GZIP_EXT,
    member_size: int = MEMBER_SIZE,
    accelerator: str = AUTO,
) -> Result:
    """Compress ``data``, any contiguous buffer; parameters and errors are those of Session.

    :return: the compressed bytes in ``.data``, and in ``.backend`` every backend that ran.
    """
    session = Session(level, format=format, member_size=member_size, accelerator=accelerator)
    return session.compress(data)


def decompress(
    data: object, *, format: str = GZIP_EXT, max_size: int = MAX_SIZE, accelerator: str = AUTO
) -> Result:
    """Decompress all members in ``data``; see :meth:`Session.decompress`.

    :return: the bytes in ``.data``, and in ``.backend`` every backend that ran.
    """
    return Session(format=format, accelerator=accelerator).decompress(data, max_size=max_size)
