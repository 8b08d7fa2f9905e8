"""Two real relays in one process that speak ``relay:`` to each other, between the fakes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fakes_relay import NOTICE, RelayThread, Stage, until
from fakes_source import SETTLE
from fakes_wire import Script
from ramferry.metrics import RelayResult
from ramferry.transport.address import Place, RelayAddress, UnixAddress


@dataclass(frozen=True)
class Pair:
    """The relay beside the source, ``near``, and the one beside the destination, ``far``."""

    stage: Stage
    near: RelayThread
    far: RelayThread

    def carry(self, script: Script, nth: int = 1) -> None:
        """A good migration, after which both relays say so."""
        self.stage.carry(self.near, script, nth)
        result = self.far.finished(nth)
        assert (result.completed, result.error) == (True, "")

    def fail(
        self, script: Script, nth: int = 1, *, late: bool = False
    ) -> tuple[RelayResult, RelayResult]:
        """A migration that must fail at all four; how it ended at both relays.

        :param late: whether that may be in the switchover; else ram's END must not come.
        """
        with (
            self.stage.destination(script.guest) as destination,
            self.stage.source(self.near, script) as source,
        ):
            results = self.near.finished(nth), self.far.finished(nth)
            assert source.done.wait(SETTLE)
            until(lambda: not source.left(), NOTICE, "the source's connections end")
            until(destination.all_ended, NOTICE, "the destination's connections end")
            assert source.status == "failed"
        assert [result.completed for result in results] == [False, False]
        assert not destination.complete
        # the last of the marks is in ram's END
        assert late or len(destination.marks) <= script.guest.rounds
        return results


def place_of(relay: RelayThread) -> Place:
    """Where a relay that listens at a ``relay:`` address really listens."""
    address = relay.address
    assert isinstance(address, RelayAddress)
    return address.place


def peer_stage(folder: Path, method_out: str = "none", **settings: object) -> Stage:
    """A stage whose relay, the far one of a pair, lets Ramferrys call only."""
    stage = Stage(folder, method=method_out, **settings)
    stage.change(listen=RelayAddress(UnixAddress(str(folder / "relay"))))
    return stage


@contextlib.contextmanager
def pair(
    stage: Stage, between: str = "zstd", through: Place | None = None, **near: object
) -> Iterator[Pair]:
    """
    :param between: the method that is spoken between the two.
    :param through: what stands between the two; None: nothing.
    :param near: other settings of the relay beside the source.
    """
    with RelayThread(stage.settings) as far:
        settings = replace(
            stage.settings,
            listen=UnixAddress(str(stage.folder / "near")),
            connect=RelayAddress(through or place_of(far)),
            **{"method": between, **near},  # type: ignore[arg-type]
        )
        with RelayThread(settings) as first:
            yield Pair(stage, first, far)
