"""Method ``qatzip``: gzip members with QATzip's extra field, every packet complete in itself.

Members hold 64 KiB of pages each, so that a destination with QAT hardware can inflate them there;
``ramferry.qatzip`` has the format, its levels and its backends.
"""

from __future__ import annotations

from ramferry.codec.base import MAX_PAYLOAD, Buffer
from ramferry.qatzip import Session


class QatzipEncoder:
    """A QATzip session that compresses."""

    def __init__(self, level: int) -> None:
        """:param level: 1-9, QATzip's meaning."""
        self._session = Session(level=level)

    @property
    def backend(self) -> str:
        """What the session compresses with."""
        return self._session.backend

    def encode(self, pages: memoryview) -> list[Buffer]:
        """Compress ``pages`` into members of 64 KiB; incompressible pages grow by under 0.2 %."""
        return self._session.compress_parts(pages)


class QatzipDecoder:
    """A QATzip session that decompresses."""

    verbatim = False

    def __init__(self) -> None:
        self._session = Session()

    @property
    def backend(self) -> str:
        """What the session decompresses with."""
        return self._session.backend

    def max_payload(self, pages: int) -> int:  # noqa: ARG002
        """``MAX_PAYLOAD``, however many pages."""
        return MAX_PAYLOAD

    def decode(self, payload: memoryview, out: memoryview) -> None:
        """Inflate all members into ``out``; each one's CRC-32 and length are verified.

        :raise CorruptDataError: a damaged or cut member, bytes left over, or another size than
            ``out``.
        """
        self._session.decompress_into(payload, out)
