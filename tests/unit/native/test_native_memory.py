"""libzstd takes most of its memory at a stream's first call: there may be none."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import resource, sys
from pathlib import Path
from ramferry.codec import create_decoder, create_encoder

pages = memoryview(bytes(range(256)) * 2048)
payload = memoryview(b"".join(create_encoder("zstd", 3).encode(pages)))
out = memoryview(bytearray(len(pages)))
encoder, decoder = create_encoder("zstd", 19), create_decoder("zstd")
calls = {"encode": lambda: encoder.encode(pages), "decode": lambda: decoder.decode(payload, out)}
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20),) * 2)
try:
    calls[sys.argv[1]]()
except MemoryError as error:
    print(error)
"""


@pytest.mark.parametrize("call", ["encode", "decode"])
@pytest.mark.parametrize("options", [(), ("-O",)], ids=["", "without assertions"])
def test_a_stream_without_memory_is_no_damage(call: str, options: tuple[str, ...]) -> None:
    command = [sys.executable, *options, "-c", _PROGRAM, call]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout, ended.stderr) == ("libzstd got none\n", "")
