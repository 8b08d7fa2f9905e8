"""A QEMU that does not answer is not asked for long again and again."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from fakes_qmp import FakeQemu
from ramferry.control.qemu import end as end_module
from ramferry.control.qemu.end import QemuEnd, open_end
from ramferry.control.qemu.qmp import Qmp
from ramferry.patience import Patience


def test_a_silent_qemu_is_given_less_time_until_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(end_module, "ASIDE_SECONDS", 0.2)
    monkeypatch.setattr(end_module, "AGAIN_SECONDS", 0.1)
    limits: list[float] = []
    execute = Qmp.execute

    def recorded(self: Qmp, command: str, *rest: Any, timeout: float = 30.0) -> Any:
        if command == "query-status":
            limits.append(timeout)
        return execute(self, command, *rest, timeout=timeout)

    with FakeQemu(tmp_path / "q") as fake, open_end("source", fake.uri) as end:
        monkeypatch.setattr(Qmp, "execute", recorded)
        fake._silent_on = "query-status"
        assert [end.run_state(), end.run_state()] == [None, None]
        fake._silent_on = ""
        assert [end.run_state(), end.run_state()] == ["running", "running"]
    assert limits == [0.2, 0.1, 0.1, 0.2]


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
