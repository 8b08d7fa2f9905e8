"""Stand-ins for libqatzip and libqat, compiled from ``tests/standin`` when a test asks for them.

Each :class:`StandIn` is a copy of its own, so that its faults and counts are its own too.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ramferry.qatzip.library import Library

SOURCES = Path(__file__).resolve().parent / "standin"
_copies = itertools.count()


@functools.cache
def built(*defines: str) -> Path:
    """A folder with both libraries, compiled once per process and set of ``-D`` options.

    Without a compiler the test is skipped, or fails where peers are required.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        reason = "cc is not here: `make peers` installs it"
        if os.environ.get("RAMFERRY_REQUIRE_PEERS") == "1":
            pytest.fail(f"RAMFERRY_REQUIRE_PEERS=1 forbids to skip: {reason}")
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="ramferry-standin-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    flags = ["-O1", "-Wall", "-Werror", "-shared", "-fPIC", *(f"-D{name}" for name in defines)]
    for source, library in (("libqatzip.c", "libqatzip.so.3"), ("libqat.c", "libqat.so.4")):
        line = [compiler, *flags, "-o", folder / library, SOURCES / source, "-lpthread"]
        subprocess.run(line, check=True)
    return folder


class StandIn:
    """One copy of the stand-in for libqatzip: ``library`` is bound to it."""

    def __init__(self, folder: Path, *defines: str) -> None:
        path = folder / f"libqatzip-{next(_copies)}.so"
        shutil.copy(built(*defines) / "libqatzip.so.3", path)
        self._control = ctypes.CDLL(str(path))
        self._control.standin_set.argtypes = (ctypes.c_char_p, ctypes.c_long)
        self._control.standin_count.restype = ctypes.c_long
        self.library = Library(str(path))

    def set(self, **faults: int) -> None:
        """Order faults; their names are those of ``libqatzip.c``."""
        for name, value in faults.items():
            self._control.standin_set(name.encode(), value)

    def count(self, name: str) -> int:
        """Read what happened so far."""
        return int(self._control.standin_count(name.encode()))


def run_with_device(
    code: str, faults: str = "", *defines: str, device: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run Python ``code`` in a process that finds the stand-ins by their sonames.

    Any folder is as good as /dev/vfio to a stand-in.
    """
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(built(*defines)),
        "STANDIN": faults,
        "STANDIN_DEVICE": str(int(device)),
    }
    vfio = "from ramferry.qatzip import library; library.VFIO = '/'\n"
    line = [sys.executable, "-c", vfio + code]
    return subprocess.run(
        line, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
