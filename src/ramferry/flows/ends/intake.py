"""The receiving end of one migration: puts a sink behind an inlet."""

from __future__ import annotations

from collections.abc import Callable

from ramferry.errors import MigrationFailed, RamferryError
from ramferry.flows.contracts import MainStream, Sink
from ramferry.flows.session.gate import Unwind
from ramferry.flows.session.session import Phase, Session
from ramferry.flows.session.throttle import BufferGovernor
from ramferry.flows.settings import ReceiveSettings
from ramferry.transport.connection import Connection


class Intake:
    """What a receiver's channels share besides their session: the sink, and how it finishes."""

    introduced = True
    """See ``Behind``; always True, as a sink has nothing to connect."""

    def __init__(
        self,
        session: Session,
        settings: ReceiveSettings,
        sink: Sink,
        confirmed: Callable[[], None] = lambda: None,
    ) -> None:
        """
        :param sink: where pages and the main channel's rest go.
        :param confirmed: called, in main's thread, once the sink has made the guest final.
        """
        self.session = session
        self._confirmed = confirmed
        self.settings = settings
        self.sink = sink
        self.machine = ""
        """The machine type's versioned name, once main has told it."""
        self.searching = False
        """True between ram's END section and the end of the stream."""
        session.uuid = settings.uuid
        session.behind = self
        session.ends_here = True

    def take_over(self, stream: MainStream) -> None:
        """Call the sink's ``finish`` and ``commit``; the migration is CONFIRMED when this returns.

        Until ``commit`` is called, a stop ends the migration and nothing is left behind; from then
        on it is too late.

        :raise Unwind: the migration has failed, before or now.
        """
        session = self.session
        self.sink.finish(stream)
        if not session.advance(Phase.SEALED):
            raise Unwind
        try:
            self.sink.commit()
        except RamferryError as error:
            session.fail(error, final=True)
            raise Unwind from error
        except Exception as error:
            session.fail(RamferryError(f"internal error in the sink: {error!r}"), final=True)
            raise Unwind from error
        session.taken = True
        session.advance(Phase.CONFIRMED)
        self._confirmed()

    def governor(self) -> BufferGovernor:
        """What sizes the channels' buffers by the rate at which the source sends."""
        session = self.session
        return BufferGovernor(
            lambda: session.tally.bytes_in,
            receiving=lambda: session.sources[1:],
        )

    # --- as what lies behind an inlet

    @property
    def waits(self) -> str:
        """See ``Behind``."""
        if self.searching:
            return "the device state has no end that can be found (is suppress-vmdesc on?)"
        return ""

    def untaken(self) -> int:
        """See ``Behind``."""
        return 0

    def blinded(self) -> None:
        """See ``Behind``: fail, since pages of different rounds could not be told apart."""
        self.session.fail(
            MigrationFailed(
                "main: a device that cannot be parsed hides the sync marks: remove the device and "
                "migrate again"
            )
        )

    def unblock(self) -> None:
        """See ``Behind``; nothing to do, as no thread waits for a sink."""

    def tear_down(self) -> None:
        """See ``Behind``."""

    def connections(self) -> list[Connection]:
        """See ``Behind``."""
        return []
