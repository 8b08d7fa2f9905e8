"""Questions to a QEMU whose answers only make a sentence better, or an end tidier."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from ramferry.errors import MethodUnavailable, PeerTimeout, RamferryError
from ramferry.patience import Patience

ASIDE_SECONDS = 3.0
"""How long such a question may take. A destination that waits for a lost channel never answers
again."""
AGAIN_SECONDS = 0.5
"""The same, if the last such question was not answered."""
LET_GO_SECONDS = 10.0
"""How long a QEMU may hold channels of a migration that has ended: milliseconds as a rule. One
question may take 3 s of it."""
LET_GO_POLL: Final = 0.01


class Asides:
    """Asks one QEMU, and waits for a shorter time if the last question got no answer.

    A QEMU that answers again does so within milliseconds; six questions to one that hung made the
    end of a migration take 18 s.
    """

    def __init__(self, execute: Callable[..., Any]) -> None:
        """
        :param execute: as ``Qmp.execute``, on the connection of the moment.
        """
        self._execute = execute
        self._silent = False
        """True if it did not answer the last question."""

    def ask(self, command: str) -> Any:
        """Run a command without arguments; see ``Qmp.execute``."""
        limit = AGAIN_SECONDS if self._silent else ASIDE_SECONDS
        try:
            answer = self._execute(command, timeout=limit)
        except PeerTimeout:
            self._silent = True
            raise
        self._silent = False
        return answer

    def status(self) -> str:
        """The migration's status; "none" if there was none, empty if the QEMU does not answer."""
        with suppress(RamferryError):
            return str(self.ask("query-migrate").get("status", "none"))
        return ""

    def run_state(self) -> str | None:
        """The run state by ``query-status``; None if the QEMU does not answer."""
        with suppress(RamferryError):
            return str(self.ask("query-status")["status"])
        return None

    def let_go(self) -> bool:
        """Wait until the QEMU holds no connection of a migration any more; False if it still does.

        It says "failed", or "completed", a few milliseconds before it cleans up, and cleans up by
        the settings of that moment: if multifd is off by then, it forgets its channels, and ends
        itself of an assertion in ``yank_unregister_instance``, the guest with it
        (``docs/platforms/libvirt.md``, 1 of 240 broken migrations of QEMU 7.2 as of 10.0). The
        instances of ``query-yank`` are what that assertion is about.

        :raise PeerTimeout: it does not answer.
        :raise PeerUnreachable: it has ended.
        """
        patience = Patience(LET_GO_SECONDS, longest_step=ASIDE_SECONDS)
        while self._holds():
            if patience.over:
                return False
            time.sleep(LET_GO_POLL)
        return True

    def _holds(self) -> bool:
        try:
            instances = self.ask("query-yank")
        except MethodUnavailable:  # before 6.0, which has no such assertion either
            return False
        return any(one["type"] == "migration" for one in instances)
