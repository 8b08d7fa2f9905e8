"""What each method makes of a guest's own pages on this host: ratio and speed, on one core.

The pages are packed as a migration packs them, 512 KiB of pages with content to a packet, and go
through one channel's encoder and decoder in that order. Methods in software are timed by the CPU
time of the thread, which a busy host does not falsify; a device by the clock.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ramferry.codec import Accelerated, create_decoder, create_encoder, find_method
from ramferry.codec.base import PACKET_BYTES
from ramferry.control.sampling import Sample
from ramferry.errors import HostError
from ramferry.metrics.times import Range, Trial
from ramferry.qatzip.accelerator import AUTO

Figures = NDArray[np.float64]


@dataclass(slots=True)
class _Log:
    """One row a packet."""

    page_bytes: list[int]
    payload: list[int]
    compress: list[float]
    decompress: list[float]
    compress_cpu: float = 0.0
    decompress_cpu: float = 0.0


def try_method(sample: Sample, method: str, *, accelerator: str = AUTO) -> Trial:
    """Compress and decompress the sample's pages at the method's default level.

    :raise UsageError: there is no such method.
    :raise HostError: a byte came back changed.
    """
    found = find_method(method)
    page = sample.summary.page_size
    if method == "none":
        nothing = Range(0.0, 0.0, 0.0)
        return Trial("none", None, "none", 0, Range(1.0, 1.0, 1.0), nothing, nothing, 0.0, 0.0)
    encoder = create_encoder(method, None, page_size=page, accelerator=accelerator)
    decoder = create_decoder(method, page_size=page, accelerator=accelerator)
    by_device = isinstance(encoder, Accelerated) and bool(encoder.shares)
    log = _Log([], [], [], [])
    flat = sample.content.reshape(-1).data
    out = bytearray(PACKET_BYTES)
    for at in range(0, len(flat), PACKET_BYTES):
        pages = flat[at : at + PACKET_BYTES]
        begun, cpu = time.perf_counter(), time.thread_time()
        parts = encoder.encode(pages)
        wall, cpu = time.perf_counter() - begun, time.thread_time() - cpu
        payload = memoryview(b"".join(parts))
        back = memoryview(out)[: len(pages)]
        begun, cpu_back = time.perf_counter(), time.thread_time()
        decoder.decode(payload, back)
        wall_back, cpu_back = time.perf_counter() - begun, time.thread_time() - cpu_back
        if not np.array_equal(np.frombuffer(back, np.uint8), np.frombuffer(pages, np.uint8)):
            raise HostError(
                f"{method} did not give back the pages it got: check this host's memory"
            )
        log.page_bytes.append(len(pages))
        log.payload.append(len(payload))
        log.compress.append(wall if by_device else cpu)
        log.decompress.append(wall_back if by_device else cpu_back)
        log.compress_cpu += cpu
        log.decompress_cpu += cpu_back
    level = found.default_level if found.levels is not None else None
    return _summary(log, method, level, encoder.backend, sample.unseen_share)


def _summary(log: _Log, method: str, level: int | None, backend: str, unseen: float) -> Trial:
    pages = np.array(log.page_bytes, np.float64)
    total = float(pages.sum())
    return Trial(
        method=method,
        level=level,
        backend=backend,
        packets=len(pages),
        wire_share=quotient(np.array(log.payload, np.float64), pages, unseen),
        compress_seconds=quotient(np.array(log.compress), pages, unseen),
        decompress_seconds=quotient(np.array(log.decompress), pages, unseen),
        compress_cpu=log.compress_cpu / total,
        decompress_cpu=log.decompress_cpu / total,
    )


def quotient(over: Figures, under: Figures, unseen: float) -> Range:
    """Estimate a ratio of sums from one pair a packet, two standard errors each way.

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
