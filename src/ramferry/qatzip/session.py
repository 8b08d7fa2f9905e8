"""A QATzip session: one format, one level, one backend, one thread at a time."""

from __future__ import annotations

from ramferry.errors import UsageError
from ramferry.qatzip.base import (
    GZIP_EXT,
    MAX_SIZE,
    MEMBER_SIZE,
    Backend,
    Buffer,
    Result,
    byte_view,
    check_format,
    check_level,
    check_member_size,
)
from ramferry.qatzip.software import SoftwareBackend


class Session:
    """Compresses and decompresses call after call with the same parameters and the same backend.

    A session is used by one thread at a time. What it compresses is stateless: every call's
    result stands alone.
    """

    def __init__(
        self, level: int = 1, *, format: str = GZIP_EXT, member_size: int = MEMBER_SIZE
    ) -> None:
        """Choose the parameters.

        :param level: 1, fastest, to 9, smallest.
        :param format: "gzip-ext", "gzip", "raw", "4B" or "zlib".
        :param member_size: input bytes of a member, for gzip-ext, gzip and 4B: 65536 is the most
            that QATzip's hardware inflates with its default buffers; raw and zlib are one stream.
        :raise UsageError: a parameter is outside its range.
        """
        self.level = check_level(level)
        self.format = check_format(format)
        self.member_size = check_member_size(member_size)
        self._backend: Backend = SoftwareBackend(level, format, member_size)

    @property
    def backend(self) -> str:
        """What compresses at this level: "isa-l" or "libdeflate"."""
        return self._backend.name

    def compress(self, data: object) -> Result:
        """Compress ``data``, any contiguous buffer, which may be empty: one empty member then.

        :return: the compressed bytes, and every backend that took part.
        """
        parts = self._backend.compress_parts(byte_view(data))
        return Result(b"".join(parts), self._backend.used)

    def compress_parts(self, data: memoryview) -> list[Buffer]:
        """Compress ``data``, one-dimensional bytes, for ``sendmsg``: nothing is concatenated.

        :return: header, deflate data (with its trailer, or followed by it) of each member in
            order; valid until the session's next call.
        """
        return self._backend.compress_parts(data)

    def decompress(self, data: object, *, max_size: int = MAX_SIZE) -> Result:
        """Decompress all members in ``data``, any contiguous buffer.

        gzip-ext and gzip read the same: any gzip members, with any optional header fields. No
        member at all gives no bytes, except in raw and zlib, which are one stream at least.

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
    data: object, level: int = 1, *, format: str = GZIP_EXT, member_size: int = MEMBER_SIZE
) -> Result:
    """Compress ``data``, any contiguous buffer; parameters and errors are those of Session.

    :return: the compressed bytes in ``.data``, and in ``.backend`` every backend that ran.
    """
    return Session(level, format=format, member_size=member_size).compress(data)


def decompress(data: object, *, format: str = GZIP_EXT, max_size: int = MAX_SIZE) -> Result:
    """Decompress all members in ``data``; see :meth:`Session.decompress`.

    :return: the bytes in ``.data``, and in ``.backend`` every backend that ran.
    """
    return Session(format=format).decompress(data, max_size=max_size)
