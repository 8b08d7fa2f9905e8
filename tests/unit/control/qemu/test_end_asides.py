"""A QEMU that does not answer is not asked for long again and again."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from fakes_qmp import FakeQemu
from ramferry.control.qemu.end import AGAIN_SECONDS, ASIDE_SECONDS, QemuEnd, open_end
from ramferry.control.qemu.qmp import Qmp
from ramferry.errors import PeerTimeout
from ramferry.patience import Patience


def test_a_silent_qemu_is_given_less_time_until_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float] = []
    execute, silent = Qmp.execute, True

    def recorded(self: Qmp, command: str, *rest: Any, timeout: float) -> Any:
        limits.append(timeout)
        if silent:
            raise PeerTimeout("no answer, without the wait")
        return execute(self, command, *rest)

    with FakeQemu(tmp_path / "q") as fake, open_end("source", fake.uri) as end:
        monkeypatch.setattr(Qmp, "execute", recorded)
        assert [end.run_state(), end.run_state()] == [None, None]
        silent = False
        assert [end.run_state(), end.run_state()] == ["running", "running"]
        monkeypatch.undo()
    assert limits == [ASIDE_SECONDS, AGAIN_SECONDS, AGAIN_SECONDS, ASIDE_SECONDS]
    assert AGAIN_SECONDS < ASIDE_SECONDS


@pytest.mark.parametrize(
    ("seen", "insists", "found"),
    [([None, None, "running"], False, "running"), ([None, None, "running"], True, None)],
)
def test_a_lost_monitor_is_looked_for_until_somebody_insists(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seen: list[str | None],
    insists: bool,
    found: str | None,
) -> None:
    insist, states = threading.Event(), iter(seen)
    if insists:
        insist.set()
    with FakeQemu(tmp_path / "q") as fake, open_end("source", fake.uri) as end:
        monkeypatch.setattr(QemuEnd, "look", lambda _: next(states))
        monkeypatch.setattr(QemuEnd, "connected", False)
        assert end.find(Patience(10), insist) == found
