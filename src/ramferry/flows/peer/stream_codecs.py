"""The codecs of a tunnel's connections, as its migration's settings want them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ramferry.codec import Decoder, Encoder, create_decoder, create_encoder
from ramferry.flows.session.session import Session
from ramferry.flows.session.tally import ChannelTally
from ramferry.vocabulary import OFF

if TYPE_CHECKING:
    from ramferry.flows.choosing.chooser import Chooser


class StreamCodecs:
    """Makes codecs. The way back carries little: it is not worth a device, nor a line in the
    result."""

    def __init__(self, session: Session, *, onward: bool) -> None:
        """:param onward: whether this side connected, and sends where the migration goes."""
        self._session = session
        self._onward = onward

    def encoders(
        self, method: str, level: int | None, member_size: str, chooser: Chooser | None = None
    ) -> Callable[[ChannelTally], Encoder]:
        """What makes a connection's encoder.

        :param chooser: chooses each piece's method in place of ``method``; None: nothing does.
        """
        if chooser is not None:
            return partial(self._chosen, chooser)
        return partial(self._encoder, method, level, member_size)

    def _chosen(self, chooser: Chooser, tally: ChannelTally) -> Encoder:
        encoder = chooser.encoder(tally)
        self._session.engines.add(create_decoder("none"), encoder)
        return encoder

    def _encoder(
        self, method: str, level: int | None, member_size: str, _: ChannelTally
    ) -> Encoder:
        settings = self._session.settings
        encoder = create_encoder(
            method,
            level,
            page_size=settings.page_size,
            accelerator=settings.accelerator if self._onward else OFF,
            member_size=member_size,
        )
        if self._onward:
            self._session.engines.add(create_decoder("none"), encoder)
        return encoder

    def decoder(self, method: str) -> Decoder:
        """Make a connection's decoder.

        :raise RemoteProtocolError: another connection came with another method, and that was not
            agreed on.
        """
        settings = self._session.settings
        decoder = create_decoder(
            method,
            page_size=settings.page_size,
            accelerator=OFF if self._onward else settings.accelerator,
        )
        if not self._onward:
            self._session.note_codecs(method, decoder, None)
        return decoder
