"""The process of the relay that is measured: ``python -m ramferry.bench.ceiling.measured``.

It is a relay as ``ramferry relay`` runs it, whose codecs may be idle ones. Once it listens it says
on standard output where its GIL is, and where it listens; at its end how many bytes each channel
sent. Between them it answers questions: for the word ``look`` on standard input a line with a
:class:`Sample`, for ``weigh`` one with the bytes of its memory.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ramferry.bench.ceiling import gil, idle
from ramferry.bench.members import members_of
from ramferry.errors import RamferryError
from ramferry.flows.relay import Relay
from ramferry.flows.session.footprint import proportional
from ramferry.flows.settings import RelaySettings
from ramferry.metrics import RelayCounters, RelayResult
from ramferry.transport import credentials
from ramferry.transport.address import Address, parse_address
from ramferry.transport.security import Security
from ramferry.vocabulary import OFF

OWN_CODECS = "own"
"""Stands for the methods' own codecs in the arguments."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the relay had carried and used at a moment."""

    at: float
    """Seconds of ``time.monotonic``."""
    packets: int
    page_bytes: int
    """Guest memory in those packets."""
    cpu_seconds: float
    """User and system time of the whole process."""
    system_seconds: float
    codec_seconds: float
    """Time of threads in codecs."""
    voluntary: int
    """Context switches of all threads, because they had to wait for something."""
    involuntary: int
    """The same, because the kernel let another thread run."""
    faults: int
    """Pages of memory that the kernel had to provide."""


class _Observer:
    """Tells that the relay listens, and what was sent; sentences go to standard error."""

    def __init__(self, gil: int) -> None:
        self._gil = gil

    def listening(self, address: Address) -> None:
        print(self._gil, address, flush=True)

    def progress(self, counters: RelayCounters) -> None:
        """Nothing: the one who measures asks."""

    def failing(self, migration: str, error: str) -> None:
        """Never called: no source is held."""

    def finished(self, result: RelayResult) -> None:
        if result.error:
            # a line would be taken for the answer to the latest question
            self.note(result.error)
            return
        print(json.dumps({one.name: one.bytes_out for one in result.counters.channels}), flush=True)

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Carry one migration; the exit code is the result's.

    Its arguments: where it listens and connects to, the methods in and out, how many channels, and
    the microseconds of idle codecs or ``OWN_CODECS``, and a folder with certificates, or nothing.
    """
    try:
        relay = _relay(*sys.argv[1:])
    except RamferryError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    relay.watch_parent(sys.stdout.fileno())
    threading.Thread(target=_answer, args=(relay,), daemon=True).start()
    result = relay.run(once=True)
    sys.exit(1 if result is None else result.exit_code)


def _relay(
    listen: str,
    connect: str,
    method_in: str,
    method_out: str,
    channels: str,
    codecs: str,
    tls_creds: str,
) -> Relay:
    held = gil.find()
    for method in {method_in, method_out} - {"none"} if codecs != OWN_CODECS else ():
        idle.put_in(method, float(codecs))
    settings = RelaySettings(
        listen=parse_address(listen),
        connect=parse_address(connect),
        method=method_out,
        channels=int(channels),
        accelerator=OFF,
        member_size=members_of(method_out),
        security=Security(credentials.read(Path(tls_creds))) if tls_creds else None,
    )
    return Relay(settings, _Observer(held))


def _answer(relay: Relay) -> None:
    for line in sys.stdin:
        if line == "weigh\n":
            print(proportional(), flush=True)
            continue
        session = relay.arrivals.session
        if session is not None:
            counters = session.tally.snapshot(session.gate.passed)
            print(json.dumps(asdict(_sample(counters))), flush=True)


def _sample(counters: RelayCounters) -> Sample:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Sample(
        at=time.monotonic(),
        packets=counters.packets,
        page_bytes=counters.normal_bytes,
        cpu_seconds=counters.cpu_seconds,
        system_seconds=counters.system_seconds,
        codec_seconds=counters.codec_seconds,
        voluntary=usage.ru_nvcsw,
        involuntary=usage.ru_nivcsw,
        faults=usage.ru_minflt,
    )


if __name__ == "__main__":
    main()
