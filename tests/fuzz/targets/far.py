"""What a far half says over ssh, to whoever has asked it."""

from __future__ import annotations

import io
import threading
from functools import cache
from typing import Any, Final

import msgspec

from fuzz.target import Target
from fuzz.targets.jsons import change_line
from ramferry.control.hosts import far_protocol as far
from ramferry.control.hosts.far_child import FarLines
from ramferry.control.hosts.far_link import FarLink
from ramferry.control.hosts.ssh_process import _hello
from ramferry.errors import RamferryError

_QUESTIONS: Final[tuple[far.Question, ...]] = (
    far.OpenMonitor(9, "/qmp", 1.0),
    far.Locate(None, (7,)),
    far.Cpu(7, ()),
    far.MakeFolder("qmp:/a", 7),
    far.Accelerates("auto"),
    far.Meet("::1", 0, 0, "0" * 32),
    far.Met("0" * 32),
    far.Start(8, 9, ("relay",)),
)
_ANSWERS: Final = (7, None, 1.5, "/tmp/x", True, ("::1", 4444), True, 99)


class _Given(io.BytesIO):
    """What comes from the far half: after each line of it, one more question is asked."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.asked = threading.Event()

    def readline(self, size: int | None = -1, /) -> bytes:
        self.asked.wait(1.0)
        return super().readline(size)


def check_far(data: bytes) -> bool:
    """Every question gets an answer of its kind, or an error of ours; no thread ends in one."""
    errors: list[BaseException | None] = []
    before, threading.excepthook = threading.excepthook, lambda told: errors.append(told.exc_value)
    lines, accepted = FarLines(), False
    try:
        given = _Given(data)
        link = FarLink("beta", io.BytesIO(), given)
        link.stream(lambda piece, _: lines.take(piece))
        results: list[Any] = [None] * len(_QUESTIONS)
        askers = [
            threading.Thread(target=_ask, args=(link, one, results, at))
            for at, one in enumerate(_QUESTIONS)
        ]
        for asker in askers:
            asker.start()
        while len(link._asked) + sum(one is not None for one in results) < len(askers):
            if link.lost.is_set():
                break
        given.asked.set()
        for asker in askers:
            asker.join(5.0)
            assert not asker.is_alive(), "a question without an end"
        link.join(5.0)
        accepted = any(kind == "answered" for kind in results)
    finally:
        threading.excepthook = before
    assert not errors, f"a thread ended in {errors[0]!r}"
    list(lines)  # ends
    return accepted


def _ask(link: FarLink, question: far.Question, results: list[Any], at: int) -> None:
    try:
        link.ask(question, 2.0)
        results[at] = "answered"
    except (RamferryError, OSError):
        results[at] = "refused"


def far_samples() -> list[bytes]:
    """Answers to all questions, whatever order they are asked in, and a stream's pieces."""
    said: list[msgspec.Struct] = [far.Piece(1, b'{"event": "listening"}\n'), far.Alive()]
    said += [far.Answer(number + 2, value) for number, value in enumerate(_ANSWERS)]
    said += [far.Over(1, 3)]
    refused = [far.Refusal(number, "no", 8, number % 3) for number in range(2, 10)]
    return [b"".join(map(far.line, said)), b"".join(map(far.line, [*refused, *said]))]


def check_far_hello(data: bytes) -> bool:
    """The first line of whatever ssh has started."""
    found = _hello(data)
    return found is not None


@cache
def targets() -> list[Target]:
    """Both."""
    hello = far.line(far.Hello(far.PROTOCOL, "0.1.0", "10.0.0.2", "10.0.0.1"))
    odd = (b"[" * 3000, b"9" * 5000, b"null", b"\xff")
    return [
        Target("far-half", check_far, far_samples, odd, change_line, trials=20, seconds=3.0),
        Target("far-hello", check_far_hello, lambda: [hello], odd, change_line),
    ]
