"""What ``inspect`` prints: names from strangers are neither markup nor what a terminal obeys."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from ramferry.metrics.inspection import (
    InspectedBlock,
    InspectedChannel,
    InspectedDevice,
    Inspection,
)
from ramferry.report.inspection import print_inspection


def printed(name: str, wrapping: tuple[str, ...] = ()) -> str:
    found = Inspection(
        kind="main stream",
        machine=name,
        page_size=4096,
        method="",
        rounds=1,
        blocks=(InspectedBlock(name, 4096, 1, 0, 0, 4096, 1.0),),
        channels=(InspectedChannel(name, "", 9, 0, 0),),
        devices=(InspectedDevice(name, 0, 1, 9),),
        wrapping=wrapping,
    )
    console = Console(file=io.StringIO(), width=200, force_terminal=True, highlight=False)
    print_inspection(found, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("pc.ram", "pc.ram"),
        ("[/b]", "[/b]"),
        ("[red]rom", "[red]rom"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\nb\rc", r"a\nb\rc"),
        ("\u202eab", r"\u202eab"),
    ],
)
def test_names_are_shown_as_they_are(name: str, shown: str) -> None:
    assert printed(name).count(shown) == 4


def test_the_wrapping_is_named_from_the_inside() -> None:
    first = printed("pc", ("a libvirt save image", "gzip")).splitlines()[0]
    assert (
        first
        == "main stream in gzip in a libvirt save image, pc, pages of 4096 bytes, 1 sync marks"
    )


def test_of_a_save_file_that_was_cut_there_is_its_size() -> None:
    found = Inspection("save file", "", 0, "", 0, (), (), (), "cut", (), 3 << 20)
    console = Console(file=io.StringIO(), width=200)
    print_inspection(found, console)
    assert console.file.getvalue() == "save file, 3 MiB\n"  # type: ignore[attr-defined]
    print_inspection(replace(found, created=1e9), console)
    assert "save file, 3 MiB, saved 2001-09-" in console.file.getvalue()  # type: ignore[attr-defined]
