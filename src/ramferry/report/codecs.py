"""The codecs' figures as lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ramferry.report.text_table import aligned
from ramferry.units import memory

HEADINGS: Final = (
    ("method", "level", "cores", "compress", "spread", "inflate", "spread", "ratio", "backend"),
    ("", "", "", "MB/s", "MB/s", "MB/s", "MB/s", "", ""),
)
_LEFT: Final = (0, 8)


def codec_lines(figures: Sequence[Mapping[str, Any]], size: int, words: str) -> list[str]:
    """A table, and above it what it is of.

    :param figures: ``bench.codecs.CodecFigures`` as dicts.
    :param size: bytes of pages with content.
    """
    rows = [list(heading) for heading in HEADINGS] + [_row(one) for one in figures]
    head = (
        f"{memory(size)} of pages with content, {words}; medians of"
        f" {figures[0]['compress']['count'] if figures else 0}, all in software"
    )
    return [head, *aligned(rows, left=_LEFT)]


def _row(one: Mapping[str, Any]) -> list[str]:
    level = "" if one["level"] is None else str(one["level"])
    cells = [one["name"], level, str(one["cores"])]
    for key in ("compress", "decompress"):
        found = {name: value / 1e6 for name, value in one[key].items()}
        cells += [f"{found['middle']:.0f}", f"{found['low']:.0f} – {found['high']:.0f}"]
    return [*cells, f"{one['ratio']:.3f}", one["backend"]]
