"""Sizes and ratio of compressed files, in the columns of ``gzip -l``."""

from __future__ import annotations

from collections.abc import Sequence

HEAD = f"{'compressed':>19} {'uncompressed':>19}  ratio uncompressed_name"


def row(name: str, compressed: int, size: int) -> str:
    """One file's line; the ratio is the part of ``size`` that was saved."""
    saved = 1 - compressed / size if size else 0.0
    return f"{compressed:>19} {size:>19} {saved:>6.1%} {name}"


def total(rows: Sequence[tuple[int, int]]) -> str:
    """The line below several files."""
    return row("(totals)", sum(one for one, _ in rows), sum(size for _, size in rows))
