"""What an outlet has to be told."""

from __future__ import annotations

from typing import Protocol

from ramferry.flows.session.roles import FlowSettings
from ramferry.transport.address import Address
from ramferry.transport.security import Security


class OutletSettings(FlowSettings, Protocol):
    """The settings of an outlet, besides those of every flow."""

    @property
    def connect(self) -> Address:
        """The address at which the destination listens."""

    @property
    def security(self) -> Security | None:
        """Credentials, and what is allowed without them."""

    @property
    def clear_in(self) -> bool:
        """Whether what comes in is not encrypted."""

    @property
    def method(self) -> str:
        """The multifd-compression of what goes out."""

    @property
    def level(self) -> int | None:
        """The method's level; None: its default, unless ``auto_level``."""

    @property
    def auto_level(self) -> bool:
        """Whether each packet's level is chosen."""

    @property
    def member_size(self) -> str:
        """One of ``vocabulary.MEMBER_SIZES``."""

    @property
    def max_bandwidth(self) -> float:
        """Bytes per second; 0: no cap."""
