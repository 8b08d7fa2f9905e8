"""A relay as a child process, so that its CPU time is counted apart and its crash ends nothing
else.

``ramferry relay … --once --events`` writes one JSON object a line to standard output: ``listening``
(with the port it got), ``progress`` about four times a second, ``failing`` where it holds on to a
source whose migration has failed, and ``finished``. Sentences for people go to standard error.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections import deque
from contextlib import closing

import msgspec

from ramferry.control.hosts.spoken import LISTEN_SECONDS
from ramferry.control.hosts.started import Lines
from ramferry.control.migrate.cause import Complaint, Rank
from ramferry.control.migrate.route import RelayStep
from ramferry.errors import (
    HostError,
    MethodUnavailable,
    PeerTimeout,
    PeerUnreachable,
    RemoteProtocolError,
    UsageError,
)
from ramferry.flows.outcome import STAYS
from ramferry.metrics import RelayCounters, RelayResult
from ramferry.patience import Patience
from ramferry.typed import decode
from ramferry.vocabulary import AUTO, DECIDE_SECONDS, PAGE_SIZE

LOOK_SECONDS = 0.25

END_SECONDS = 5.0
"""How long a relay may take to end after SIGTERM before it is killed."""

BY_EXIT_CODE = {
    kind.exit_code: kind
    for kind in (UsageError, PeerUnreachable, MethodUnavailable, HostError, PeerTimeout)
}
"""Exit codes with which a relay can end before it listens, and their errors."""

RANKS = {
    PeerUnreachable.exit_code: Rank.UNREACHED,
    **{
        kind.exit_code: Rank.RELAY_FOUND
        for kind in (RemoteProtocolError, HostError, PeerTimeout, UsageError)
    },
}
"""How near to the cause a relay with one of these exit codes is."""

KEPT_LINES = 20
"""Lines of its standard error that are kept, so that the last one can be quoted."""


def relay_arguments(
    step: RelayStep, connect: str, channels: int, *, secret: bool = False
) -> list[str]:
    """The arguments of ``ramferry`` for the relay of ``step``, which connects to the migration URI
    ``connect``.

    :param secret: whether it gets credentials by its standard input.
    """
    line = ["relay", step.listen, connect]
    line += ["--method", step.method, "--channels", str(channels), "--once", "--events"]
    # each with the value for which it is left out
    values: dict[str, tuple[object, object]] = {
        "--level": (AUTO if step.auto_level else step.level, None),
        "--max-bandwidth": (step.max_bandwidth, 0),
        "--accelerator": (step.accelerator, AUTO),
        "--member-size": (step.member_size, AUTO),
        "--page-size": (step.page_size, PAGE_SIZE),
        "--uuid": (step.uuid, ""),
        "--tls-creds-fd": (0 if secret else None, None),
        "--cpu-limit": (step.cpu_limit, 0.0),
        "--decide": (step.decide, None),
        "--hold-source": (step.hold_source, 0.0),
        "--tls-creds": (step.tls_creds, ""),
    }
    for option, (value, left_out) in values.items():
        if value != left_out:
            line += [option, str(value)]
    if step.insecure:
        line += ["--insecure"]
    return line


class _Event(msgspec.Struct, frozen=True):
    """A line of a relay's ``--events``."""

    event: str


class _Listening(msgspec.Struct, frozen=True):
    uri: str


class _Failing(msgspec.Struct, frozen=True):
    error: str


