"""A process ends while a daemon thread is inside a C library: what that works with stays there."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import sys, threading
from ramferry.native import isal, libdeflate, zstd
from ramferry.native.memory import bound

data = memoryview(bytes(range(256)) * (1 << 17))
out = memoryview(bytearray(bound(len(data))))
calls = {
    "zstd": lambda: zstd.Compressor(19, len(data)).encode(data),
    "libdeflate": lambda: libdeflate.Deflate(12).member(data, out),
    "isa-l": lambda: isal.Deflate(3).member(data, out),
}
inside = threading.Event()

def work():
    inside.set()
    while True:
        calls[sys.argv[1]]()

for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
inside.wait()
sys.exit(7)
"""


@pytest.mark.parametrize("library", ["zstd", "libdeflate", "isa-l"])
def test_a_process_ends_while_a_thread_is_inside_a_library(library: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, library], capture_output=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (7, b"")
