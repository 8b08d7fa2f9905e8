"""Bad packets: one sentence, its exit code, both sides ended, nothing damaged sent on."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes_cases import PROTOCOL, Case, check
from fakes_relay import RelayThread, Stage
from fakes_wire import (
    ALLOC,
    BLOCK,
    FLAGS,
    NORMAL,
    OFFSETS,
    SIZE,
    ZERO,
    Close,
    Guest,
    Script,
    Step,
    device_state_header,
)
from ramferry.codec import METHODS, create_encoder
from ramferry.vocabulary import METHOD_FLAGS


def packet(script: Script) -> int:
    """The second data packet of channel 1: in the first round of data, with state behind it."""
    return script.find("packet", 1, 1)


def header(at: int, form: str, *values: int | bytes) -> Callable[[Script], object]:
    return lambda script: script.field(packet(script), at, form, *values)


HERE = "multifd 1 packet 2: "
"""One SYNC and one packet went before."""

PACKETS = [
    Case("magic", header(0, "I", 0x11223345), HERE + "expected magic 11223344, received 11223345"),
    Case("version", header(4, "I", 2), HERE + "expected multifd version 1, received version 2"),
    Case("unknown flag", header(FLAGS, "I", 0x82), HERE + "expected known packet flags, .* 0x82"),
    Case("two methods", header(FLAGS, "I", 6), HERE + "expected one compression method, .* 0x6"),
    Case(
        "method change",
        header(FLAGS, "I", METHOD_FLAGS["zstd"]),
        HERE + "expected method zlib as before, received method zstd",
    ),
    Case(
        "alloc", header(ALLOC, "I", 129), HERE + "expected packets of 128 pages of 4096 .* 129 .*"
    ),
    Case("no alloc", header(ALLOC, "I", 0), HERE + "expected packets of 128 pages .* of 0 pages"),
    Case("normal", header(NORMAL, "I", 129), HERE + "expected at most 128 pages, received 129 .*"),
    Case("all normal", header(NORMAL, "I", 0xFFFFFFFF), HERE + "expected at most 128 pages, .*"),
    Case(
        "zero", header(ZERO, "I", 124), HERE + "expected at most 128 pages, .* 5 normal, 124 zero"
    ),
    Case("no payload", header(SIZE, "I", 0), HERE + "expected a payload for 5 pages, .* 0"),
    Case(
        "oversize payload",
        header(SIZE, "I", (1 << 20) + 1),
        HERE + "expected at most 1048576 bytes for 5 pages, received next_packet_size 1048577",
    ),
    Case(
        "oversize payload of none",
        header(SIZE, "I", 5 * 4096 + 1),
        HERE + "expected 20480 bytes for 5 pages, received next_packet_size 20481",
        guest=Guest(method="none"),
    ),
    Case(
        "short payload of none",
        header(SIZE, "I", 5 * 4096 - 1),
        HERE + "expected 20480 bytes for 5 pages, received next_packet_size 20479",
        guest=Guest(method="none"),
    ),
    Case(
        "oversize payload of qpl",
        header(SIZE, "I", 5 * 4100 + 1),
        HERE + "expected at most 20500 bytes for 5 pages, received next_packet_size 20501",
        guest=Guest(method="qpl"),
    ),
    Case(
        "unknown block",
        header(BLOCK, "8s", b"vga.vram"),
        HERE + "expected a RAM block of this guest, received block 'vga.vram'",
    ),
    Case("no block", header(BLOCK, "256s", b""), HERE + "expected a RAM block name, received .*"),
    Case(
        "block without an end",
        header(BLOCK, "256s", b"x" * 256),
        HERE + "expected a RAM block name, received b'x+'",
    ),
    Case(
        "offset outside",
        header(OFFSETS, "Q", 256 * 4096),
        HERE + "expected offsets inside 'pc.ram' of 0x100000 bytes, received offset 0x100000",
    ),
    Case(
        "offset far outside",
        header(OFFSETS + 8, "Q", 0xFFFFFFFFFFFFF000),
        HERE + "expected offsets inside 'pc.ram' .*, received offset 0xfffffffffffff000",
    ),
    Case(
        "zero page outside",
        header(OFFSETS + 5 * 8, "Q", 1 << 40),
        HERE + "expected offsets inside 'pc.ram' .*, received offset 0x10000000000",
        guest=Guest(zeros=1),
    ),
    Case(
        "offset unaligned",
        header(OFFSETS, "Q", 4097),
        HERE + "expected offsets aligned to 4096 bytes, received low bits 0x1",
    ),
    Case(
        "pages before the first SYNC",
        lambda script: script.field(script.find("sync", 1), FLAGS, "I", 0),
        "multifd 1 packet 1: expected (a SYNC before the first pages, received pages"
        "|a RAM block of this guest, received block 'pc.ram')",
    ),
    Case(
        "DEVICE_STATE with SYNC",
        lambda script: script.insert(
            packet(script),
            Step(1, struct.pack(">III256sII", 0x11223344, 1, 0x41, b"vfio", 0, 9)),
        ),
        HERE + "expected DEVICE_STATE alone, received flags 0x41",
    ),
    Case(
        "oversize DEVICE_STATE",
        lambda script: script.insert(
            packet(script), Step(1, device_state_header("vfio", 0, 0xFFFFFFFF))
        ),
        HERE + "expected 1 to 67108864 bytes of device state, received 4294967295",
    ),
    Case(
        "DEVICE_STATE without a name",
        lambda script: script.insert(packet(script), Step(1, device_state_header("", 0, 9))),
        HERE + "expected a device name, received .*",
    ),
]


@pytest.mark.parametrize("case", PACKETS, ids=lambda case: case.name)
def test_a_bad_packet_ends_with_its_sentence_and_the_relay_goes_on(
    tmp_path: Path, case: Case
) -> None:
    check(case, tmp_path)


def damaged(script: Script, method: str) -> object:
    index = packet(script)
    return script.edit(index + 1, lambda raw: random.Random(method).randbytes(len(raw)))


@pytest.mark.parametrize("out", ["same", "other"])
@pytest.mark.parametrize("method", [name for name in METHODS if name != "none"])
def test_a_damaged_payload_is_never_sent_on(tmp_path: Path, method: str, out: str) -> None:
    script = Script(Guest(method=method))
    damaged(script, method)
    stage = Stage(tmp_path, method=method if out == "same" else "none")
    with RelayThread(stage.settings) as relay:
        result = stage.fail(relay, script)
        assert result.error.startswith(HERE + "expected ")
        assert result.exit_code == PROTOCOL
        assert len(stage.last.payloads) <= 3
        stage.carry(relay, Script(Guest(method=method)), 2)


@pytest.mark.parametrize("pages", [4, 6])
@pytest.mark.parametrize("method", METHODS)
def test_a_payload_of_another_number_of_pages_is_refused(
    tmp_path: Path, method: str, pages: int
) -> None:
    script = Script(Guest(method=method))
    content = memoryview(random.Random(3).randbytes(pages * 1024) * 4)
    payload = b"".join(create_encoder(method, None).encode(content))
    script.payload(script.find("packet", 1), payload)
    stage = Stage(tmp_path, method=method)
    with RelayThread(stage.settings) as relay:
        result = stage.fail(relay, script)
        assert result.error.startswith("multifd 1 packet 1: expected ")
        assert result.exit_code == PROTOCOL


def test_device_state_is_bounded_by_what_came(tmp_path: Path) -> None:
    """A big promise allocates nothing: 60 MB are promised, 5 bytes come."""
    peaks = []
    for promised in (1000, 60_000_000):  # the first has the process load what a relay needs
        script = Script(Guest())
        index = packet(script)
        script.steps[index:] = [
            Step(1, device_state_header("vfio", 0, promised) + b"short"),
            Close(1),
        ]
        stage = Stage(tmp_path)
        with RelayThread(stage.settings) as relay:
            result = stage.fail(relay, script)
            assert result.exit_code == PROTOCOL
            assert re.search("end of stream after 5 bytes", result.error)
            peaks.append(result.max_rss_bytes)
    assert peaks[1] - peaks[0] < 30_000_000
