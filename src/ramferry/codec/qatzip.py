"""Method ``qatzip``: gzip members with QATzip's extra field, every packet complete in itself.

Members hold 64 KiB of pages each, so that a destination with QAT hardware can inflate them there;
``ramferry.qatzip`` has the format, its levels and its backends.
"""

from __future__ import annotations

from collections.abc import Mapping

from ramferry.codec.base import MAX_PAYLOAD
from ramferry.qatzip import Session
from ramferry.vocabulary import AUTO, Buffer


class _Sessioned:
    """What encoder and decoder share: a QATzip session, an :class:`base.Accelerated`."""

    def __init__(self, level: int, accelerator: str) -> None:
        self._session = Session(level, accelerator=accelerator)
        self.why = self._session.why

    @property
    def accelerated(self) -> bool:
        """Whether a device was chosen."""
        return self._session.accelerated

    @property
    def backend(self) -> str:
        """What the session works with; a device and the CPU with their shares."""
        return self._session.backend

    @property
    def shares(self) -> Mapping[str, int]:
        """Bytes of pages by engine; empty where no device was chosen."""
        return self._session.shares

    @property
    def trouble(self) -> str:
        """The device's latest failure."""
        return self._session.trouble

    def buffer(self, size: int) -> memoryview:
        """Memory that the device reaches; plain memory without one."""
        return self._session.buffer(size)


class QatzipEncoder(_Sessioned):
    """A QATzip session that compresses."""

    def __init__(self, level: int, accelerator: str = AUTO) -> None:
        """:param level: 1-9, QATzip's meaning.
        :param accelerator: one of ``ramferry.qatzip.ACCELERATORS``.
        :raise MethodUnavailable: a device is required and cannot be had.
        """
        super().__init__(level, accelerator)

    def encode(self, pages: memoryview) -> list[Buffer]:
        """Compress ``pages`` into members of 64 KiB; incompressible pages grow by under 0.2 %."""
        return self._session.compress_parts(pages)


class QatzipDecoder(_Sessioned):
    """A QATzip session that decompresses."""

    verbatim = False

    def __init__(self, accelerator: str = AUTO) -> None:
        """As for the encoder; data tells its level itself."""
        super().__init__(1, accelerator)

    def max_payload(self, pages: int) -> int:  # noqa: ARG002
        """``MAX_PAYLOAD``, however many pages."""
        return MAX_PAYLOAD

    def decode(self, payload: memoryview, out: memoryview) -> None:
        """Inflate all members into ``out``; each one's CRC-32 and length are verified.

        :raise CorruptDataError: a damaged or cut member, bytes left over, or another size than
            ``out``.
        """
        self._session.decompress_into(payload, out)
