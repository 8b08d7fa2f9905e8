"""The near end of the connection to a far half: questions and answers, and streams beside them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import IO, Any, Final

import msgspec

from ramferry.control.hosts import far_protocol as far
from ramferry.errors import (
    HostError,
    MethodUnavailable,
    PeerTimeout,
    PeerUnreachable,
    RamferryError,
    UsageError,
)
from ramferry.patience import Patience
from ramferry.typed import convert

ANSWER_SECONDS: Final = 15.0
"""How long an answer may take: milliseconds as a rule, up to 5 s for a monitor's connection."""
_LOOK: Final = 0.25

_BY_EXIT_CODE: Final = {
    kind.exit_code: kind
    for kind in (UsageError, PeerUnreachable, MethodUnavailable, HostError, PeerTimeout)
}

Sink = Callable[[bytes | None, int], None]
"""Takes a piece of a stream; at its end None, and the exit code of who wrote it."""


class FarLink:
    """One far half, as long as its ssh lives. Any thread may ask; one thread reads."""

    def __init__(self, name: str, to_far: IO[bytes], from_far: IO[bytes]) -> None:
        """Begin, after the far half's first line.

        :param name: of the far host, for error messages.
        :param to_far: the ssh's standard input; this object closes it.
        :param from_far: its standard output, which somebody else closes, after ``join``.
        """
        self._name = name
        self._to, self._from = to_far, from_far
        self._sending, self._changing = threading.Lock(), threading.Lock()
        self._asked: dict[int, Future[Any]] = {}
        self._sinks: dict[int, Sink] = {}
        self._last = 0
        self.lost = threading.Event()
        """Set once the connection has ended."""
        self._threads = [
            threading.Thread(target=run, name=f"far half on {name}", daemon=True)
            for run in (self._read, self._beat)
        ]
        for thread in self._threads:
            thread.start()

    def ask(self, question: far.Question, seconds: float = ANSWER_SECONDS) -> Any:
        """Ask, and wait for the answer.

        :raise RamferryError: the far half's, of the same class and with the same sentence.
        :raise OSError: the far kernel's.
        :raise PeerTimeout: no answer came within ``seconds``.
        :raise PeerUnreachable: the connection has ended, or the answer is none to that question.
        """
        kind = far.ANSWERS.get(type(question), Any)
        try:
            return convert(self._answer(question, seconds), kind)
        except msgspec.ValidationError as error:
            raise PeerUnreachable(
                f"what answers on {self._name} is no Ramferry: {error}"
            ) from error

    def _answer(self, question: far.Question, seconds: float) -> Any:
        answer: Future[Any] = Future()
        with self._changing:
            number = self._number()
            self._asked[number] = answer
        try:
            self._send(far.Ask(number, question))
            patience = Patience(seconds)
            while not patience.over:
                # not by the error of `result`, which the far kernel's own may be (ETIMEDOUT)
                if wait({answer}, min(_LOOK, patience.left)).done:
                    return answer.result()
            raise PeerTimeout(f"the Ramferry on {self._name} does not answer within {seconds:g} s")
        finally:
            with self._changing:
                self._asked.pop(number, None)

    def stream(self, sink: Sink) -> int:
        """The number of a new stream, whose pieces ``sink`` takes in the reading thread."""
        with self._changing:
            number = self._number()
            self._sinks[number] = sink
            return number

    def forget(self, stream: int) -> None:
        """Drop what still comes of a stream."""
        with self._changing:
            self._sinks.pop(stream, None)

    def send(self, stream: int, data: bytes) -> None:
        """Send bytes; nothing is said if the connection has ended, as the stream has then too."""
        with suppress(PeerUnreachable):
            self._send(far.Piece(stream, data) if data else far.Over(stream))

    def close(self) -> None:
        """Tell the far half to end, by the end of what it reads."""
        with self._sending, suppress(OSError):
            self._to.close()

    def join(self, seconds: float) -> None:
        """Wait until everything is read, after the ssh has ended."""
        self._threads[0].join(seconds)
        self._threads[1].join(seconds)

    def _number(self) -> int:
        self._last += 1
        return self._last

    def _send(self, message: msgspec.Struct) -> None:
        if self.lost.is_set():
            raise self.gone()
        try:
            with self._sending:
                self._to.write(far.line(message))
                self._to.flush()
        except (OSError, ValueError) as error:  # ValueError: closed by us
            raise self.gone() from error

    def gone(self) -> PeerUnreachable:
        """The error of a connection that has ended."""
        return PeerUnreachable(f"the connection by ssh to {self._name} has ended")

    def _beat(self) -> None:
        while not self.lost.wait(far.BEAT_SECONDS):
            with suppress(PeerUnreachable):
                self._send(far.Alive())

    def _read(self) -> None:
        try:
            while line := self._from.readline(far.MOST_BYTES):
                self._take(far.from_far.decode(line))
        except (msgspec.DecodeError, OSError, ValueError, RecursionError):
            self.close()  # what says such things is no far half; who asks next is told
        finally:
            self._end()

    def _take(self, message: far.FromFar) -> None:
        if isinstance(message, far.Piece | far.Over):
            sink = self._sinks.get(message.stream)
            if sink is not None and isinstance(message, far.Piece):
                sink(message.data, 0)
            elif sink is not None and isinstance(message, far.Over):
                self.forget(message.stream)
                sink(None, message.exit_code)
        elif isinstance(message, far.Answer | far.Refusal):
            with self._changing:
                waiting = self._asked.pop(message.number, None)  # the first answer counts
            if waiting is not None and isinstance(message, far.Answer):
                waiting.set_result(message.value)
            elif waiting is not None and isinstance(message, far.Refusal):
                waiting.set_exception(_error(message))

    def _end(self) -> None:
        self.lost.set()
        with self._changing:
            asked, sinks = list(self._asked.values()), list(self._sinks.values())
            self._sinks.clear()
        for waiting in asked:
            with suppress(Exception):  # it was answered meanwhile
                waiting.set_exception(self.gone())
        for sink in sinks:
            sink(None, PeerUnreachable.exit_code)


def _error(refusal: far.Refusal) -> Exception:
    if refusal.errno:
        return OSError(refusal.errno, refusal.text)
    kind: type[RamferryError] = _BY_EXIT_CODE.get(refusal.exit_code, HostError)
    return kind(refusal.text)
