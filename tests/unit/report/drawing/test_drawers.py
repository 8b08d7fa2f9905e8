"""One table, drawn in each format that ``report.drawing`` knows."""

from __future__ import annotations

import csv as csv_module
import io

from rich.console import Console

from ramferry.report.drawing import csv, markdown, terminal, text
from ramferry.report.grid import Cell, Column, Grid, row

GRID = Grid(
    (Column("what\never", words=True), Column("down-\ntime", "ms"), Column("CPU", "%", least=5)),
    (
        (Cell("a | b"), Cell("12345", "12 – 99999"), Cell("n/a", faint=True)),
        row("=c\x1b", "-1", ""),
    ),
    "not drawn",
    ("not drawn either",),
)

TEXT = """\
what        down-    CPU
ever         time
               ms      %
a | b       12345    n/a
       12 – 99999
=c\ufffd            -1
"""


def drawn(width: int, *, grid: Grid = GRID, force_terminal: bool = True, indent: str = "") -> str:
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=force_terminal, color_system=None, highlight=False
    )
    terminal.draw(grid, console, indent)
    return out.getvalue()


def test_text() -> None:
    assert text.draw(GRID) == TEXT
    assert text.lines(GRID, "    ") == [f"    {line}" for line in TEXT.splitlines()]


def test_text_of_a_table_without_rows_is_its_headings() -> None:
    assert text.draw(Grid((Column("a", words=True), Column("b")), ())) == "a  b\n"
    assert text.lines(Grid((Column(""), Column("")), ())) == []


def test_a_terminal_has_the_same_lines_and_a_rule() -> None:
    lines = [line.rstrip() for line in drawn(80, indent="  ").splitlines()]
    plain = text.lines(GRID, "  ")
    assert lines == [*plain[:3], f"  {'─' * 24}", *plain[3:]]


def test_a_terminal_draws_no_rule_without_headings() -> None:
    bare = Grid((Column("", words=True), Column("", words=True)), (row("a", "b"),))
    assert drawn(80, grid=bare) == "a  b\n"


def test_a_terminal_that_is_too_narrow_and_a_pipe_get_plain_text() -> None:
    assert drawn(23) == drawn(80, force_terminal=False) == TEXT
    assert drawn(24) != TEXT


def test_markdown() -> None:
    assert markdown.draw(GRID).splitlines() == [
        "| what ever | downtime, ms | CPU, % |",
        "| --- | ---: | ---: |",
        "| a \\| b | 12345 (12 – 99999) | n/a |",
        "| \\=c\ufffd | \\-1 |  |",
    ]


def test_csv_guards_words_and_leaves_figures() -> None:
    assert list(csv_module.reader(io.StringIO(csv.draw(GRID)))) == [
        ["what ever", "downtime", "CPU"],
        ["a | b", "12345", "n/a"],
        ["'=c\ufffd", "-1", ""],
    ]
