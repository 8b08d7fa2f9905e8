"""Tries each method on a guest's own pages on this host: its ratio, and its speed on one core.

The pages are packed as a migration packs them, 512 KiB of pages with content to a packet, and go
through one channel's encoder and decoder in that order. Methods in software are timed by the CPU
time of the thread, which a busy host does not falsify; a device by the clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ramferry.codec import Accelerated, create_decoder, create_encoder, find_method
from ramferry.codec.base import Decoder, Encoder
from ramferry.errors import HostError
from ramferry.forecast.sampling import MemorySample
from ramferry.metrics.forecast import UNTOUCHED, Range, Trial
from ramferry.vocabulary import AUTO, PACKET_BYTES

Figures = NDArray[np.float64]

RUNS: Final = 2
"""Of so many runs of each packet the fastest counts: on a shared host CPU time is disturbed as
well. With one run, qpl once came out 60 % slower, and qatzip 15 %, than a minute before."""


@dataclass(slots=True)
class _Log:
    """What was measured, with an entry for each packet; times in seconds."""

    by_device: bool
    page_bytes: list[int] = field(default_factory=list)
    payload: list[int] = field(default_factory=list)
    compress: list[float] = field(default_factory=list)
    decompress: list[float] = field(default_factory=list)
    compress_cpu: list[float] = field(default_factory=list)
    decompress_cpu: list[float] = field(default_factory=list)


def try_method(
    sample: MemorySample,
    method: str,
    level: int | None = None,
    *,
    accelerator: str = AUTO,
    member_size: str = AUTO,
    cores: int = 1,
) -> Trial:
    """Compress and decompress the sample's pages.

    :param sample: must have pages that are not zero, unless ``method`` is ``none``.
    :param level: None is the method's default.
    :param accelerator: one of ``vocabulary.ACCELERATORS``.
    :param member_size: one of ``vocabulary.MEMBER_SIZES``; ``auto`` is 64K.
    :param cores: cores that work at once, as in a migration; one is timed. They share caches and
        memory: with qatzip two cores compressed 1.68 times as fast as one, and inflated 1.56 times
        (``ramferry bench codec``, 2 cores of an AMD EPYC guest).
    :raise UsageError: there is no such method, or it has no such level.
    :raise HostError: decompression gave back other bytes.
    """
    found, page = find_method(method), sample.summary.page_size
    if method == "none":
        return UNTOUCHED
    make_encoder = partial(create_encoder, member_size=member_size)

    def codecs() -> tuple[Encoder, Decoder]:
        return (
            make_encoder(method, level, page_size=page, accelerator=accelerator),
            create_decoder(method, page_size=page, accelerator=accelerator),
        )

    ran = found.level(level) if found.levels is not None else None
    return try_codecs(sample, method, ran, codecs, cores)


def try_codecs(
    sample: MemorySample,
    method: str,
    level: int | None,
    codecs: Callable[[], tuple[Encoder, Decoder]],
    cores: int,
) -> Trial:
    """As ``try_method``, by the codecs of another than a relay.

    :param level: what the trial is to tell.
    :param codecs: makes those of one channel.
    """
    flat = sample.content.reshape(-1).data
    pairs = [codecs() for _ in range(RUNS)]
    encoder = pairs[0][0]
    by_device = isinstance(encoder, Accelerated) and encoder.accelerated
    with company(partial(_round_and_round, flat, codecs), 0 if by_device else cores - 1):
        logs = [_try_all(_Log(by_device=by_device), pair, flat, method) for pair in pairs]
    return _summary(logs, method, level, encoder.backend, sample.unseen_share)


def _try_all(log: _Log, codecs: tuple[Encoder, Decoder], flat: memoryview, method: str) -> _Log:
    for at in range(0, len(flat), PACKET_BYTES):
        pages = flat[at : at + PACKET_BYTES]
        back = _try_packet(log, *codecs, pages)
        if not np.array_equal(back, np.frombuffer(pages, np.uint8)):
            raise HostError(f"{method} did not give back the pages it got: check this memory")
    return log


def _round_and_round(
    flat: memoryview, codecs: Callable[[], tuple[Encoder, Decoder]], stop: threading.Event
) -> None:
    """Do the same work untimed until ``stop`` is set, to keep another core busy."""
    encoder, decoder = codecs()
    out = memoryview(bytearray(PACKET_BYTES))
    for at in cycle(range(0, len(flat), PACKET_BYTES)):
        if stop.is_set():
            return
        pages = flat[at : at + PACKET_BYTES]
        decoder.decode(memoryview(b"".join(encoder.encode(pages))), out[: len(pages)])


@contextmanager
def company(work: Callable[[threading.Event], None], count: int) -> Iterator[None]:
    """Run ``work`` in ``count`` threads during the context; its event is set at the end."""
    stop = threading.Event()
    threads = [threading.Thread(target=work, args=(stop,)) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _try_packet(
    log: _Log, encoder: Encoder, decoder: Decoder, pages: memoryview
) -> NDArray[np.uint8]:
    """Compress and decompress one packet; returns the pages that came out."""
    begun, cpu = time.perf_counter(), time.thread_time()
    parts = encoder.encode(pages)
    wall, cpu = time.perf_counter() - begun, time.thread_time() - cpu
    payload, out = memoryview(b"".join(parts)), np.empty(len(pages), np.uint8)
    begun, cpu_back = time.perf_counter(), time.thread_time()
    decoder.decode(payload, out.data)
    wall_back, cpu_back = time.perf_counter() - begun, time.thread_time() - cpu_back
    log.page_bytes.append(len(pages))
    log.payload.append(len(payload))
    log.compress.append(wall if log.by_device else cpu)
    log.decompress.append(wall_back if log.by_device else cpu_back)
    log.compress_cpu.append(cpu)
    log.decompress_cpu.append(cpu_back)
    return out


def _summary(
    logs: Sequence[_Log], method: str, level: int | None, backend: str, unseen: float
) -> Trial:
    pages = np.array(logs[0].page_bytes, np.float64)
    payload = np.array(logs[0].payload, np.float64)
    total = float(pages.sum())

    def best(times: Callable[[_Log], list[float]]) -> Figures:
        """The fastest run of each packet, since other work disturbed the slower ones."""
        fastest: Figures = np.array([times(log) for log in logs]).min(axis=0)
        return fastest

    return Trial(
        method=method,
        level=level,
        backend=backend,
        packets=len(pages),
        wire_share=quotient(payload, pages, unseen),
        compress_seconds=quotient(best(lambda log: log.compress), pages, unseen),
        decompress_seconds=quotient(best(lambda log: log.decompress), pages, unseen),
        compress_cpu=float(best(lambda log: log.compress_cpu).sum()) / total,
        decompress_cpu=float(best(lambda log: log.decompress_cpu).sum()) / total,
    )


def quotient(over: Figures, under: Figures, unseen: float) -> Range:
    """Estimate the ratio of two sums from a pair for each packet, give or take two standard errors.

    r = Σy / Σx, and s² = Σ(y - r·x)² / (n - 1) / n / x̄² · unseen: the ratio estimator with its
    correction for a finite population (Cochran, *Sampling Techniques*, 6.4).

    :param unseen: share of the population outside the sample.
    """
    ratio = float(over.sum() / under.sum())
    count = len(over)
    if count < 2:
        return Range(ratio, ratio, ratio)
    variance = float(((over - ratio * under) ** 2).sum()) / (count - 1) / count
    spread = (variance * max(unseen, 0.0)) ** 0.5 / float(under.mean())
    return Range(max(0.0, ratio - 2 * spread), ratio, ratio + 2 * spread)
