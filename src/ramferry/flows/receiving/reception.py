"""One migration that ends here: what its threads share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ramferry.errors import MigrationFailed, RamferryError
from ramferry.flows.contracts import MainStream, Sink
from ramferry.flows.gate import Unwind
from ramferry.flows.migration import Migration, Phase
from ramferry.flows.throttle import BufferGovernor
from ramferry.qatzip.accelerator import AUTO
from ramferry.transport.address import Address


@dataclass(frozen=True, slots=True)
class ReceiveSettings:
    """What a receiver was asked to do."""

    listen: Address
    channels: int | None = None
    """multifd-channels; None: as many as are connected when the first sync mark comes;
    0: a source without multifd."""
    threads: int = 0
    """For main's pages; 0: its own thread takes them, which will do beside multifd channels."""
    uuid: bytes = bytes(16)
    """The guest's, where there is no channel to tell it."""
    page_size: int = 4096
    accelerator: str = AUTO
    """One of ``ramferry.qatzip.ACCELERATORS``."""
    stall_timeout: float = 60.0
    """Seconds after which a source that stopped in the middle of something is given up."""
    give_back: bool = False
    """Whether the source is to keep its guest once the sink has it, too: it is told nothing, and
    has to end the migration by itself."""
    switchover_ack: bool = False
    """Whether the source has the switchover-ack capability on: it then waits for one, and fails on
    one that it did not ask for (machine types from 11.1 on)."""


class Reception(Migration):
    """Shared state of one received migration's threads."""

    settings: ReceiveSettings

    def __init__(
        self,
        settings: ReceiveSettings,
        sink: Sink,
        note: Callable[[str], None],
        wake: Callable[[], None],
    ) -> None:
        """:param sink: where pages and the main channel's rest go."""
        super().__init__(settings, note, wake)
        self.sink = sink
        self.uuid = settings.uuid
        self.machine = ""
        self.searching = False
        """Main is behind ram's END, and the end of the stream has not come."""

    def take_over(self, stream: MainStream) -> None:
        """Have the sink finish and make it final; the migration is CONFIRMED when this returns.

        A stop is heeded up to the moment at which the sink begins to make it final, so that it
        leaves nothing behind; from then on it is too late.

        :raise Unwind: the migration has failed, before or now.
        """
        self.sink.finish(stream)
        if not self.advance(Phase.SEALED):
            raise Unwind
        try:
            self.sink.commit()
        except RamferryError as error:
            self.fail(error, final=True)
            raise Unwind from error
        except Exception as error:
            self.fail(RamferryError(f"internal error in the sink: {error!r}"), final=True)
            raise Unwind from error
        self.advance(Phase.CONFIRMED)

    def governor(self) -> BufferGovernor:
        """What sizes the channels' buffers by the rate at which the source sends."""
        return BufferGovernor(
            lambda: sum(one.bytes_in for one in self.tally.channels),
            receiving=lambda: self.sources[1:],
        )

    def waiting(self) -> str:
        """What the migration waits for, where somebody has to do something."""
        if self.searching:
            return "the device state has no end that can be found (is suppress-vmdesc on?)"
        return super().waiting()

    def give_up_gating(self) -> None:
        """Pages of different rounds could not be told apart."""
        self.fail(
            MigrationFailed(
                "main: a device that cannot be parsed hides the sync marks: remove the device and "
                "migrate again"
            )
        )
