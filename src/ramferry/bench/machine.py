"""The facts of this machine that figures depend on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

from ramferry.bench.qemu import QemuBinary, accelerator

_LIBRARIES: Final = ("isal", "deflate", "zlib-ng", "zstandard", "numpy")


def machine_facts(source: QemuBinary, destination: QemuBinary) -> dict[str, object]:
    """For the JSON document of a comparison."""
    return {
        **host_facts(),
        "accelerator": accelerator(),
        "qemu": {"source": source.name, "destination": destination.name},
    }


def host_facts() -> dict[str, object]:
    """What holds whatever guest runs."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "load_before": os.getloadavg()[0],
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
