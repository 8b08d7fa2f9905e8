"""What ``ramferry bench codec`` does; its options are in ``cli.bench_codec``."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO

from rich.console import Console

from ramferry.allowance import whole_cores
from ramferry.bench import codecs
from ramferry.bench.codecs import CodecFigures
from ramferry.bench.fill import data_files
from ramferry.bench.machine import host_facts
from ramferry.bench.qzip import find_qzip, libqatzip
from ramferry.bench.runner import fill_in_words
from ramferry.cli.interrupt import Wish, stop_on_signals
from ramferry.cli.json_file import JsonFile
from ramferry.cli.other_load import tell_other_load
from ramferry.cli.results import tell
from ramferry.cli.screen import screen as open_screen
from ramferry.codec import check_members, find_method
from ramferry.errors import Cancelled, HostError, UsageError
from ramferry.forecast.other_load import OtherLoad
from ramferry.metrics.document import document
from ramferry.report.codecs import codec_lines
from ramferry.vocabulary import OFF


def run(
    files: tuple[Path, ...],
    methods: str,
    levels: str | None,
    size: int,
    member_size: str,
    json_file: JsonFile | None,
) -> None:
    """Run it, with the values of its options."""
    wanted = _levels(methods, levels, member_size)
    data = data_files(os.pathsep.join(map(str, files)) or os.environ.get("RAMFERRY_DATA", ""))
    pieces = codecs.pieces_of(size, data)
    if not pieces:
        raise UsageError("there are only zero pages in these files, and they are not compressed")
    stop = Wish()
    cores = sorted({1, whole_cores()})
    rows: list[CodecFigures] = []
    load = OtherLoad()
    interrupted: Cancelled | None = None
    with open_screen() as screen:
        with stop_on_signals(stop):
            try:
                for row in _measured(pieces, wanted, cores, screen, stop, member_size):
                    rows.append(row)
            except Cancelled as error:
                interrupted = error
        tell_other_load(load, screen)
    _show(rows, data, sum(map(len, pieces)), json_file)
    if interrupted:
        raise Cancelled("interrupted; above is what was finished") from interrupted


def _show(
    rows: Sequence[CodecFigures], data: tuple[Path, ...], total: int, json_file: JsonFile | None
) -> None:
    words = fill_in_words(data)
    lines = codec_lines([asdict(row) for row in rows], total, words)

    def draw(out: IO[str]) -> None:
        out.writelines(f"{line}\n" for line in lines)

    tell(_document(rows, total, words), json_file, draw)


def _measured(
    pieces: Sequence[memoryview],
    wanted: Mapping[str, Sequence[int | None]],
    cores: Sequence[int],
    screen: Console,
    stop: threading.Event,
    member_size: str,
) -> Iterator[CodecFigures]:
    def begun(name: str) -> None:
        screen.print(name, markup=False)

    yield from codecs.measure(pieces, wanted, cores, begun, stop, member_size)
    for level in wanted.get("zlib", ()):
        for count in cores:
            begun(codecs.step("QEMU's zlib", level, count))
            yield codecs.zlib_of_qemu(pieces, 1 if level is None else level, count, stop)
    qzip = find_qzip()
    if qzip is None and "qatzip" in wanted:
        screen.print("left out: libqatzip in software, as there is no qzip here")
    for level in wanted.get("qatzip", ()) if qzip else ():
        for count in cores:
            if stop.is_set():
                raise Cancelled("interrupted between two levels")
            begun(codecs.step("libqatzip (qzip)", level, count))
            try:
                yield libqatzip(pieces, 1 if level is None else level, count, qzip or Path())
            except HostError as error:
                screen.print(f"left out: {error}", soft_wrap=True, markup=False)


def _levels(
    methods: str, levels: str | None, member_size: str
) -> dict[str, tuple[int | None, ...]]:
    """What to measure, checked: a member size needs a method that has members."""
    names = [find_method(name.strip()).name for name in methods.split(",")]
    if "qatzip" not in names:
        check_members(names[0], member_size, OFF)
    if levels is None:
        return {name: codecs.LEVELS[name] for name in names}
    try:
        numbers = tuple(int(part) for part in levels.split(","))
    except ValueError:
        raise UsageError(f"--levels takes numbers as 1,3,9, not {levels!r}") from None
    wanted: dict[str, tuple[int | None, ...]] = {}
    for name in names:
        method = find_method(name)
        wanted[name] = (None,) if method.levels is None else tuple(map(method.level, numbers))
    return wanted


def _document(rows: Sequence[CodecFigures], size: int, words: str) -> dict[str, object]:
    content = {
        "machine": host_facts(),
        "data": {"bytes": size, "what": words},
        "codecs": [asdict(row) for row in rows],
    }
    return document("codecs", content)