class RelayChild:
    """One running relay. Two threads read its output, so that it never waits for this process."""

    failing = ""
    """Why the migration has failed, if the source keeps its connections for now; else empty."""

    def __init__(self, step: RelayStep, connect: str, channels: int, secret: bytes = b"") -> None:
        """Start it.

        :param secret: its credentials, for its standard input; empty: it has none.
        :raise HostError: the process cannot be started.
        """
        self.side = step.side
        self.decide = step.decide or DECIDE_SECONDS
        """Seconds that it may take to find out how a switchover ended, if it loses the far one."""
        self.uri = ""
        """Where it listens, once ``wait_listening`` returned."""
        self.counters: RelayCounters | None = None
        """The latest snapshot."""
        self.told: tuple[float, RelayCounters] | None = None
        """The latest snapshot of a migration under way, and when it came, by this host's monotonic
        clock."""
        self.result: RelayResult | None = None
        self._told = threading.Event()
        self._sentences: deque[str] = deque(maxlen=KEPT_LINES)
        try:
            arguments = relay_arguments(step, connect, channels, secret=bool(secret))
            self._process = step.host.start(arguments, secret)
        except HostError as error:
            raise HostError(f"the {self.side} relay: {error}") from error
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read_events, args=(self._process.stdout,), daemon=True),
            threading.Thread(
                target=self._read_sentences, args=(self._process.stderr,), daemon=True
            ),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process has not ended."""
        return self._process.poll() is None

    def wait_listening(self, timeout: float = LISTEN_SECONDS) -> str:
        """Wait until it listens; return the URI to connect to.

        :raise RamferryError: it ended instead: the error of its exit code, with its last sentence.
        :raise PeerTimeout: it neither listened nor ended in time.
        """
        patience = Patience(timeout)
        while not self._told.wait(min(patience.left, LOOK_SECONDS)):
            if patience.over:
                raise PeerTimeout(f"the {self.side} relay did not listen within {timeout:g} s")
        if not self.uri:
            self._join()
            kind = BY_EXIT_CODE.get(self._process.wait(), HostError)
            raise kind(f"the {self.side} relay: {self._sentence()}")
        return self.uri

    def complaint(self) -> Complaint | None:
        """How it ended too early; None while it runs or if it completed."""
        if self.running:
            return None
        self._join()
        if self.result is None:
            rank = Rank.RELAY_DIED
        elif self.result.completed:
            return None
        else:
            rank = RANKS.get(self.result.exit_code, Rank.RELAY_SAW)
        return Complaint(rank, f"the {self.side} relay ended: {self._sentence()}")

    def wait_finished(self, timeout: float) -> RelayResult | None:
        """Wait for the relay to end by itself after its migration; return its result, None if it
        gave none."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.result
        self._join()
        return self.result

    def end(self) -> None:
        """End it by SIGTERM, or by SIGKILL if it does not heed that; do nothing if it has ended."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._join()

    def _sentence(self) -> str:
        """Why it ended, without where the guest is: the QEMUs are asked that."""
        return self._said().removesuffix(STAYS)

    def _said(self) -> str:
        if self.result is not None and self.result.error:
            return self.result.error
        code = self._process.wait()
        if code < 0:  # what it noted before has nothing to do with that
            return f"killed by signal {-code}"
        if self._sentences:
            return self._sentences[-1].split(": ", 1)[-1].rstrip(".")
        return f"exit code {code}"

    def _join(self) -> None:
        """After the process has ended, wait until the rest of its output is read.

        Once: a process that holds the source in its place may keep standard error open for long.
        """
        readers, self._readers = self._readers, []
        for reader in readers:
            reader.join(END_SECONDS)

    def _read_events(self, stream: Lines) -> None:
        with closing(stream):
            for line in stream:
                if not line.endswith("\n"):
                    continue  # a killed relay can leave half a line
                try:
                    self._take(line)
                except (ValueError, RecursionError):
                    # of something else in that process, or of another version of it; whoever does
                    # not read on stops neither the relay nor what it tells next
                    self._sentences.append(line.strip())
        self._told.set()

    def _take(self, line: str) -> None:
        """Take in one event. Its other keys are the fields of a record; unknown ones are passed
        over.

        :raise ValueError: the line is not an event.
        """
        event = decode(line, _Event).event
        if event == "listening":
            self.uri = decode(line, _Listening).uri
            self._told.set()
        elif event == "progress":
            self.counters = decode(line, RelayCounters)
            self.told = (time.monotonic(), self.counters)
        elif event == "failing":
            self.failing = decode(line, _Failing).error
        elif event == "finished":
            self.result = decode(line, RelayResult)
            self.counters = self.result.counters

    def _read_sentences(self, stream: Lines) -> None:
        with closing(stream):
            for line in stream:
                if line.strip():
                    self._sentences.append(line.strip())
