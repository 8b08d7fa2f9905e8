"""Method ``qatzip``: gzip members with QATzip's extra field, every packet complete in itself.

A packet is cut into members of 64 KiB if QAT hardware may inflate it, and is one member if software
does: ``vocabulary.MEMBER_SIZES``. ``ramferry.qatzip`` has the format, its levels and its backends.
"""

from __future__ import annotations

from ramferry.codec.base import MAX_PAYLOAD
from ramferry.qatzip import Session
from ramferry.vocabulary import AUTO, MEMBER_SIZE, ONE_MEMBER, PACKET_BYTES, Buffer


class QatzipEncoder(Session):
    """A QATzip session that compresses a channel's packets; a :class:`base.Accelerated`.

    Its ``member_size`` is the most bytes of pages in a member; a full packet has ``PACKET_BYTES``.
    """

    def __init__(self, level: int, accelerator: str = AUTO, members: str = AUTO) -> None:
        """:param level: 1-9, QATzip's meaning.
        :param accelerator: one of ``vocabulary.ACCELERATORS``.
        :param members: one of ``vocabulary.MEMBER_SIZES``. ``auto`` is 64K here, because an encoder
            does not know what inflates. ``packet`` leaves a device alone, which has 64K only.
        :raise MethodUnavailable: a device is required and cannot be had.
        """
        size = PACKET_BYTES if members == ONE_MEMBER else MEMBER_SIZE
        super().__init__(level, member_size=size, accelerator=accelerator)

    def encode(self, pages: memoryview) -> list[Buffer]:
        """Compress ``pages``; incompressible pages grow by 40 bytes and 0.1 % at most."""
        return self.compress_parts(pages)


class QatzipDecoder(Session):
    """A QATzip session that inflates a channel's packets; a :class:`base.Accelerated`."""

    verbatim = False

    @property
    def backend(self) -> str:
        """What inflates: "isa-l", "libdeflate" for packets of one member, or a device's share."""
        return self._backend.inflater

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
