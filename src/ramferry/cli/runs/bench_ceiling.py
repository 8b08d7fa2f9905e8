"""What ``ramferry bench ceiling`` does; its options are in ``cli.bench_ceiling``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import IO

from ramferry.bench.ceiling.figures import Figures, Row, measure, row
from ramferry.bench.ceiling.stream import check_repeatable
from ramferry.bench.ceiling.wish import UNIX, Wish, links_of
from ramferry.bench.machine import host_facts
from ramferry.cli.json_file import JsonFile
from ramferry.cli.other_load import tell_other_load
from ramferry.cli.results import tell
from ramferry.cli.terminal import terminal
from ramferry.codec import find_method
from ramferry.errors import Cancelled, UsageError
from ramferry.forecast.other_load import OtherLoad
from ramferry.metrics.document import document
from ramferry.report.ceiling import ceiling_lines
from ramferry.vocabulary import MAX_CHANNELS


def run(
    channels: str,
    methods: str,
    codec_us: float,
    own_codecs: bool,
    seconds: float,
    repeat: int,
    pin: int | None,
    tls: bool,
    json_file: JsonFile | None,
) -> None:
    """Run it, with the values of its options."""
    codec = None if own_codecs else codec_us
    wishes = _wishes(channels, methods, codec, seconds, pin or 0, tls=tls)
    if own_codecs and codec_us:
        raise UsageError("--codec-us is for codecs that do no work: not with --own-codecs")
    done: dict[Wish, list[Figures]] = {wish: [] for wish in wishes}
    interrupted: Cancelled | None = None
    load = OtherLoad()
    with terminal() as at:
        try:
            for wish, figures in measure(wishes, repeat, at.say, at.stop):
                done[wish].append(figures)
        except Cancelled as error:
            interrupted = error
        tell_other_load(load, at.screen)
    rows = [row(wish, runs) for wish, runs in done.items() if runs]
    _show(rows, wishes[0], max(map(len, done.values())), json_file)
    if interrupted:
        raise Cancelled("interrupted; above is what was finished") from interrupted


def _show(rows: Sequence[Row], wish: Wish, runs: int, json_file: JsonFile | None) -> None:
    facts = host_facts()
    dicts = [asdict(one) for one in rows]
    codec = f"codecs of {wish.codec_micros:g} µs" if wish.codec_micros else "free codecs"
    if wish.codec_micros is None:
        codec = "the methods' own codecs"
    where = f", the relay on {wish.cores} of them" if wish.cores else ""
    words = (
        f"{facts['cpu']}, {facts['cores']} cores{where}, Linux {facts['kernel']}; {codec}; "
        f"medians of {runs} × {wish.seconds:g} s"
    )
    lines = ceiling_lines(dicts, words)

    def draw(out: IO[str]) -> None:
        out.writelines(f"{line}\n" for line in lines)

    how = {
        "codec_micros": wish.codec_micros,
        "seconds": wish.seconds,
        "runs": runs,
        "relay_cores": wish.cores or None,
    }
    tell(document("ceiling", {"machine": facts, "how": how, "rows": dicts}), json_file, draw)


def _wishes(
    channels: str, methods: str, codec: float | None, seconds: float, pin: int, *, tls: bool
) -> list[Wish]:
    """A wish for each row, checked."""
    here = len(os.sched_getaffinity(0))
    if pin > here:
        raise UsageError(f"--pin {pin}: there are {here} cores here")
    counts, ways = _counts(channels), _ways(methods)
    if codec is None:
        for method_in, _ in ways:
            check_repeatable(method_in)
    return [
        Wish(*way, n, seconds, codec, pin, link)
        for way in ways
        for n in counts
        for link in (links_of(*way) if tls else (UNIX,))
    ]


def _ways(methods: str) -> list[tuple[str, str]]:
    """The methods on both sides, checked."""
    found = []
    for part in methods.split(","):
        names = [name.strip() for name in part.split(":")]
        if len(names) != 2:
            raise UsageError(f"--methods takes IN:OUT, as none:qatzip, not {part!r}")
        found.append((find_method(names[0]).name, find_method(names[1]).name))
    return found


def _counts(channels: str) -> list[int]:
    """The numbers of channels, checked."""
    try:
        counts = [int(part) for part in channels.split(",")]
    except ValueError:
        raise UsageError(f"--channels takes numbers as 1,2,4, not {channels!r}") from None
    if not all(1 <= count <= MAX_CHANNELS for count in counts):
        raise UsageError(f"--channels takes numbers of 1 to {MAX_CHANNELS}, not {channels}")
    return counts
