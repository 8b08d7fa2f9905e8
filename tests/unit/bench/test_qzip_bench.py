"""bench.qzip: a program that tells its throughput, on one core and on several."""

from __future__ import annotations

from pathlib import Path

import pytest

from ramferry.bench.codecs import pieces_of
from ramferry.bench.qzip import find_qzip, libqatzip
from ramferry.errors import HostError

PIECES = pieces_of(4 << 20, ())
COPIES = """#!/bin/sh
case "$1" in
 -d) cp "$4" "$6" ;;
 *) cp "$7" "$9.gz" ;;
esac
echo 'Throughput: 800.000 Mbit/s'
"""


@pytest.fixture
def qzip(tmp_path: Path) -> Path:
    (tmp_path / "qzip").write_text(COPIES)
    (tmp_path / "qzip").chmod(0o755)
    return tmp_path / "qzip"


@pytest.mark.parametrize("cores", [1, 2])
def test_each_core_has_a_process_and_their_rates_add_up(qzip: Path, cores: int) -> None:
    row = libqatzip(PIECES, 1, cores, qzip)
    assert (row.compress.middle, row.decompress.middle) == (cores * 1e8, cores * 1e8)
    assert (row.ratio, row.cores, row.level) == (1.0, cores, 1)


def test_it_is_found_among_the_peers(qzip: Path) -> None:
    assert find_qzip({"RAMFERRY_PEERS": str(qzip.parent), "PATH": ""}) == qzip


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("exit 3", "does not run"),
        ("exit 0", "does not tell its throughput"),
        (COPIES.replace('cp "$4" "$6"', 'echo x > "$6"'), "did not give back what it compressed"),
    ],
)
def test_one_that_does_something_else(qzip: Path, script: str, sentence: str) -> None:
    qzip.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
    with pytest.raises(HostError, match=sentence):
        libqatzip(PIECES, 1, 1, qzip)
