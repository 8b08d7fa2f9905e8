"""A whole migration as a list of steps: open this connection, send these bytes on it.

A fault is an edit of the list. ``fakes_source`` runs it.
"""

from __future__ import annotations

import copy
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from ramferry.codec import create_encoder
from ramferry.vocabulary import METHOD_FLAGS
from ramferry.wire.packets import (
    DEVICE_STATE,
    DEVICE_STATE_LAYOUT,
    MAGIC,
    SYNC,
    VERSION,
    Initial,
    ram_header,
)

MAIN = -1
"""Stands for the main channel where multifd channels have their ids."""
RAM_ID = 2
Mode = Literal["section", "round"]

FLUSH = struct.pack(">Q", 0x200)
EOS = struct.pack(">Q", 0x10)


FLAGS, ALLOC, NORMAL, SIZE, ZERO, BLOCK, OFFSETS = 8, 12, 16, 20, 32, 64, 320
"""Where a RAM packet's fields are."""


# --- the main channel's bytes


def header(magic: bytes = b"QEVM", version: int = 3) -> bytes:
    return magic + struct.pack(">I", version)


def configuration(machine: bytes = b"pc-i440fx-7.2") -> bytes:
    return b"\x07" + struct.pack(">I", len(machine)) + machine


def page_bits(bits: int) -> bytes:
    name = b"configuration/target-page-bits"
    return b"\x05" + bytes([len(name)]) + name + struct.pack(">II", 1, bits)


def command(number: int, data: bytes = b"") -> bytes:
    return b"\x08" + struct.pack(">HH", number, len(data)) + data


OPEN_RETURN_PATH = command(1)
PING = command(2, struct.pack(">I", 1))


def footer(section: int) -> bytes:
    return struct.pack(">BI", 0x7E, section)


def named(kind: int, section: int, idstr: bytes, version: int, body: bytes) -> bytes:
    """A START (1) or FULL (4) section."""
    head = struct.pack(">BIB", kind, section, len(idstr)) + idstr
    return head + struct.pack(">II", 0, version) + body + footer(section)


def ram_start(body: bytes) -> bytes:
    return named(1, RAM_ID, b"ram", 4, body)


def ram_part(body: bytes) -> bytes:
    return struct.pack(">BI", 2, RAM_ID) + body + footer(RAM_ID)


def ram_end(body: bytes) -> bytes:
    return struct.pack(">BI", 3, RAM_ID) + body + footer(RAM_ID)


def block_list(blocks: dict[str, int]) -> bytes:
    entries = b"".join(
        bytes([len(name)]) + name.encode() + struct.pack(">Q", size)
        for name, size in blocks.items()
    )
    return struct.pack(">Q", sum(blocks.values()) | 0x04) + entries


def device(section: int, name: bytes = b"fw_cfg", size: int = 500) -> bytes:
    return named(4, section, name, 2, random.Random(section).randbytes(size))


def end_of_stream(text: bytes = b'{"devices": []}') -> bytes:
    return b"\x00\x06" + struct.pack(">I", len(text)) + text


# --- a migration as steps


@dataclass(frozen=True, slots=True)
class Step:
    """Send ``data`` on a connection, which the first step of its own opens."""

    where: int
    data: bytes = b""
    what: str = ""


@dataclass(frozen=True, slots=True)
class Close:
    """Close a connection."""

    where: int
    how: Literal["close", "reset"] = "close"


@dataclass(frozen=True, slots=True)
class Do:
    """Call something, in the source's thread."""

    action: Callable[[], object]


Action = Step | Close | Do


@dataclass(frozen=True)
class Guest:
    """What is migrated, and how."""

    method: str = "zlib"
    level: int | None = None
    channels: int = 2
    """0: all pages come on main, as of a source without multifd."""
    mode: Mode = "round"
    page_size: int = 4096
    rounds: int = 3
    """Marks after the one of ram's START."""
    packets: int = 2
    """With pages, per channel and round."""
    pages: int = 5
    """Normal pages per packet."""
    zeros: int = 0
    """Zero pages named per packet."""
    sync_on_data: bool = False
    """As 7.2: SYNC on the last data packet, then an empty packet."""
    stale_size: bool = False
    """As 7.2: next_packet_size of packets without pages is some old value."""
    device_state: int = 0
    """Bytes of a DEVICE_STATE packet after the last round, on every channel; 0 for none."""
    uuid: bytes = bytes(16)
    seed: int = 1
    preamble: tuple[bytes, ...] = (header(), configuration(), OPEN_RETURN_PATH, PING)
    early: bytes = b""
    """Sections before ram's START."""
    whole: bool = False
    """As every QEMU: no page is left out. Those that come later are named zero in a round before,
    which is one mark more."""

    @property
    def blocks(self) -> dict[str, int]:
        return {"pc.ram": 256 * self.page_size, "/rom@etc/acpi/tables": 8 * self.page_size}


