"""The figures of ``ramferry bench ceiling`` as lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ramferry.report.drawing import text
from ramferry.report.grid import NOT_KNOWN, Cell, Column, Grid, row

_COLUMNS: Final = (
    Column("relay", words=True),
    Column("chan-\nnels"),
    Column("memory", "GB/s"),
    Column("spread", "GB/s"),
    Column("packets", "a second"),
    Column("GIL\nheld", "µs"),
    Column("spread", "µs"),
    Column("user", "µs"),
    Column("kernel", "µs"),
    Column("codec", "µs"),
    Column("changes\nof hands", "a packet"),
    Column("faults", "a packet"),
    Column("busy", "cores"),
    Column("PSS", "MiB"),
)

_NO_GIL: Final = (
    "GIL held: this Python has none, or this host forbids to read another process's memory"
)


def ceiling_lines(rows: Sequence[Mapping[str, Any]], words: str) -> list[str]:
    """A line that says what was measured, the table, and what is not known in it.

    :param rows: ``bench.ceiling.figures.Row`` as dicts.
    :param words: how, for the first line.
    """
    lines = [words, *text.lines(Grid(_COLUMNS, tuple(map(_row, rows))))]
    if any(one["figures"]["held_micros"] is None for one in rows):
        lines.append(_NO_GIL)
    return lines


def way_in_words(method_in: str, method_out: str, link: str) -> str:
    """Both methods, and by what the side that is no UNIX socket comes or goes: "none → zstd by
    TLS".

    :param link: one of ``bench.ceiling.wish.LINKS``.
    """
    kind, _, side = link.partition(" ")
    by = {side: f" by {kind.upper()}"}
    return f"{method_in}{by.get('in', '')} → {method_out}{by.get('out', '')}"


def _row(one: Mapping[str, Any]) -> tuple[Cell, ...]:
    found = one["figures"]

    def middle(name: str, digits: int, unit: float = 1) -> str:
        over = found[name]
        return NOT_KNOWN if over is None else f"{over['middle'] / unit:.{digits}f}"

    def extremes(name: str, digits: int, unit: float = 1) -> str:
        over = found[name]
        if over is None:
            return NOT_KNOWN
        return f"{over['low'] / unit:.{digits}f} – {over['high'] / unit:.{digits}f}"

    return row(
        way_in_words(one["method_in"], one["method_out"], one["link"]),
        str(one["channels"]),
        middle("bytes_per_second", 2, 1e9),
        extremes("bytes_per_second", 2, 1e9),
        middle("packets_per_second", 0),
        middle("held_micros", 0),
        extremes("held_micros", 0),
        middle("user_micros", 0),
        middle("kernel_micros", 0),
        middle("codec_micros", 0),
        middle("switches", 1),
        middle("faults", 1),
        middle("cores", 2),
        middle("memory", 0, 1 << 20),
    )
