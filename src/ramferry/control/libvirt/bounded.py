"""Questions that somebody may never answer, asked in threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from ramferry.errors import PeerTimeout
from ramferry.patience import Patience

_LOOK: Final = 0.1
_Answer = TypeVar("_Answer")


class Aside:
    """One piece of work in a thread, which a caller that heeds signals waits for."""

    def __init__(self, work: Callable[[], object], name: str) -> None:
        """Begin. At this process's end the work ends as it is."""
        self.answer: object = None
        self.error: BaseException | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait up to so long; whether it is through."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.answer = self._work()
        except BaseException as error:
            self.error = error


def within(seconds: float, work: Callable[[], _Answer], what: str) -> _Answer:
    """Run ``work``, and wait for it.

    :param what: who does not answer, for the error: "the libvirt at qemu:///system".
    :raise PeerTimeout: it takes longer than ``seconds``; it goes on by itself.
    :raise BaseException: what it raises.
    """
    aside, patience = Aside(work, what), Patience(seconds)
    while not aside.wait(_LOOK):
        if patience.over:
            raise PeerTimeout(f"{what} does not answer within {seconds:g} s")
    if aside.error is not None:
        raise aside.error
    answer: _Answer = aside.answer  # type: ignore[assignment] # of `work`, which returned it
    return answer
