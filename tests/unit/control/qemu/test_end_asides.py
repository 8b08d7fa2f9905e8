"""A silent QEMU is not asked for long again and again; one that holds channels is left alone."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from fakes_qmp import FakeQemu
from ramferry.control.qemu import asides
from ramferry.control.qemu.asides import AGAIN_SECONDS, ASIDE_SECONDS
from ramferry.control.qemu.end import HOLDS, QemuEnd, open_end
from ramferry.control.qemu.qmp import Qmp
from ramferry.control.qemu.settings import MigrationSettings
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


WANTED = MigrationSettings({"multifd": True}, {"multifd-channels": 4})


def test_settings_are_set_back_once_the_channels_are_let_go(tmp_path: Path) -> None:
    with FakeQemu(tmp_path / "q") as fake, open_end("source", fake.uri) as end:
        end.apply(WANTED)
        fake.holds = 3
        fake.executed.clear()
        assert end.restore() == ""
        names = [name for name, _ in fake.executed]
        assert names.count("query-yank") == 4
        assert names.index("migrate-set-capabilities") > names.index("query-yank") + 3
        assert not fake.capabilities["multifd"]
        assert fake.parameters["multifd-channels"] == 2


def test_settings_are_left_alone_while_channels_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asides, "LET_GO_SECONDS", 0.05)
    with FakeQemu(tmp_path / "q") as fake, open_end("source", fake.uri) as end:
        end.apply(WANTED)
        fake.holds = 10**6
        assert end.restore() == f"the source's migration settings were not set back: {HOLDS}"
        assert fake.capabilities["multifd"]
        assert fake.parameters["multifd-channels"] == 4


def test_a_qemu_without_yank_has_nothing_to_let_go(tmp_path: Path) -> None:
    refuses = {"query-yank": "The command query-yank has not been found"}
    with (
        FakeQemu(tmp_path / "q", refuses=refuses) as fake,
        open_end("source", fake.uri) as end,
    ):
        end.apply(WANTED)
        assert end.restore() == ""
        assert not fake.capabilities["multifd"]
