"""The sentences with which a relay tells of a migration, and their fields in a log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ramferry.flows.settings import RelaySettings
from ramferry.metrics import RelayCounters, RelayResult, shown_backend
from ramferry.metrics.notes import Level, Note
from ramferry.metrics.states import ENDING
from ramferry.transport.address import Address
from ramferry.transport.security import IN_THIS_HOST
from ramferry.vocabulary import AUTO

_CARRIED: Final[dict[str, Callable[[RelayCounters], str]]] = {
    "multifd": lambda counters: f"{counters.normal_bytes / 1e6:.0f} MB of pages",
    "plain": lambda counters: f"{counters.normal_bytes / 1e6:.0f} MB of pages of a plain stream",
    # it comes compressed, or goes so
    "stream": lambda counters: (
        f"a stream of {max(counters.bytes_in, counters.bytes_out) / 1e6:.0f} MB"
    ),
}

LEAST_SHARE: Final = 0.005
"""The share of the pages from which on a candidate is named."""


def result_note(result: RelayResult, settings: RelaySettings) -> Note:
    """The sentence on how a migration ended, with its id where there may be others."""
    whose = f"migration {result.migration}: " if settings.max_migrations > 1 else ""
    return Note(
        f"{whose}{result_sentence(result, settings)}",
        Level.INFO if result.completed else Level.ERROR,
        migration=result.migration,
        uuid=result.uuid,
        state=ENDING,
    )


def result_fields(result: RelayResult) -> dict[str, Any]:
    """What a log says of how a migration ended, beside its sentence."""
    counters = result.counters
    return {
        "outcome": result.outcome,
        "exit_code": result.exit_code,
        "source": result.source,
        "kind": result.kind,
        "method_in": result.method_in,
        "method_out": result.method_out,
        "backend": result.backend,
        "channels": result.channels,
        "streams": result.streams,
        "seconds": round(counters.seconds, 3),
        "downtime_seconds": _rounded(result.downtime_seconds),
        "bytes_in": counters.bytes_in,
        "bytes_out": counters.bytes_out,
        "page_bytes": counters.normal_bytes,
        "ratio": round(counters.ratio, 3),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def result_sentence(result: RelayResult, settings: RelaySettings) -> str:
    if not result.completed:
        return f"failed: {result.error}"
    counters = result.counters
    methods = f"{result.method_in or 'no data'} → {_sent_as(result)}"
    return (
        f"carried {_CARRIED[result.kind](counters)} as "
        f"{counters.bytes_out / 1e6:.0f} MB in {counters.seconds:.1f} s "
        f"({methods}, {shown_backend(result.backend, result.member_size) or 'no codec'}"
        f"{_protection(result, settings)})"
    )


def _sent_as(result: RelayResult) -> str:
    """The outgoing method; of a choice, what it was for which share of the pages."""
    if result.choosing is None:
        return result.method_out
    shares = result.choosing.shares.items()
    told = [f"{name} {share:.0%}" for name, share in shares if share >= LEAST_SHARE]
    changes = result.choosing.changes
    chosen = "auto" if result.method_out == AUTO else f"{result.method_out}, level auto"
    return f"{chosen}: {', '.join(told) or 'nothing'}; {changes} change{'s' * (changes != 1)}"


def _protection(result: RelayResult, settings: RelaySettings) -> str:
    """How the bytes travelled from and to other Ramferrys; empty if there were none."""
    ways = (settings.listen, result.agreed_in), (settings.connect, result.agreed_out)
    told = [
        f"{wrapping(settings, address)}, {'verified' if agreed.digest else 'not verified'}"
        for address, agreed in ways
        if agreed is not None
    ]
    return f", {' → '.join(told)}" if told else ""


def wrapping(settings: RelaySettings, address: Address) -> str:
    """How bytes travel at one of a relay's addresses."""
    encrypted = (settings.security or IN_THIS_HOST).encrypts(address)
    return "TLS" if encrypted else "in clear"
