"""Method ``qatzip``: gzip members with QATzip's extra field, every packet complete in itself.

Members hold 64 KiB of pages each, so that a destination with QAT hardware can inflate them there;
``ramferry.qatzip`` has the format, its levels and its backends.
"""

from __future__ import annotations

from ramferry.codec.base import MAX_PAYLOAD
from ramferry.qatzip import Session
from ramferry.vocabulary import AUTO, Buffer


class QatzipEncoder(Session):
    """A QATzip session that compresses a channel's packets; a :class:`base.Accelerated`."""

    def __init__(self, level: int, accelerator: str = AUTO) -> None:
        """:param level: 1-9, QATzip's meaning.
        :param accelerator: one of ``vocabulary.ACCELERATORS``.
        :raise MethodUnavailable: a device is required and cannot be had.
        """
        super().__init__(level, accelerator=accelerator)

    def encode(self, pages: memoryview) -> list[Buffer]:
        """Compress ``pages`` into members of 64 KiB; incompressible pages grow by under 0.2 %."""
        return self.compress_parts(pages)


class QatzipDecoder(Session):
    """A QATzip session that inflates a channel's packets; a :class:`base.Accelerated`."""

    verbatim = False

    def __init__(self, accelerator: str = AUTO) -> None:
        """As for the encoder; inflating needs no level."""
        super().__init__(accelerator=accelerator)

    def max_payload(self, pages: int) -> int:  # noqa: ARG002
        """``MAX_PAYLOAD``, however many pages."""
        return MAX_PAYLOAD

    def decode(self, payload: memoryview, out: memoryview) -> None:
        """Inflate all members into ``out``; each one's CRC-32 and length are verified.

        :raise CorruptDataError: a damaged or cut member, bytes left over, or another size than
            ``out``.
        """
        self.decompress_into(payload, out)
