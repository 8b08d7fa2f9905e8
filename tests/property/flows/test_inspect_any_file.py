"""Whatever a recording holds, ``inspect`` shows it or says one sentence."""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path

import zstandard
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fakes_wire import MAIN, Guest, Script
from ramferry.errors import RamferryError
from ramferry.flows.inspection import inspect
from ramferry.report.inspection import print_inspection

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
_SCRIPT = Script(Guest("none", page_size=1024, rounds=1, pages=3, zeros=2))
_MAIN = (GOLDEN / "10.0-microvm.main").read_bytes()
_CAPABILITY = (
    b"\x05\x1aconfiguration/capabilities" + bytes.fromhex("00000001 00000001 0a") + b"mapped-ram"
)
_MAPPED = (
    bytes.fromhex("5145564d 00000003 07 00000002")
    + b"pc"
    + _CAPABILITY
    + bytes.fromhex("01 00000002 03")
    + b"ram"
    + bytes.fromhex("00000000 00000004 0000000000001004 01")
    + b"r"
    + struct.pack(">QIQQQ", 4096, 1, 4096, 125, 160)
    + b"\1"
    + bytes(5000)
)
_LIBVIRT = b"LibvirtQemudSave" + struct.pack("<5I", 2, 9, 1, 0, 0) + bytes(56) + b"<domain/>"
FILES = [
    b"",
    _MAIN,
    _SCRIPT.stream(MAIN),
    _SCRIPT.stream(0),
    _MAPPED,
    gzip.compress(_MAIN, mtime=0),
    zstandard.compress(_MAIN),
    _LIBVIRT + _MAIN,
    _LIBVIRT + gzip.compress(_SCRIPT.stream(1), mtime=0),
]


def shown(raw: bytes, page_size: int) -> str:
    """The fault, or the error's sentence; empty where the recording is sound."""
    try:
        found = inspect(io.BytesIO(raw), page_size=page_size)
    except RamferryError as error:
        return str(error)
    print_inspection(found, Console(file=io.StringIO(), width=200))
    return found.fault


def test_the_files_are_what_they_are_called() -> None:
    assert not any(shown(raw, 1024) for raw in (FILES[2], FILES[3], FILES[8]))
    assert not any(shown(raw, 4096) for raw in (FILES[1], *FILES[5:8]))
    assert "a RAM record" in shown(_MAPPED, 4096), "read up to behind its block list"


@given(st.binary(max_size=400), st.sampled_from([1024, 4096]))
def test_any_bytes(raw: bytes, page_size: int) -> None:
    shown(raw, page_size)


@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.integers(0, 3000), st.binary(max_size=9)), max_size=4),
    st.integers(0, 1 << 20),
    st.sampled_from([1024, 4096]),
)
def test_damage(raw: bytes, damage: list[tuple[int, bytes]], end: int, page_size: int) -> None:
    data = bytearray(raw)
    for at, piece in damage:
        data[at : at + len(piece)] = piece
    shown(bytes(data[:end]), page_size)
