"""Files and pipes through a stand-in for a device, in the library and on the command line."""

from __future__ import annotations

import gzip
import io
import random
from pathlib import Path

import pytest

from ramferry.errors import CorruptDataError, MethodUnavailable
from ramferry.qatzip import Session, accelerator, stream
from standins import StandIn, run_with_device

DATA = random.Random(4).randbytes(5 * 1024 * 1024 + 100)


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A device that this process has proven."""
    made = StandIn(tmp_path)
    monkeypatch.setattr(accelerator, "_answer", [made.library])
    return made


def compressed(data: bytes = DATA) -> bytes:
    out = io.BytesIO()
    stream.compress(io.BytesIO(data), out, threads=2, accelerator="require")
    return out.getvalue()


def test_a_file_goes_through_the_device_both_ways(standin: StandIn) -> None:
    payload, again = io.BytesIO(), io.BytesIO()
    totals = stream.compress(io.BytesIO(DATA), payload, threads=2)
    assert totals.backend == "qat + isa-l"  # the last 100 bytes are too short for a device
    payload.seek(0)
    totals = stream.decompress(payload, again, format="gzip")
    assert again.getvalue() == DATA
    assert (totals.bytes_out, totals.backend) == (len(DATA), "qat + isa-l")
    assert gzip.decompress(payload.getvalue()) == DATA
    assert standin.count("shared") == 0


def test_the_cpu_takes_over_where_other_members_come(standin: StandIn) -> None:
    other = gzip.compress(b"made elsewhere")
    out = io.BytesIO()
    totals = stream.decompress(io.BytesIO(compressed(DATA[:131072]) + other), out)
    assert out.getvalue() == DATA[:131072] + b"made elsewhere"
    assert totals.backend == "qat + isa-l"
    large = Session(accelerator="off", member_size=1 << 20).compress(DATA).data
    inflated = standin.count("inflated")
    assert stream.decompress(io.BytesIO(large), io.BytesIO()).backend == "isa-l"
    assert standin.count("inflated") == inflated


@pytest.mark.usefixtures("standin")
def test_damage_is_told_with_its_place() -> None:
    payload = bytearray(compressed())
    payload[-1] ^= 1
    with pytest.raises(CorruptDataError, match="in member 81, which begins at byte"):
        stream.decompress(io.BytesIO(payload), io.BytesIO())
    with pytest.raises(CorruptDataError, match="trailing bytes"):
        stream.decompress(io.BytesIO(compressed() + b"junk"), io.BytesIO())
    with pytest.raises(CorruptDataError, match="at most 100000 bytes to come out"):
        stream.decompress(io.BytesIO(compressed()), io.BytesIO(), max_size=100_000)
    exact = io.BytesIO()
    stream.decompress(io.BytesIO(compressed()), exact, max_size=len(DATA))
    assert exact.getvalue() == DATA


@pytest.mark.usefixtures("standin")
def test_one_stream_is_no_work_for_a_device() -> None:
    for format in ("raw", "zlib"):
        with pytest.raises(MethodUnavailable, match="a device has format gzip-ext only"):
            stream.compress(io.BytesIO(), io.BytesIO(), format=format, accelerator="require")
        with pytest.raises(MethodUnavailable, match="a device has format gzip-ext only"):
            stream.decompress(io.BytesIO(), io.BytesIO(), format=format, accelerator="require")


COMMAND = """
import sys
from ramferry.cli import main
for command, suffix in (("compress", ""), ("decompress", ".gz")):
    sys.argv = ["ramferry", command, "-v", "--accelerator", "require", {path!r} + suffix]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


def test_commands_require_a_device(tmp_path: Path) -> None:
    path = tmp_path / "pages"
    path.write_bytes(DATA[:131072])
    code = COMMAND.format(path=str(path))
    done = run_with_device(code)
    assert (done.returncode, path.read_bytes()) == (0, DATA[:131072])
    assert [line.rsplit(", ", 1)[1] for line in done.stderr.splitlines()] == ["qat", "qat"]
    done = run_with_device(code, device=False)
    assert done.returncode == MethodUnavailable.exit_code
    assert "QATzip in hardware is required, but there is no QAT device" in done.stderr
    assert path.exists()
