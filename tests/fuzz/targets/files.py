"""Files: saved states, recordings, scenarios, results."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import struct
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import zstandard
from rich.console import Console

from fakes_wire import MAIN, Guest, Script
from forging import Forger, forged, inspected, judged
from fuzz.target import Target
from fuzz.targets.jsons import change_json
from fuzz.targets.wire import main_samples, mapped_ram
from ramferry.bench import scenario_file
from ramferry.errors import CorruptDataError, RamferryError, UsageError
from ramferry.flows.archive.format import (
    FOOTER_SIZE,
    OPENING,
    Directory,
    crc32,
    pack_directory,
    pack_footer,
    unpack_directory,
    unpack_footer,
)
from ramferry.flows.inspection import inspect
from ramferry.report.benchmark import comparison
from ramferry.report.benchmark.chapters import report
from ramferry.report.benchmark.differences import Named
from ramferry.report.formats import markdown, spreadsheet, text
from ramferry.report.inspection import print_inspection
from wire_streams import GOLDEN

# --- save files


def check_save_file(data: bytes) -> bool:
    """As it is, and with right CRCs where that can be: refused in a sentence, or without harm."""
    found = [_judged(data)]
    repaired = _repaired(data)
    if repaired is not None:
        found.append(_judged(repaired))
    return any(found)


def _judged(data: bytes) -> bool:
    descriptor = os.memfd_create("state")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        path = Path(f"/proc/self/fd/{descriptor}")
        sentence, shown = judged(path), inspected(path)
        judged(path, framed=True)
    finally:
        os.close(descriptor)
    assert "\n" not in sentence + shown
    assert bool(sentence) == bool(shown), f"restore says {sentence!r}, inspect {shown!r}"
    return not sentence


def _repaired(data: bytes) -> bytes | None:
    """The file with every CRC as its bytes are now; None if it has no directory."""
    with suppress(
        CorruptDataError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        struct.error,
        RecursionError,
        OverflowError,
    ):
        footer = data[-FOOTER_SIZE:]
        magic = struct.pack("<8s", b"RAMFERRY") + footer[8:32]
        place = unpack_footer(magic + struct.pack("<I", crc32(magic)), len(data))
        raw = data[place.offset : place.offset + place.size]
        with suppress(ValueError, LookupError, TypeError, AttributeError, RecursionError):
            directory = json.loads(raw)
            for part in directory["parts"].values():
                part["crc"] = crc32(data[part["offset"] : part["offset"] + part["size"]])
            raw = json.dumps(directory, separators=(",", ":")).encode()
        return OPENING + data[len(OPENING) : place.offset] + raw + pack_footer(place.offset, raw)
    return None


def _forged(data: bytes, chance: random.Random) -> bytes | None:
    """One more forgery of a file that is sound enough."""
    with suppress(Exception):
        return forged(data, chance)[0]
    return None


def check_directory(data: bytes) -> bool:
    """The JSON of a save file, whose CRC whoever made it can make right."""
    try:
        directory = unpack_directory(data)
    except CorruptDataError:
        return False
    assert isinstance(directory, Directory)
    assert unpack_directory(pack_directory(directory)) == directory
    return True


def directory_samples() -> list[bytes]:
    """That of the golden file."""
    forger = Forger((GOLDEN / "save-2.state").read_bytes())
    return [json.dumps(forger.directory, separators=(",", ":")).encode()]


# --- recordings


def recording_samples() -> list[bytes]:
    """Main and multifd channels as they are, in gzip, in zstd and in libvirt's image."""
    script = Script(Guest("none", page_size=1024, rounds=1, pages=3, zeros=2))
    main, channel = script.stream(MAIN), script.stream(0)
    libvirt = b"LibvirtQemudSave" + struct.pack("<5I", 2, 9, 1, 0, 0) + bytes(56) + b"<domain/>"
    sparse = b"LibvirtQemudSave" + struct.pack(">5I", 3, 9, 1, 6, 0) + bytes(56) + b"<domain/>"
    small = main_samples()[3]
    return [
        main,
        channel,
        small,
        gzip.compress(small, mtime=0),
        zstandard.compress(small),
        zstandard.compress(channel[:900]) + zstandard.compress(channel[900:]),
        libvirt + small,
        libvirt + gzip.compress(channel, mtime=0),
        gzip.compress(libvirt + zstandard.compress(small), mtime=0),
        sparse + bytes(3) + mapped_ram(),
    ]


def check_inspect(data: bytes) -> bool:
    """``ramferry inspect`` shows it, or says one sentence."""
    small, usual = _inspected(data, 1024), _inspected(data, 4096)
    return small or usual


def _inspected(data: bytes, page_size: int) -> bool:
    try:
        found = inspect(io.BytesIO(data), page_size=page_size)
    except RamferryError:
        return False
    out = io.StringIO()
    print_inspection(found, Console(file=out, width=200))
    assert "\x1b" not in out.getvalue(), "a control character of a file on the terminal"
    return not found.fault


# --- scenarios and results


def scenario_samples() -> list[bytes]:
    """Those that come with Ramferry."""
    folder = files("ramferry.bench") / "scenarios"
    return [(folder / f"{name}.toml").read_bytes() for name in scenario_file.shipped()]


def _refused(error: RamferryError, name: str) -> bool:
    assert str(error).startswith(name), f"a sentence without the file's name: {error}"
    return False


def check_scenario(data: bytes) -> bool:
    """A scenario, or a sentence that names the file."""
    try:
        found = scenario_file.parse(data, "x.toml", Path())
    except UsageError as error:
        return _refused(error, "x.toml")
    assert 1 <= len(found.cases) <= scenario_file.MOST_CASES
    return True


def check_result(data: bytes) -> bool:
    """A benchmark's result: every report of it can be drawn, or a sentence names the file."""
    try:
        found = comparison.decode(data, "x.json")
    except comparison.Damaged as error:
        return _refused(error, "x.json")
    measured = [Named("x.json", found)]
    for draw in (
        lambda: text.draw(report(measured)),
        lambda: markdown.draw(report(measured)),
        lambda: spreadsheet.draw(measured),
    ):
        assert "\x1b" not in draw(), "a control character of a file in a report"
    written: Any = json.loads(json.dumps(comparison.document(found)))
    assert comparison.decode(json.dumps(written).encode(), "again") == found
    return True


_TOML: Final = tuple(
    f"{line}\n".encode()
    for line in (
        "repeats = 3",
        "[guest]",
        "[[cases]]",
        "[link]",
        'rate = "1Gbit"',
        'memory = "2G"',
        'hot = "256M"',
        'kind = "built-in"',
        'dirty-rate = "80M"',
        "levels = [1, 9]",
        "channels = [1, 255]",
        "timeout = inf",
        "x = 1979-05-27T07:32:00Z",
        f"n = {'9' * 5000}",
        'methods = ["zstd", "none"]',
        'routes = ["native"]',
        "fill = " + "[" * 40 + "]" * 40,
    )
)


@cache
def targets() -> list[Target]:
    """All of them."""
    golden = (GOLDEN / "save-2.state").read_bytes
    return [
        Target("save-file", check_save_file, lambda: [golden()], (), _forged, trials=40),
        Target("save-directory", check_directory, directory_samples, (), change_json),
        Target(
            "inspect",
            check_inspect,
            recording_samples,
            (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"),
            trials=80,
            mebibytes=32,
        ),
        Target("scenario", check_scenario, scenario_samples, _TOML),
        Target(
            "result",
            check_result,
            lambda: [(GOLDEN / "bench-1.json").read_bytes()],
            (),
            change_json,
            trials=40,
        ),
    ]
