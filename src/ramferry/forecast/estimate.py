"""How long a migration will take. Pure: a sample's figures in, a forecast out.

With a pair of relays four processes work on every page with content, one after the other and all
at once: the source's QEMU, its relay, the destination's relay, its QEMU; without relays the two
QEMUs. The slowest of these bounds sets the rate C, in bytes of such pages a second:

- the link: its rate over w, the wire bytes for each byte of pages (payload and packet header);
- the cores: what they can spend over the CPU seconds that a byte costs, for each side by itself,
  or for both together if they share a host;
- the channels: each is one thread of a relay, or of a QEMU, which carries its packets one by one;
- the interpreter: what a relay does between codec and kernel, one thread at a time.

The first pass sends the pages with content at C, and finds and announces the zero pages. A guest
that dirties D bytes/s leaves D · t dirty after a pass of t seconds, so every pass is D / C times as
long as the one before it, until what is left fits the downtime limit: Σ B/C · (D/C)^k. If D ≥ C it
never does.

Low and high are two standard errors of the sample's zero pages, ratios and speeds, all of them on
the same side at once, and the error of this model itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ramferry.forecast.costs import REFERENCE, Costs
from ramferry.metrics.forecast import UNTOUCHED, MethodTime, Range, SampleSummary, Trial
from ramferry.vocabulary import PACKET_BYTES
from ramferry.wire.grammar import ZERO_RECORD_SIZE
from ramferry.wire.packets import header_size

CROWDED: Final = 1.10
"""How much longer a codec takes beside the three other busy processes than by itself, because they
share caches and memory: 1.02 to 1.19 on a quiet host (zstd most, zlib and qatzip least), 1.0 (zlib)
to 1.45 (zstd) on a shared host whose every core was kept busy during the trial as well."""

BUSY: Final = 0.94
"""Share of two cores that such a migration kept busy when nothing else limited it: 0.93 to 0.95."""

WAITING_BUSY: Final = 0.24
"""Cores that QEMU 7.2.22 burns while it waits for a channel, if all cores are busy; 0.67 if one is
free. QEMU 10.0.13 sleeps. Versions between the two were not measured."""
WAITING_FREE: Final = 0.67

FIXED_SECONDS: Final = 0.03
"""Set-up, device state and the answer: an empty guest stood still for 9 to 29 ms."""

DOWNTIME_SHARES: Final = (0.5, 0.83)
"""Low and expected downtime over the limit: QEMU stops the guest as soon as the rest fits, so an
idle guest stands still as well: 154 to 344 ms, 247 on average, at 300 (26 migrations)."""
BUFFERS_SECONDS: Final = 0.1
"""What buffers may still hold when the guest stops (``transport.budget``)."""

CPU_ERROR: Final = 0.12
LINK_ERROR: Final = 0.03
"""How far the model itself may be off, by what limits the migration. Migrations of 768 and 1024 MiB
that were not fitted, 14 with both cores free: -13 to +11 % where the cores limited, once +21 %
(``none`` without a link's limit), and -1 to 0 % where the link did."""

MOST_ROUNDS: Final = 1000


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the migration has to work with."""

    link_rate: float
    """Bytes/s; 0 is unlimited."""
    cores: float
    """Cores that each side may use; with ``one_host`` both sides share them."""
    channels: int = 8
    one_host: bool = False
    dirty_rate: float = 0.0
    """Bytes of guest memory a second."""
    downtime_limit_ms: int = 300
    waits_busy: bool = False
    """The source is a QEMU that polls while it waits."""
    dirty_bytes: int = 0
    """Bytes of guest memory that are dirtied over and over; 0 if it can be any."""
    costs: Costs = REFERENCE
    """The costs of this host; ``without_relays`` for two QEMUs alone."""


Pair = tuple[float, float]
_Precopy = tuple[float, float, int]
"""Total seconds, bytes that were carried more than once, number of passes."""


@dataclass(frozen=True, slots=True)
class _Figures:
    """The figures of a trial and a sample, each taken at the same end of its range."""

    zero_share: float
    payload: float
    compress: float
    decompress: float


@dataclass(frozen=True, slots=True)
class _Pass:
    """The first pass over all memory, and the cost of a byte of content in later ones."""

    seconds: float
    seconds_per_byte: float
    limited_by: str
    wire_bytes: float
    wire_per_byte: float


def estimate(trial: Trial, sample: SampleSummary, conditions: Conditions) -> MethodTime:
    """Forecast one method.

    :param trial: of the method on the sample's pages with content, or of ``none``.
    """
    cases = [_pass(trial, sample, conditions, side) for side in (-1, 0, 1)]
    middle = cases[1]
    passes = [_rounds(case, sample.total_bytes, conditions) for case in cases]
    total = _total(passes)
    _, again, rounds = passes[1] or (0.0, 0.0, 1)
    zero = sample.total_bytes * sample.zero_share.expected
    content = sample.total_bytes - zero + again
    send, receive = _cpu_per_byte(trial, conditions.costs)
    costs = conditions.costs
    waiting = _waiting(trial, middle, conditions) * (total.expected if total else middle.seconds)
    return MethodTime(
        method=trial.method,
        level=trial.level,
        backend=trial.backend,
        ratio=trial.ratio,
        compress_rate=_inverse(trial.compress_seconds.expected),
        decompress_rate=_inverse(trial.decompress_seconds.expected),
        carried_rate=1 / middle.seconds_per_byte,
        limited_by=middle.limited_by,
        converges=total is not None,
        total_seconds=total,
        downtime_ms=_downtime(middle, total.expected, conditions) if total else None,
        send_cpu_seconds=content * send + zero * costs.zero_send + waiting,
        recv_cpu_seconds=content * receive + zero * costs.zero_receive,
        wire_bytes=round(middle.wire_bytes + again * middle.wire_per_byte),
        rounds=rounds,
        break_even_rate=break_even(trial, sample, conditions),
    )


def _total(passes: Sequence[_Precopy | None]) -> Range | None:
    """Range of the total time.

    None if the expected case does not converge; without an upper bound if the slowest does not.
    """
    if passes[1] is None:
        return None
    low, expected, high = (one[0] if one else float("inf") for one in passes)
    return Range(low, expected, high)


def _cpu_per_byte(
    trial: Trial, costs: Costs, compress: float = 1.0, decompress: float = 1.0
) -> Pair:
    """CPU seconds of the source's side and of the destination's, with the codecs' share scaled."""
    return (
        costs.qemu_send + costs.relay_send + CROWDED * trial.compress_cpu * compress,
        costs.qemu_receive + costs.relay_receive + CROWDED * trial.decompress_cpu * decompress,
    )


def _waiting(trial: Trial, case: _Pass, conditions: Conditions) -> float:
    """Cores that the QEMU of the source burns while it waits."""
    if not conditions.waits_busy:
        return 0.0
    if case.limited_by == "link":
        return WAITING_FREE
    return 0.0 if trial.method == "none" else WAITING_BUSY


def _inverse(seconds: float) -> float | None:
    return 1 / seconds if seconds else None


def _figures(trial: Trial, sample: SampleSummary, side: int) -> _Figures:
    """The figures at one end of their ranges: side -1 is the fastest, 1 the slowest."""

    def end(of: Range) -> float:
        return (of.expected, of.high, of.low)[side]

    zero = sample.zero_share
    return _Figures(
        zero_share=(zero.expected, zero.low, zero.high)[side],
        payload=end(trial.wire_share),
        compress=end(trial.compress_seconds),
        decompress=end(trial.decompress_seconds),
    )


def _pass(trial: Trial, sample: SampleSummary, conditions: Conditions, side: int) -> _Pass:
    figures = _figures(trial, sample, side)
    zero = sample.total_bytes * figures.zero_share
    content = sample.total_bytes - zero
    wire = wire_per_byte(figures.payload, sample.page_size)
    wire_bytes = content * wire + zero / sample.page_size * ZERO_RECORD_SIZE
    bounds = work_bounds(trial, figures.compress, figures.decompress, conditions)
    worker = min(bounds, key=lambda name: bounds[name])
    working = content / bounds[worker] + zero * conditions.costs.zero_seconds
    sending = wire_bytes / conditions.link_rate if conditions.link_rate else 0.0
    by_link = sending > working
    per_byte = max(1 / bounds[worker], wire / conditions.link_rate if conditions.link_rate else 0.0)
    slack = 1 + side * (LINK_ERROR if by_link else CPU_ERROR)
    return _Pass(
        seconds=(FIXED_SECONDS + max(sending, working)) * slack,
        seconds_per_byte=per_byte * slack,
        limited_by="link" if by_link else worker,
        wire_bytes=wire_bytes,
        wire_per_byte=wire,
    )


def wire_per_byte(payload: float, page_size: int) -> float:
    """Wire bytes for each byte of pages: payload and the header of a full packet."""
    return payload + header_size(page_size) / PACKET_BYTES


def work_bounds(
    trial: Trial, compress: float, decompress: float, conditions: Conditions
) -> dict[str, float]:
    """Bytes of pages a second that each bound allows, without the link's.

    :param compress: seconds for each byte on one core; ``decompress`` is the same for inflating.
    """
    scale = compress / trial.compress_seconds.expected if trial.compress_seconds.expected else 1.0
    back = (
        decompress / trial.decompress_seconds.expected if trial.decompress_seconds.expected else 1
    )
    costs = conditions.costs
    send, receive = _cpu_per_byte(trial, costs, scale, back)
    spinning = WAITING_BUSY if conditions.waits_busy and trial.method != "none" else 0.0
    spend = conditions.cores * BUSY
    near, far = costs.of_channel
    bounds = {
        "channels": conditions.channels / max(near + CROWDED * compress, far + CROWDED * decompress)
    }
    if alone := costs.of_interpreter(trial.method):
        bounds["interpreter"] = 1 / alone
    if conditions.one_host:
        return bounds | {"cores": (spend - spinning) / (send + receive)}
    own = {"source's cores": (spend - spinning) / send, "destination's cores": spend / receive}
    return bounds | own


def _rounds(case: _Pass, total: int, conditions: Conditions) -> _Precopy | None:
    """The course of all passes; None if it does not converge."""
    fits = conditions.downtime_limit_ms / 1000 / case.seconds_per_byte
    seconds, again, last = case.seconds, 0.0, case.seconds
    most = min(conditions.dirty_bytes or total, total)
    for rounds in range(1, MOST_ROUNDS):
        left = min(conditions.dirty_rate * last, most)
        if left <= fits:
            return seconds + left * case.seconds_per_byte, again + left, rounds + (left > 0)
        if conditions.dirty_rate * case.seconds_per_byte >= 1:
            return None
        last = left * case.seconds_per_byte
        seconds, again = seconds + last, again + left
    return None


def _downtime(case: _Pass, total: float, conditions: Conditions) -> Range:
    """Downtime in milliseconds, at most the total time."""
    limit = conditions.downtime_limit_ms / 1000
    in_hand = conditions.channels * PACKET_BYTES * case.seconds_per_byte
    low, expected = (share * limit for share in DOWNTIME_SHARES)
    figures = (low, expected, limit + BUFFERS_SECONDS + in_hand)
    return Range(*(1000 * min(figure, total) for figure in figures))


def break_even(trial: Trial, sample: SampleSummary, conditions: Conditions) -> float | None:
    """Link rate below which the method beats ``none``.

    On a link so slow that it limits both, fewer wire bytes win. A faster link speeds ``none`` up to
    the rate that the method's own bound allows: K · w(none). 0 if the method saves no wire
    bytes; None if its bound is not below that of ``none``, so that it wins on every link.
    """
    if trial.method == "none":
        return None
    plain = wire_per_byte(1.0, sample.page_size)
    if wire_per_byte(trial.wire_share.expected, sample.page_size) >= plain:
        return 0.0
    own = work_bounds(
        trial, trial.compress_seconds.expected, trial.decompress_seconds.expected, conditions
    )
    others = work_bounds(UNTOUCHED, 0.0, 0.0, conditions)
    return min(own.values()) * plain if min(own.values()) < min(others.values()) else None