def page(chance: random.Random, size: int) -> bytes:
    """One page: text-like, random, or all one byte; never of zeros."""
    kind = chance.randrange(4)
    if kind == 0:
        return chance.randbytes(size)
    if kind == 1:
        return bytes([chance.randrange(1, 256)]) * size
    word = chance.randbytes(chance.randrange(8, 200))
    return (word * (size // len(word) + 1))[:size]


ZERO_RECORD, PAGE_RECORD, CONTINUE_RECORD = 0x02, 0x08, 0x20
"""Flags of ram's records on main."""


class Script:
    """The steps of one whole migration, and the memory that it must produce."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.memory = {name: bytearray(size) for name, size in guest.blocks.items()}
        self.steps: list[Action] = []
        self._chance = random.Random(guest.seed)
        self._number = 0
        self._encoders = [
            create_encoder(guest.method, guest.level, page_size=guest.page_size)
            for _ in range(guest.channels)
        ]
        self._build()

    def _build(self) -> None:
        guest = self.guest
        self.steps.append(Step(MAIN, guest.preamble[0], "header"))
        for channel in range(guest.channels):
            self.steps.append(Step(channel, Initial(guest.uuid, channel).encode(), "initial"))
        for piece in guest.preamble[1:]:
            self._main(piece, "preamble")
        if guest.early:
            self._main(guest.early, "early")
        self._round(data=False)
        self._main(ram_start(block_list(guest.blocks) + self._mark()), "start")
        if guest.whole:
            self._round(data=False)
            self._main(ram_part(self._all_zero() + self._mark()), "zeros")
        for _ in range(guest.rounds - 1):
            self._round(data=True)
            self._main(ram_part(self._records() + self._mark()), "part")
        self._round(data=True)
        self._main(ram_end(self._records() + self._mark()), "end")
        self._device_state()
        self._main(device(7) + device(8, b"cpu", 3000) + end_of_stream(), "tail")

    def _main(self, data: bytes, what: str) -> None:
        self.steps.append(Step(MAIN, data, what))

    def _mark(self) -> bytes:
        return (FLUSH if self.guest.mode == "round" else b"") + EOS

    def _round(self, *, data: bool) -> None:
        guest = self.guest
        places = self._places() if data else iter(())
        for channel in range(guest.channels):
            for index in range(guest.packets if data else 0):
                sync = guest.sync_on_data and index == guest.packets - 1
                self._packet(channel, places, SYNC if sync else 0)
            flags = 0 if data and guest.sync_on_data and guest.packets else SYNC
            stale = 4711 if guest.stale_size else 0
            raw = ram_header(page_size=guest.page_size, flags=flags, payload_size=stale)
            self.steps.append(Step(channel, bytes(raw), "sync" if flags else "empty"))

    def _all_zero(self) -> bytes:
        """Records of zero pages for all of the guest's memory."""
        return b"".join(
            (at | ZERO_RECORD).to_bytes(8, "big") + bytes([len(name)]) + name.encode() + b"\0"
            for name, size in self.guest.blocks.items()
            for at in range(0, size, self.guest.page_size)
        )

    def _records(self) -> bytes:
        """A round's pages on main; none where there are channels."""
        guest, places, raw, rest = self.guest, self._places(), b"", 0
        for _ in range(0 if guest.channels else guest.packets):
            for flags, count in ((PAGE_RECORD, guest.pages), (ZERO_RECORD, guest.zeros)):
                for name, at in (next(places) for _ in range(count)):
                    zero = flags == ZERO_RECORD
                    content = (
                        bytes(guest.page_size) if zero else page(self._chance, guest.page_size)
                    )
                    self.memory[name][at : at + guest.page_size] = content
                    raw += (at | flags | rest).to_bytes(8, "big")
                    raw += b"" if rest else bytes([len(name)]) + name.encode()
                    raw += b"\0" if zero else content
                    rest = CONTINUE_RECORD
        return raw

    def _places(self) -> Iterator[tuple[str, int]]:
        """Pages in some order, none twice: between two marks a page occurs once."""
        guest = self.guest
        places = [
            (name, at)
            for name, size in guest.blocks.items()
            for at in range(0, size, guest.page_size)
            if name == "pc.ram"
        ]
        self._chance.shuffle(places)
        return iter(places)

    def _packet(self, channel: int, places: Iterator[tuple[str, int]], flags: int) -> None:
        guest = self.guest
        block = "pc.ram"
        normal = [next(places)[1] for _ in range(guest.pages)]
        zero = [next(places)[1] for _ in range(guest.zeros)]
        pages = b"".join(page(self._chance, guest.page_size) for _ in normal)
        payload = b""
        if normal:
            payload = b"".join(self._encoders[channel].encode(memoryview(pages)))
        for at in zero:
            self.memory[block][at : at + guest.page_size] = bytes(guest.page_size)
        for index, at in enumerate(normal):
            part = pages[index * guest.page_size : (index + 1) * guest.page_size]
            self.memory[block][at : at + guest.page_size] = part
        self._number += 1
        raw = ram_header(
            page_size=guest.page_size,
            flags=flags | METHOD_FLAGS[guest.method],
            block=block,
            normal=normal,
            zero=zero,
            payload_size=len(payload),
            packet_num=self._number,
        )
        self.steps.append(Step(channel, bytes(raw), "packet"))
        if payload:
            self.steps.append(Step(channel, payload, "payload"))

    def _device_state(self) -> None:
        size = self.guest.device_state
        for channel in range(self.guest.channels if size else 0):
            raw = device_state_header(f"0000:00:0{channel}.0/vfio", channel, size)
            self.steps.append(Step(channel, raw, "device header"))
            self.steps.append(Step(channel, device_content(channel, size), "device payload"))

    def stream(self, where: int) -> bytes:
        """All bytes of one connection."""
        return b"".join(
            step.data for step in self.steps if isinstance(step, Step) and step.where == where
        )

    # --- edits

    def copy(self) -> Script:
        """The same steps, to be edited on their own."""
        twin = copy.copy(self)
        twin.steps = list(self.steps)
        return twin

    def find(self, what: str, where: int | None = None, nth: int = 0) -> int:
        """Index of the nth step of a kind (on one connection)."""
        found = [
            index
            for index, step in enumerate(self.steps)
            if isinstance(step, Step) and step.what == what and where in (None, step.where)
        ]
        return found[nth]

    def edit(self, index: int, change: Callable[[bytearray], object]) -> Script:
        """Change a step's bytes in place."""
        step = self.steps[index]
        assert isinstance(step, Step)
        raw = bytearray(step.data)
        changed = change(raw)
        data = bytes(changed) if isinstance(changed, bytes | bytearray) else bytes(raw)
        self.steps[index] = replace(step, data=data)
        return self

    def field(self, index: int, at: int, form: str, *values: int | bytes) -> Script:
        """Overwrite a field of a step, given by its offset and ``struct`` format."""
        return self.edit(index, lambda raw: struct.pack_into(f">{form}", raw, at, *values))

    def payload(self, index: int, payload: bytes) -> Script:
        """Give the packet whose header is at ``index`` another payload, and say its size."""
        self.field(index, SIZE, "I", len(payload))
        return self.edit(index + 1, lambda _: payload)

    def insert(self, index: int, *actions: Action) -> Script:
        self.steps[index:index] = actions
        return self

    def cut(self, index: int, size: int, how: Literal["close", "reset"] = "close") -> Script:
        """Close a step's connection after ``size`` of its bytes; nothing more on any of them."""
        step = self.steps[index]
        assert isinstance(step, Step)
        self.steps[index:] = [replace(step, data=step.data[:size]), Close(step.where, how)]
        return self

    def silence(self, where: int) -> Script:
        """Send nothing on a connection after its first step."""
        first = next(step for step in self.steps if isinstance(step, Step) and step.where == where)
        self.steps = [
            step
            for step in self.steps
            if not (isinstance(step, Step) and step.where == where) or step is first
        ]
        return self

    def stop(self, index: int, size: int = 0) -> Script:
        """Fall silent after ``size`` bytes of a step."""
        step = self.steps[index]
        assert isinstance(step, Step)
        self.steps[index:] = [replace(step, data=step.data[:size])]
        return self


def device_content(channel: int, size: int) -> bytes:
    return random.Random(channel).randbytes(size)


def device_state_header(idstr: str, instance_id: int, payload_size: int) -> bytes:
    """A DEVICE_STATE packet header."""
    return DEVICE_STATE_LAYOUT.pack(
        MAGIC, VERSION, DEVICE_STATE, idstr.encode(), instance_id, payload_size
    )
