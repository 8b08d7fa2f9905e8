"""What a session asks of its settings, and of what lies behind its inlet."""

from __future__ import annotations

from typing import Protocol

from ramferry.metrics.choosing import Choosing
from ramferry.transport.connection import Connection


class FlowSettings(Protocol):
    """The settings of every flow."""

    @property
    def page_size(self) -> int:
        """Target page size in bytes."""

    @property
    def channels(self) -> int | None:
        """multifd-channels; None: as many as are connected when the first sync mark comes."""

    @property
    def stall_timeout(self) -> float:
        """Seconds after which a peer that stopped in the middle of something is given up."""

    @property
    def accelerator(self) -> str:
        """One of ``ramferry.qatzip.ACCELERATORS``."""

    @property
    def verify(self) -> bool:
        """Whether digests are offered to a far end that is a Ramferry."""

    @property
    def decide(self) -> float:
        """Seconds that a far end that is a Ramferry is waited for with the outcome of a switchover,
        and that it is kept for one; 0: neither is done."""

    @property
    def cpu_limit(self) -> float:
        """Cores that a choice of methods reckons with at most; 0: those that are free."""


class Chosen(Protocol):
    """What chooses a method for each packet, as those who tell of a migration know it."""

    @property
    def line(self) -> str:
        """What is chosen now, and why, in a few words."""

    @property
    def early(self) -> bool:
        """Whether little is known yet, so that it is to be looked at often."""

    @property
    def wire_bytes(self) -> dict[str, int]:
        """Bytes of payload sent so far, by method."""

    def result(self) -> Choosing:
        """All that was chosen so far."""


class Behind(Protocol):
    """What lies behind the inlet of a migration: an outlet towards a destination, or a sink."""

    @property
    def introduced(self) -> bool:
        """True once main's first bytes have shown what is to be carried."""

    @property
    def waits(self) -> str:
        """A phrase that says what it waits for; empty if it waits for marks only."""

    def untaken(self) -> int:
        """Bytes that the far side has not taken of the multifd channel that has most of them."""

    def blinded(self) -> None:
        """Called if main's marks cannot be seen any more and every channel waits for one."""

    def unblock(self) -> None:
        """The migration has failed: wake the threads that wait in this object."""

    def tear_down(self) -> None:
        """End its connections, in the order that keeps a destination QEMU's monitor answering."""

    def connections(self) -> list[Connection]:
        """All its connections, main first."""
