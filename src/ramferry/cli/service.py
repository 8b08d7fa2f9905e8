"""What signals mean to a relay that runs as a service: it drains, it reads certificates again."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final

from ramferry.cli.supervision import Supervision
from ramferry.errors import RamferryError
from ramferry.flows.relay import Relay
from ramferry.metrics.notes import warning
from ramferry.patience import Patience
from ramferry.transport import credentials
from ramferry.transport.security import Security

RELOAD: Final = signal.SIGUSR1
"""The signal at which certificates are read again; SIGHUP says that whoever started it has gone."""
_SOON: Final = timedelta(days=30)
"""A certificate that expires within this is told of."""


class Service:
    """Ends a relay and renews its credentials as its signals want it."""

    def __init__(
        self,
        relay: Relay,
        supervision: Supervision,
        drain: float,
        read: Callable[[], Security] | None,
    ) -> None:
        """
        :param drain: seconds that migrations under way may go on after the first signal; 0: they
            are cancelled at once.
        :param read: reads the policy with its credentials again; None where there are none.
        """
        self._relay = relay
        self._supervision = supervision
        self._drain = drain
        self._read = read
        self._signalled = False
        self._patience: Patience | None = None
        """With migrations under way, once they drain."""
        relay.when_turned(self._turned)

    def heed(self, number: int) -> None:
        """Do what a signal wants; safe from a signal handler."""
        name = signal.Signals(number).name
        if number == signal.SIGHUP:
            self._relay.leave(name)
        elif number == RELOAD:
            self._relay.call(self._reload)
        else:
            self._relay.call(partial(self._end, name))

    def _turned(self) -> None:
        self._supervision.turned()
        if self._patience is not None and self._patience.over:
            self._patience = None
            self._relay.stop(f"the {self._drain:g} s of --drain are over")

    def _end(self, name: str) -> None:
        again, self._signalled = self._signalled, True
        self._supervision.stopping(name)
        if again or not self._drain:
            self._patience = None
            self._relay.stop(name)
        elif self._relay.drain():
            self._patience = Patience(self._drain)
            self._supervision.note(
                f"{name}: no new migration is taken; what is under way has {self._drain:g} s to end"
                " (signal again to cancel it)"
            )

    def _reload(self) -> None:
        self._supervision.reloading()
        for sentence in self._reloaded():
            self._supervision.note(sentence)
        self._supervision.reloaded()

    def _reloaded(self) -> list[str]:
        if self._read is None:
            return [f"{RELOAD.name}: there is no --tls-creds to be read again"]
        try:
            security = self._read()
            self._relay.renew(security)
        except RamferryError as error:
            return [warning(f"the former certificates stay in use: {error}")]
        return [
            f"{RELOAD.name}: new connections use the certificates as they are now",
            *map(warning, told(security)),
        ]


def told(security: Security) -> list[str]:
    """What a person should know of credentials that lie in a folder: a sentence for each
    certificate that expires soon."""
    return credentials.expiring(security.credentials, _SOON) if security.credentials else []
