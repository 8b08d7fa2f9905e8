"""How long a far half's relays may take to end after the near half has gone."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from ramferry.control.far import children
from ramferry.control.far.children import Children, decide_of
from ramferry.control.hosts import far_protocol as far


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        (("relay", "a", "b", "--decide", "7.5", "--once"), 7.5),
        (("relay", "a", "b"), 0.0),
        (("relay", "--decide"), 0.0),
        (("relay", "--decide", "long"), 0.0),
        (("relay", "--decide", "inf"), 0.0),
        (("relay", "--decide", "nan"), 0.0),
    ],
)
def test_what_a_command_line_says(words: tuple[str, ...], seconds: float) -> None:
    assert decide_of(words) == seconds


class Ended:
    """A child that has ended."""

    pid = 7
    stdout = stderr = "open"

    def poll(self) -> int:
        return 0

    def send_signal(self, number: int) -> None:
        assert number == signal.SIGHUP

    kill = wait = poll


@pytest.mark.parametrize(
    ("said", "seconds"), [((), 90.0), (("--decide", "1"), 90.0), (("--decide", "300"), 330.0)]
)
def test_a_relay_in_its_switchover_is_given_as_long_as_it_was_told(
    monkeypatch: pytest.MonkeyPatch, said: tuple[str, ...], seconds: float
) -> None:
    given = []

    class Given:
        over = True

        def __init__(self, patience: float) -> None:
            given.append(patience)

    def started(*_: Any) -> Any:
        return Ended()

    monkeypatch.setattr(children, "start_line", started)
    monkeypatch.setattr(children, "Patience", Given)
    monkeypatch.setattr(Children, "_reader", lambda *_: None)
    monkeypatch.setattr(Children, "_follow", lambda *_: None)
    ours = Children(None)  # type: ignore[arg-type] # nobody prints
    for number, words in enumerate([said, ()]):
        ours.start(far.Start(number, 9, ("relay", "a", "b", *words)))
    ours.end()
    assert given == [seconds]
