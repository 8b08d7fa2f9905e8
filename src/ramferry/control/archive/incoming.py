"""A receiver that runs in a thread, so that its caller can watch the QEMU meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

from ramferry.errors import RamferryError
from ramferry.flows.contracts import Sink
from ramferry.flows.receiver import Receiver
from ramferry.flows.settings import ReceiveSettings
from ramferry.metrics import ReceiveResult, RelayCounters
from ramferry.transport.address import Address


class Incoming:
    """A context manager that starts a receiver, and ends it."""

    def __init__(self, settings: ReceiveSettings, sink: Sink, note: Callable[[str], None]) -> None:
        """:param note: called from any thread."""
        self.address = settings.listen
        self.note = note
        self.counters: RelayCounters | None = None
        """The latest counters; None before the first."""
        self._settings = settings
        self._sink = sink
        self._receiver: Receiver
        self._result: ReceiveResult | None = None
        self._fault: RamferryError | None = None
        self._thread = threading.Thread(target=self._run, name="receiver")

    def __enter__(self) -> Self:
        """Listen.

        :raise HostError: it cannot listen.
        """
        self._receiver = Receiver(self._settings, self._sink, self)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.runs:
            self.stop("the save ended")
        self._thread.join()

    def _run(self) -> None:
        try:
            self._result = self._receiver.run()
        except RamferryError as error:
            self._fault = error
        except Exception as error:
            self._fault = RamferryError(f"internal error in the receiver: {error!r}")

    @property
    def runs(self) -> bool:
        """True until the migration has ended."""
        return self._thread.is_alive()

    def join(self, seconds: float) -> None:
        """Wait up to ``seconds`` for its end."""
        self._thread.join(seconds)

    def stop(self, reason: str) -> None:
        """Cancel it; see ``Receiver.stop``."""
        self._receiver.stop(reason)

    @property
    def error(self) -> RamferryError | None:
        """Why it ended early; None if it did not."""
        return self._fault or self._receiver.error

    @property
    def result(self) -> ReceiveResult:
        """The result, once it has ended.

        :raise RamferryError: the receiver itself failed.
        """
        if self._result is None:
            raise self._fault or RamferryError("internal error: the receiver has not ended")
        return self._result

    # --- told by the receiver

    def listening(self, address: Address) -> None:
        """Nothing to do: it listens as soon as it is made."""

    def progress(self, counters: RelayCounters) -> None:
        """See ``flows.inlet.watching.Observer``."""
        self.counters = counters
