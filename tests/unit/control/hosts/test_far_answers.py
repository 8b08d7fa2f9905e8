"""What comes over ssh in place of a far half's lines. All of it was found by fuzzing."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import pytest

from ramferry.control.hosts import far_protocol as far
from ramferry.control.hosts.far_link import FarLink
from ramferry.control.hosts.ssh_process import _hello
from ramferry.errors import PeerUnreachable


class Answering(io.BytesIO):
    """Gives its lines once something was asked."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.asked = threading.Event()

    def readline(self, size: int | None = -1, /) -> bytes:
        assert self.asked.wait(10)
        return super().readline(size)


class Asked(io.BytesIO):
    """Tells ``Answering`` of what is written."""

    def __init__(self, answering: Answering) -> None:
        super().__init__()
        self._answering = answering

    def flush(self) -> None:
        self._answering.asked.set()


@pytest.fixture
def _no_thread_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    errors: list[object] = []
    monkeypatch.setattr(threading, "excepthook", errors.append)
    yield
    assert not errors


@pytest.mark.usefixtures("_no_thread_ends_in_an_error")
@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (b'{"type":"answer","number":1,"value":7}\n', "is no Ramferry"),
        (b'{"type":"answer","number":1,"value":["h"]}\n', "is no Ramferry"),
        (b'{"type":"answer","number":1,"value":' + b"[" * 5000 + b"\n", "by ssh to beta has ended"),
        (b'{"type":"\xff"}\n', "by ssh to beta has ended"),
    ],
)
def test_answers_of_another_shape(lines: bytes, sentence: str) -> None:
    answering = Answering(lines)
    link = FarLink("beta", Asked(answering), answering)
    with pytest.raises(PeerUnreachable, match=sentence):
        link.ask(far.Meet("::1", 0, 0, "0" * 32))
    link.join(10)


@pytest.mark.usefixtures("_no_thread_ends_in_an_error")
def test_the_first_of_two_answers_counts() -> None:
    answer = b'{"type":"answer","number":1,"value":true}\n'
    answering = Answering(answer + answer.replace(b"true", b"false"))
    link = FarLink("beta", Asked(answering), answering)
    assert link.ask(far.Met("0" * 32)) is True
    link.join(10)


@pytest.mark.parametrize("line", [b"Willkommen auf k\xfchn\n", b"[" * 5000 + b"\n", b"{}\n"])
def test_what_a_login_prints_before_the_hello_is_none(line: bytes) -> None:
    assert _hello(line) is None
