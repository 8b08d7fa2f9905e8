"""The one table: its columns, its units, what it admits not to know."""

import io
from dataclasses import replace

from rich.console import Console

from ramferry.metrics import MigrationResult
from ramferry.report.table import print_table

QATZIP = MigrationResult(
    "qatzip", "qatzip", 1, 8, "relay pair", 4712, 38, 912.4, 111_234.6, 95.4, 41.0,
    537_400_123, 1_800_000_000, 3.3496, "isa-l", 4,
)  # fmt: skip
BUILT_IN = MigrationResult(
    "zlib", "zlib", None, 8, "QEMU built-in", 20100, 300, None, 26_100.0, 180.6, None,
    None, 1_800_000_000, None, "QEMU 7.2.22 zlib", 12,
)  # fmt: skip

PLAIN = """\
method    total  down-  through-   pages  send  recv       wire  ratio  backend
level      time   time       put     per   CPU   CPU      bytes
             ms     ms      mbps  second     %     %
qatzip 1   4712     38       912  111235    95    41  537400123   3.35  isa-l
zlib      20100    300       n/a   26100   181   n/a        n/a    n/a  QEMU 7.2.22 zlib
"""


def test_no_terminal_no_folding() -> None:
    out = io.StringIO()
    print_table([QATZIP, BUILT_IN], Console(file=out, width=40))
    assert out.getvalue() == PLAIN


def test_one_member_a_packet_is_said_below_the_table() -> None:
    for size, said in ((524288, "isa-l*\n* 1 member a packet"), (65536, "isa-l"), (None, "isa-l")):
        out = io.StringIO()
        print_table([QATZIP, replace(QATZIP, member_size=size)], Console(file=out, width=40))
        assert out.getvalue().endswith(f"  3.35  {said}\n")
        assert max(map(len, out.getvalue().splitlines())) <= 80


def test_a_terminal_of_80_columns_gets_the_same_cells() -> None:
    out = io.StringIO()
    print_table([QATZIP], Console(file=out, width=80, force_terminal=True, color_system=None))
    row = next(line for line in out.getvalue().splitlines() if "qatzip" in line)
    assert row.split() == PLAIN.splitlines()[3].split()


def test_a_terminal_that_is_too_narrow_folds_no_figure() -> None:
    out = io.StringIO()
    print_table([QATZIP, BUILT_IN], Console(file=out, width=60, force_terminal=True))
    assert out.getvalue() == PLAIN
