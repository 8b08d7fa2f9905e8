"""The figures of ``ramferry bench codec`` as lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ramferry.metrics import shown_backend
from ramferry.report.drawing import text
from ramferry.report.grid import Cell, Column, Grid, row
from ramferry.units import memory

_COLUMNS: Final = (
    Column("method", words=True),
    Column("level"),
    Column("cores"),
    Column("compress", "MB/s"),
    Column("spread", "MB/s"),
    Column("inflate", "MB/s"),
    Column("spread", "MB/s"),
    Column("ratio"),
    Column("backend", words=True),
)


def codec_lines(figures: Sequence[Mapping[str, Any]], size: int, words: str) -> list[str]:
    """A line that says what was measured, and the table.

    :param figures: ``bench.codecs.CodecFigures`` as dicts.
    :param size: bytes of pages with content.
    :param words: what those pages are.
    """
    head = (
        f"{memory(size)} of pages with content, {words}; medians of"
        f" {figures[0]['compress']['count'] if figures else 0}, all in software"
    )
    return [head, *text.lines(Grid(_COLUMNS, tuple(_row(one) for one in figures)))]


def _row(one: Mapping[str, Any]) -> tuple[Cell, ...]:
    level = "" if one["level"] is None else str(one["level"])
    cells = [one["name"], level, str(one["cores"])]
    for key in ("compress", "decompress"):
        found = {name: value / 1e6 for name, value in one[key].items()}
        cells += [f"{found['middle']:.0f}", f"{found['low']:.0f} – {found['high']:.0f}"]
    return row(*cells, f"{one['ratio']:.3f}", shown_backend(one["backend"], one["member_size"]))
