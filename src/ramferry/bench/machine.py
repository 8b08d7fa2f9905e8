"""The facts of this machine that figures depend on."""

from __future__ import annotations

import os
import platform
import zlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil

from ramferry.bench.qemu import QemuBinary, accelerator
from ramferry.errors import HostError
from ramferry.native import zstd

_LIBRARIES: Final = ("isal", "deflate", "zlib-ng", "zstandard", "numpy")

PASSING: Final = frozenset({"load_before"})
"""Facts that change from moment to moment; all others belong to the machine."""

_GOVERNORS: Final = "devices/system/cpu/cpufreq/policy*/scaling_governor"


def machine_facts(source: QemuBinary, destination: QemuBinary) -> dict[str, object]:
    """The facts for the JSON document of a comparison."""
    return {
        **host_facts(),
        "accelerator": accelerator(),
        "qemu": {"source": _full(source), "destination": _full(destination)},
    }


def host_facts(sysfs: Path = Path("/sys")) -> dict[str, object]:
    """The facts that do not depend on the guest."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "governor": _governor(sysfs),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in _LIBRARIES}
        | {
            "libzstd": _libzstd(),
            "zlib": zlib.ZLIB_RUNTIME_VERSION,
        },
        "load_before": os.getloadavg()[0],
    }


def difference(before: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The first fact in which two machines differ: "kernel: 6.1, here 6.18"; empty if none does."""
    for name in dict.fromkeys([*before, *here]):
        if name not in PASSING and before.get(name) != here.get(name):
            return f"{name}: {before.get(name)}, here {here.get(name)}"
    return ""


def _libzstd() -> str:
    """The version that works here; other methods are measured without it as well."""
    try:
        return zstd.version()
    except HostError:
        return "not here"


def _full(binary: QemuBinary) -> str:
    return ".".join(map(str, binary.version))


def _governor(sysfs: Path) -> str:
    """The frequency governor of the CPUs; in most guests the kernel has none."""
    found = sorted({path.read_text().strip() for path in sysfs.glob(_GOVERNORS)})
    return ", ".join(found) or "none: no cpufreq here"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
