"""The end of a restore against a scripted QEMU: what is done, and that each sentence is so."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes_qmp import FakeQemu
from ramferry.control.archive import handover
from ramferry.control.archive.callbacks import ArchiveHooks
from ramferry.control.archive.handover import NOT_STARTED, HandOver
from ramferry.control.qemu import asides as asides_module
from ramferry.control.qemu.end import QemuEnd, open_end
from ramferry.errors import (
    Cancelled,
    CorruptDataError,
    MigrationFailed,
    PeerTimeout,
    PeerUnreachable,
)
from ramferry.flows.session import reminder


class Loading(FakeQemu):
    """A destination that has all of the guest."""

    on_stop = ""
    """Its run state once it was told to stop; empty: as before."""

    def _do_stop(self) -> dict[str, Any]:
        self.run_state = self.on_stop or self.run_state
        return {}


class Stage:
    def __init__(self, folder: Path, **options: Any) -> None:
        self.qemu = Loading(folder / "qmp", run_state="inmigrate", **options)
        self.end: QemuEnd = open_end("destination", self.qemu.uri)
        self.stop = threading.Event()
        self.insist = threading.Event()
        self.notes: list[str] = []
        hooks = ArchiveHooks(lambda *_: None, self.notes.append, self.stop, self.insist)
        self.handover = HandOver(self.end, hooks)

    def begin(self) -> None:
        self.handover.look()

    def cancelled(self) -> str:
        """Stop, and look until that is heeded; the sentence."""
        self.stop.set()
        with pytest.raises(Cancelled) as caught:
            self.handover.look()
        return str(self.handover.told(caught.value))

    def close(self) -> None:
        self.end.close()
        self.qemu.close()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(handover, "AFTERWARDS_SECONDS", 0.2)
    made = Stage(tmp_path)
    yield made
    made.close()


Silence = Callable[[str], None]


@pytest.fixture
def silence(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Silence:
    """Has the QEMU answer a command no more, and nobody wait long for it; "": ends both."""

    def silence_it(on: str) -> None:
        for name in ("ASIDE_SECONDS", "AGAIN_SECONDS"):
            monkeypatch.setattr(asides_module, name, 0.2 if on else 3.0)
        stage.qemu._silent_on = on

    return silence_it


def test_before_the_first_of_the_last_bytes_nothing_can_start(stage: Stage) -> None:
    assert stage.cancelled() == NOT_STARTED
    assert stage.qemu.commands() == []


def test_a_file_that_is_damaged_in_the_middle_ends_the_qemu_and_says_so(stage: Stage) -> None:
    error = CorruptDataError("a page", "another")
    assert str(stage.handover.told(error)) == str(error)  # nothing of the guest was sent
    stage.handover._destination.listen("unix:/in")
    stage.qemu.close()
    assert str(stage.handover.told(error)) == str(error)
    assert stage.handover._destination.restore() == (
        "the destination has ended: start it again with -incoming defer before you repeat this"
    )


def test_a_guest_that_has_not_come_is_kept_from_starting(stage: Stage) -> None:
    stage.begin()
    assert stage.cancelled() == (
        "cancelled: the guest was not started, and stands still if it comes there; the file is as "
        "it was"
    )
    assert stage.qemu.commands() == ["stop"]


def test_a_guest_that_came_meanwhile_stands_still(stage: Stage) -> None:
    stage.begin()
    stage.qemu.on_stop = "paused"
    assert re.match(
        r"cancelled: the guest had come, and stands still in the QEMU, which is paused: `cont` ",
        stage.cancelled(),
    )


@pytest.mark.parametrize("state", ["running", "paused"])
def test_a_guest_that_is_there_is_left_alone(stage: Stage, state: str) -> None:
    stage.begin()
    stage.qemu.run_state = state
    stage.stop.set()
    for _ in range(3):
        stage.handover.look()
    assert stage.handover.settled() == state
    assert stage.notes == ["too late to cancel: the guest is there"]
    assert stage.qemu.commands() == []


def test_a_qemu_that_does_not_answer_is_asked_again(stage: Stage, silence: Silence) -> None:
    stage.begin()
    stage.stop.set()
    silence("query-status")
    for _ in range(2):
        stage.handover.look()
    assert [note[:40] for note in stage.notes] == ["the QEMU has all of the guest and may st"]
    silence("")
    assert "the guest was not started" in stage.cancelled()


def test_a_qemu_that_does_not_say_whether_it_heeds_the_wish_is_asked_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.begin()
    stage.stop.set()
    with monkeypatch.context() as patch:
        patch.setattr(QemuEnd, "bar", lambda _: False)
        for _ in range(2):
            stage.handover.look()
    assert [note[:40] for note in stage.notes] == ["the QEMU has all of the guest and may st"]
    stage.qemu.run_state = "paused"  # it has heeded it, as the guest came
    assert "the guest had come, and stands still" in stage.cancelled()


def test_a_second_wish_waits_for_nobody(stage: Stage, silence: Silence) -> None:
    stage.begin()
    stage.stop.set()
    silence("query-status")
    stage.handover.look()
    stage.insist.set()
    with pytest.raises(Cancelled) as caught:
        stage.handover.look()
    assert re.match(
        "cancelled before the QEMU answered: the QEMU does not answer and may run it yet: see",
        str(stage.handover.told(caught.value)),
    )


def test_a_qemu_that_refuses_to_stop_is_followed(tmp_path: Path) -> None:
    stage = Stage(tmp_path, refuses={"stop": "not now"})
    try:
        stage.begin()
        stage.stop.set()
        stage.handover.look()
        stage.handover.look()
        assert len(stage.notes) == 1
        assert "refuses stop: not now" in stage.notes[0]
    finally:
        stage.close()


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("running", "main broke: the guest runs in the QEMU"),
        ("inmigrate", "main broke: the guest was not started; the file is as it was"),
        ("paused", "main broke: the guest had come, and stands still .* which is paused: .*"),
        ("silent", "main broke: the QEMU does not answer and may run it yet: see there, .*"),
        ("gone", "main broke: the QEMU ended, and the guest with it .*; the file is as it was"),
    ],
)
def test_an_error_says_what_was_seen(
    stage: Stage, silence: Silence, state: str, sentence: str
) -> None:
    stage.begin()
    if state == "silent":
        silence("query-status")
    elif state == "gone":
        stage.qemu.close()
    else:
        stage.qemu.run_state = state
    told = stage.handover.told(MigrationFailed("main broke"))
    assert re.fullmatch(sentence, str(told)), str(told)
    assert isinstance(told, MigrationFailed)


def test_an_error_before_that_needs_no_look(stage: Stage) -> None:
    error = MigrationFailed("main broke")
    assert stage.handover.told(error) is error
    assert "query-status" not in [name for name, _ in stage.qemu.executed[7:]]


def test_a_long_silence_ends_it_only_where_the_monitor_is_silent_too(
    stage: Stage, silence: Silence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.handover._patience, "seconds", 0.0)
    for _ in range(3):
        stage.handover.look()
    silence("query-status")
    with pytest.raises(PeerTimeout, match="has all of the guest, and does not answer"):
        stage.handover.look()


def test_a_person_is_told_once_that_it_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reminder, "SECONDS", 0.0)
    stage = Stage(tmp_path)
    try:
        for _ in range(3):
            stage.handover.look()
        assert stage.notes == [
            "the QEMU has all of the guest, and has not said for 0 s whether it takes it"
        ]
    finally:
        stage.close()


def test_a_qemu_that_ends_with_the_guest_it_took(stage: Stage) -> None:
    stage.begin()
    stage.qemu.close()
    with pytest.raises(PeerUnreachable, match="took the guest, and then ended"):
        stage.handover.settled()


def test_a_qemu_that_took_the_guest_and_does_not_say_so(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "HANDOVER_SECONDS", 0.2)
    with pytest.raises(PeerTimeout, match="took the guest, but is inmigrate after"):
        stage.handover.settled()
