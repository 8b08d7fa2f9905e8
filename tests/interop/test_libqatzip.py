"""The binding against the real libqatzip: Debian 13's, in a process with Debian 13's libraries.

There is no device, so what is seen is the layout, the defaults and the refusals; two calls of its
software path show that the prototypes are right.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.interop

ASK = """
import ctypes, json, zlib
from ramferry.qatzip import Session
from ramferry.qatzip.device import DeviceError, DeviceSession
from ramferry.qatzip.library import Library, QzSession, QzSessionParamsDeflate, device_present
said = {"device": device_present(), "auto": Session().why}
library = Library()
said["version"] = library.version
params = QzSessionParamsDeflate()
assert library.defaults(params) == 0
said["defaults"] = {name: getattr(params, name) for name, _ in params._fields_}
try:
    DeviceSession(library, 1).compress(memoryview(bytes(4096)))
except DeviceError as error:
    said["refusal"] = str(error)
session = QzSession()
params.data_fmt, params.comp_lvl = 3, 9
said["software"] = [library.init(session, 1), library.set_up(session, params)]
said["stat"] = session.hw_session_stat
data = b"a page of a guest " * 1000
made = ctypes.create_string_buffer(library.bound(len(data), session))
sizes = ctypes.c_uint32(len(data)), ctypes.c_uint32(len(made))
said["compress"] = library.compress(session, data, sizes[0], made, sizes[1], 1)
payload = made.raw[: sizes[1].value]
said["raw"] = [sizes[0].value, zlib.decompress(payload, -15) == data]
back = ctypes.create_string_buffer(len(data))
sizes = ctypes.c_uint32(len(payload)), ctypes.c_uint32(len(data))
said["decompress"] = library.decompress(session, payload, sizes[0], back, sizes[1])
said["back"] = [sizes[1].value, back.raw == data]
library.tear_down(session)
view = library.buffer(1 << 20)
view[-1] = 7
said["buffer"] = [len(view), view[-1]]
print(json.dumps(said))
"""

INFLATE = """
import ctypes, json, random
from ramferry.codec import create_encoder
from ramferry.qatzip.library import Library, QzSession, QzSessionParamsDeflate
library, session, params = Library(), QzSession(), QzSessionParamsDeflate()
library.init(session, 1), library.defaults(params), library.set_up(session, params)
chance = random.Random(5)
text = b"".join(b"page %d: %x " % (n, chance.getrandbits(40)) for n in range(40_000))
PACKET, said = 512 * 1024, []
for members in ("packet", "64K"):
    for level in (1, 6):
        encoder = create_encoder("qatzip", level, member_size=members)
        for pages in (text[:4096], text[:PACKET], chance.randbytes(PACKET)):
            payload = b"".join(encoder.encode(memoryview(pages)))
            out = ctypes.create_string_buffer(PACKET)
            sizes = ctypes.c_uint32(len(payload)), ctypes.c_uint32(PACKET)
            code = library.decompress(session, payload, sizes[0], out, sizes[1])
            taken, given = sizes[0].value, sizes[1].value
            same = taken == len(payload) <= 2 * PACKET and out.raw[:given] == pages
            said.append([members, level, len(pages), code, same])
library.tear_down(session)
print(json.dumps(said))
"""
"""As a channel of a QEMU destination has it (10.0, 11.1): one session for packet after packet, room
for a full packet of pages, and at most twice that as input."""


DEFAULTS = {
    "direction": 2,
    "comp_lvl": 1,
    "comp_algorithm": 8,
    "max_forks": 3,
    "sw_backup": 1,
    "hw_buff_sz": 65536,
    "strm_buff_sz": 65536,
    "input_sz_thrshold": 1024,
    "req_cnt_thrshold": 32,
    "wait_cnt_thrshold": 8,
    "polling_mode": 0,
    "is_sensitive_mode": 0,
    "huffman_hdr": 0,
    "data_fmt": 2,
}
"""As QATzip documents them, in the order of the structure."""


def python_beside(qzip: Path) -> list[str]:
    """This Python as a command: with the peers' libraries where ``qzip`` is one of them."""
    libraries = qzip.resolve().parent.parent / "trixie" / "lib"
    if not libraries.is_dir():
        return [sys.executable]
    loader = [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries)]
    return [*loader, "--argv0", sys.executable, os.path.realpath(sys.executable)]


def run(qzip: Path, code: str) -> subprocess.CompletedProcess[str]:
    line = [*python_beside(qzip), "-c", code]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def said(require_peer: Callable[[str], Path]) -> dict[str, object]:
    """What the library said, in a process of its own."""
    done = run(require_peer("qzip"), ASK)
    assert done.returncode == 0, done.stderr
    # libqat's word for a device that is not there, when a session is begun after all
    assert set(done.stderr.splitlines()) <= {"Cannot open /dev/vfio"}
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_defaults_are_read_through_the_layout(said: dict[str, object]) -> None:
    assert said["version"] == "1.3"
    assert said["defaults"] == DEFAULTS


def test_without_a_device_it_refuses_and_is_not_used(said: dict[str, object]) -> None:
    assert said["device"] is False
    why = "there is no QAT device that this process can see"
    assert said["auto"] == f"QATzip works in software (isa-l): {why}"
    assert str(said["refusal"]).startswith("qzInit returned -101 (no device")


def test_asking_for_a_device_is_silent(require_peer: Callable[[str], Path]) -> None:
    code = (
        "from ramferry.qatzip import compress; print(compress(b'').backend)\n"
        "maps = open('/proc/self/maps').read()\n"
        "assert 'libqatzip' not in maps"
    )
    done = run(require_peer("qzip"), code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "zlib\n", "")


def test_calls_and_structures_fit(said: dict[str, object]) -> None:
    assert said["stat"] == 11  # NO_HW at the start of the session: its software path
    assert said["compress"] == said["decompress"] == 0
    assert said["raw"] == [18000, True]
    assert said["back"] == [18000, True]
    assert said["buffer"] == [1 << 20, 7]


def test_it_inflates_packets_of_one_member_as_a_qemu_destination_calls_it(
    require_peer: Callable[[str], Path],
) -> None:
    done = run(require_peer("qzip"), INFLATE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        [members, level, size, 0, True]
        for members in ("packet", "64K")
        for level in (1, 6)
        for size in (4096, 524288, 524288)
    ]
