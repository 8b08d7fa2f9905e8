"""Bad streams and channels: one sentence, its exit code, both sides ended, no mark too early."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fakes_cases import FAILED, PROTOCOL, Case, check
from fakes_relay import RelayThread, Stage
from fakes_source import SETTLE, STALL
from fakes_wire import (
    EOS,
    FLAGS,
    FLUSH,
    MAIN,
    Guest,
    Script,
    Step,
    block_list,
    command,
    device,
    page_bits,
    ram_part,
    ram_start,
)
from ramferry.vocabulary import METHOD_FLAGS
from ramferry.wire.packets import SYNC, Initial, ram_header


def main_field(what: str, at: int, form: str, *values: int | bytes) -> Callable[[Script], object]:
    return lambda script: script.field(script.find(what, MAIN), at, form, *values)


def preamble(*pieces: bytes) -> Guest:
    """A guest whose stream begins otherwise."""
    good = Guest().preamble
    return replace(Guest(), preamble=(*good, *pieces))


NO_RETURN_PATH = "the source opened no return path, .*: set the return-path capability on .* again"

STREAMS = [
    Case(
        "stream version",
        main_field("header", 4, "I", 2),
        r"main: expected stream version 3, received version 2 \(up to byte 8\)",
    ),
    Case(
        "configuration",
        main_field("preamble", 1, "I", 1 << 30),
        "main: expected a machine name of 1 to 256 bytes, received 1073741824 bytes .*",
    ),
    Case(
        "no OPEN_RETURN_PATH",
        lambda _: None,
        NO_RETURN_PATH,
        FAILED,
        replace(Guest(), preamble=Guest().preamble[:2]),
    ),
    Case(
        "ADVISE",
        lambda _: None,
        "this migration may switch to postcopy, .*: unset the postcopy-ram capability",
        FAILED,
        preamble(command(3, struct.pack(">QQ", 4096, 4096))),
    ),
    Case(
        "ADVISE after the first section",
        lambda script: script.insert(
            script.find("part"), Step(MAIN, command(3, struct.pack(">QQ", 4096, 4096)))
        ),
        "this migration may switch to postcopy, .*: unset the postcopy-ram capability",
        FAILED,
    ),
    Case(
        "PACKAGED",
        lambda script: script.insert(
            script.find("part"), Step(MAIN, command(7, struct.pack(">I", 100)) + bytes(100))
        ),
        "the source switched to postcopy, .*",
        FAILED,
    ),
    Case(
        "COLO",
        lambda _: None,
        "this is a COLO migration, .*: unset x-colo",
        FAILED,
        preamble(command(8)),
    ),
    Case(
        "unknown command",
        lambda _: None,
        "main: expected a command up to 11, received command 99 .*",
        PROTOCOL,
        preamble(command(99)),
    ),
    Case(
        "nothing but commands",
        lambda script: script.insert(
            script.find("start"), Step(MAIN, command(2, bytes(4)) * 20_000)
        ),
        "main: expected a section within 65536 bytes, received none",
    ),
    Case(
        "unknown section",
        lambda script: script.insert(script.find("part"), Step(MAIN, b"\x63")),
        "main: expected .* in ROUNDS, received section type 0x63 .*",
    ),
    Case(
        "unknown RAM record",
        lambda script: script.edit(
            script.find("part"), lambda _: ram_part(struct.pack(">Q", 0x800) + EOS)
        ),
        "main: expected a RAM record, received 0x800 .*",
    ),
    Case(
        "footer of another section",
        lambda script: script.edit(script.find("part"), lambda raw: bytes(raw[:-1]) + b"\x09"),
        "main: expected .*, received .*",
    ),
    Case(
        "blocks that do not sum up",
        lambda script: script.edit(
            script.find("start"),
            lambda _: ram_start(
                struct.pack(">Q", 4096 | 4) + b"\x06pc.ram" + struct.pack(">Q", 8192) + FLUSH + EOS
            ),
        ),
        "main: expected RAM blocks of whole 4096-byte pages that sum to the total, .*",
    ),
    Case(
        "a block twice",
        lambda script: script.edit(
            script.find("start"),
            lambda _: ram_start(
                struct.pack(">Q", 8192 | 4)
                + (b"\x06pc.ram" + struct.pack(">Q", 4096)) * 2
                + FLUSH
                + EOS
            ),
        ),
        "main: expected each RAM block once, received block 'pc.ram' again .*",
    ),
    Case(
        "FLUSH in a stream whose marks are EOS",
        lambda script: script.edit(script.find("part"), lambda _: ram_part(FLUSH + EOS)),
        "main: expected no MULTIFD_FLUSH .*, received MULTIFD_FLUSH .*",
        guest=Guest(mode="section"),
    ),
    Case(
        "another page size",
        lambda _: None,
        "the guest's pages have 65536 bytes: pass --page-size 65536",
        FAILED,
        Guest(
            page_size=65536,
            pages=1,
            packets=1,
            rounds=1,
            preamble=(*Guest().preamble[:2], page_bits(16), *Guest().preamble[2:]),
        ),
    ),
]


def initial(channel: int, change: Initial) -> Callable[[Script], object]:
    return lambda script: script.edit(script.find("initial", channel), lambda _: change.encode())


ZEROS = bytes(16)
CHANNELS = [
    Case(
        "UUID",
        initial(1, Initial(bytes(range(16)), 1)),
        f"multifd 1: expected UUID {'00' * 16} as on the other channels, received 000102.*",
    ),
    Case(
        "a channel twice",
        initial(1, Initial(ZEROS, 0)),
        "multifd 0: expected each channel id once, received this one twice",
    ),
    Case(
        "a channel missing",
        initial(1, Initial(ZEROS, 3)),
        r"multifd channels \[1, 2\] never came, though later ones did",
        FAILED,
    ),
    Case(
        "id 255",
        initial(1, Initial(ZEROS, 255)),
        "multifd 255: expected a channel id below 255, received id 255",
    ),
    Case(
        "no multifd channel",
        lambda script: script.steps.__setitem__(
            slice(None), [one for one in script.steps if isinstance(one, Step) and one.where < 0]
        ),
        "the source opened no multifd channel: set the multifd capability on both QEMUs .*",
        FAILED,
    ),
    Case(
        "another method on another channel",
        lambda script: script.field(
            script.find("packet", 1), FLAGS, "I", METHOD_FLAGS["none"]
        ).payload(script.find("packet", 1), bytes(5 * 4096)),
        # whichever channel's first packet comes first
        r"multifd [01] packet 1: expected method \w+ on every channel, received \w+"
        r"|multifd 1 packet 2: expected method none as before, received method zlib",
    ),
    Case(
        "a channel whose initial packet is of another version",
        lambda script: script.field(script.find("initial", 0), 4, "I", 9).silence(0),
        r"multifd channels \[0\] never came, though later ones did",
        FAILED,
    ),
]


@pytest.mark.parametrize("case", [*STREAMS, *CHANNELS], ids=lambda case: case.name)
def test_a_bad_stream_ends_with_its_sentence_and_the_relay_goes_on(
    tmp_path: Path, case: Case
) -> None:
    check(case, tmp_path)


@pytest.mark.parametrize("wanted", [1, 3])
def test_another_number_of_channels_than_was_said(tmp_path: Path, wanted: int) -> None:
    stage = Stage(tmp_path, channels=wanted, stall_timeout=STALL)
    with RelayThread(stage.settings) as relay:
        result = stage.fail(relay, Script(Guest(channels=2)))
        if wanted == 1:
            assert result.error == "multifd 1: expected a channel id below 1, received id 1"
            assert result.exit_code == PROTOCOL
        else:
            assert re.fullmatch(
                r"nothing moved for \d+ s: the source opened 2 of 3 channels: set its "
                r"multifd-channels and the number that is expected here \(--channels\) alike",
                result.error,
            )
            assert result.exit_code == 9
        stage.change(channels=2)


def test_a_mark_without_the_sync_of_a_channel_is_never_sent(tmp_path: Path) -> None:
    script = Script(Guest())
    index = script.find("sync", 1, 1)
    script.steps[index : index + 1] = []
    stage = Stage(tmp_path, stall_timeout=STALL)
    with RelayThread(stage.settings) as relay:
        result = stage.fail(relay, script)
        assert result.exit_code == 9
        assert re.fullmatch(
            r"nothing moved for \d+ s: sync mark 3 waits for the SYNC of multifd 1", result.error
        ), result.error
        assert stage.last.marks == [0, 1, 2]
        assert not stage.last.main_stream.endswith(FLUSH + EOS)


def test_a_sync_without_its_mark_holds_what_follows(tmp_path: Path) -> None:
    script = Script(Guest(channels=1))
    script.stop(script.find("part", MAIN))
    raw = ram_header(flags=SYNC)
    script.insert(script.find("sync", 0, 1) + 1, Step(0, bytes(raw)))
    stage = Stage(tmp_path, stall_timeout=STALL)
    with RelayThread(stage.settings) as relay:
        result = stage.fail(relay, script)
        assert result.exit_code == 9
        assert "1 channels wait for sync mark 1 on main" in result.error
        assert stage.last.syncs == {0: 2}


def test_main_that_cannot_be_parsed_is_said_and_copied(tmp_path: Path) -> None:
    """A device between the rounds, unparsed: its footer brings the marks back."""
    script = Script(Guest())
    script.insert(script.find("part", MAIN, 1), Step(MAIN, device(77, b"odd", 3000)))
    stage = Stage(tmp_path, stall_timeout=SETTLE)
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, script)
        assert any("'odd'" in note for note in relay.seen.notes)


def test_a_block_list_of_too_many_blocks_is_refused(tmp_path: Path) -> None:
    script = Script(Guest())
    many = block_list({f"block {at}": 4096 for at in range(4097)})
    script.edit(script.find("start"), lambda _: ram_start(many + FLUSH + EOS))
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        result = stage.fail(relay, script)
        assert result.error.startswith("main: expected at most 4096 RAM blocks")
