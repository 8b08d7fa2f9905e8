"""A libvirt daemon with two domains, asked by a stand-in for its library and by one for ``virsh``.

``tests/standin/libvirt.c`` says which files in its folder make it do what.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ramferry.control.libvirt import library, prototypes
from ramferry.control.libvirt.contract import Connection
from ramferry.control.libvirt.library import Library
from ramferry.control.libvirt.virsh import Virsh
from standins import SOURCES

MEANS = ("library", "virsh")

_VIRSH = """\
#!{python} -SE
import os, sys, time
from pathlib import Path

folder = Path({folder!r})
quiet, connect, uri, verb, *line = sys.argv[1:]
assert (quiet, connect, os.environ["LC_ALL"]) == ("--quiet", "--connect", "C")


def fail(*words):
    sys.exit("".join("error: " + one + chr(10) for one in words).rstrip())


def log(*words):
    with (folder / "calls").open("a") as file:
        print(*words, file=file)


def has(name):
    return (folder / name).exists()


if has("closed") or has("lost"):
    fail("failed to connect to the hypervisor", "Failed to connect socket to '/x': No such file")
name = line[line.index("--domain") + 1] if "--domain" in line else ""
if name not in ("", "guest", "other"):
    fail(f"failed to get domain '{{name}}'")
if verb == "uri":
    print(uri)
elif verb == "list":
    print("guest\\nother\\n")
elif verb == "domstate":
    print({{"guest": "running", "other": "shut off"}}[name] + "\\n")
elif verb == "dumpxml":
    print(f"<domain><name>{{name}}</name></domain>")
elif verb == "domjobinfo" and "--completed" in line:
    print("Job type:         Completed\\n\\n  operation: 5\\n  memory_total: 1099511627776")
    print("  downtime: 77\\n  errmsg: none\\n")
elif verb == "domjobinfo" and has("hold"):
    print("Job type:         Unbounded\\n\\n  operation: 5\\n  memory_total: 1099511627776")
    print("  memory_remaining: 77\\n  errmsg: none\\n")
elif verb == "domjobinfo":
    print("Job type:         None\\n\\n")
elif verb == "domjobabort" and has("hold"):
    (folder / "abort").touch()
elif verb == "domjobabort":
    fail("Requested operation is not valid: no job is active")
elif verb == "migrate-setmaxdowntime":
    log("downtime", name, line[line.index("--downtime") + 1])
elif verb == "suspend":
    log("suspend", name)
elif verb == "domdirtyrate-calc":
    log("dirty", name, line[line.index("--seconds") + 1])
elif verb == "domstats":
    assert line == ["--dirtyrate", "guest"]
    print("Domain: 'guest'\\n  dirtyrate.calc_status=2")
    print("  dirtyrate.megabytes_per_second=12\\n" * has("measured"))
elif verb == "qemu-monitor-command":
    log("monitor", name, line[line.index("--cmd") + 1])
    print('{{"return": {{"status": "running"}}, "id": "libvirt-1"}}')
elif verb == "migrate":
    flags = dict(
        live=1, p2p=2, persistent=8, undefinesource=16, unsafe=512, parallel=131072,
        **{{"auto-converge": 8192, "copy-storage-all": 64, "copy-storage-inc": 128}},
    )
    given = sum(number for option, number in flags.items() if "--" + option in line)
    names = {{
        "migrateuri": "migrate_uri",
        "parallel-connections": "parallel.connections",
        "disks-uri": "disks_uri",
    }}
    words = [
        f"{{ours}}={{line[line.index('--' + theirs) + 1]}}"
        for theirs, ours in names.items()
        if "--" + theirs in line
    ]
    log("migrate", line[line.index("--desturi") + 1], given, *words)
    if has("refuse"):
        fail("Requested operation is not valid: it has host devices")
    while has("hold"):
        if has("abort"):
            fail("operation aborted: job 'migration out' canceled by client")
        time.sleep(0.01)
else:
    fail(f"unknown command {{verb}}")
"""


@functools.cache
def built() -> Path:
    """The stand-in for the library, compiled once per process; see ``standins.built``."""
    compiler = shutil.which("cc")
    if compiler is None:
        reason = "cc is not here: `make peers` installs it"
        if os.environ.get("RAMFERRY_REQUIRE_PEERS") == "1":
            pytest.fail(f"RAMFERRY_REQUIRE_PEERS=1 forbids to skip: {reason}")
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="ramferry-standin-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "libvirt-standin.so.0"
    flags = ["-O1", "-Wall", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "-o", path, SOURCES / "libvirt.c"], check=True)
    return path


class FakeLibvirt:
    """One daemon, asked by one of ``MEANS``."""

    def __init__(self, means: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._means = means
        self._script = folder / "virsh"
        patch.setenv("FAKE_LIBVIRT", str(folder))
        if means == "library":
            path = str(built())
            patch.setattr(library, "loaded", lambda: prototypes.load(path))
            patch.setattr(prototypes.load_monitor, "__defaults__", (path,))
        else:
            text = _VIRSH.format(python=sys.executable, folder=str(folder))
            self._script.write_text(text)
            self._script.chmod(0o755)

    def connect(self, uri: str = "qemu:///system") -> Connection:
        """Connect to it."""
        return Library(uri) if self._means == "library" else Virsh(uri, str(self._script))

    def set(self, *names: str) -> None:
        """Have it do what these files say."""
        for name in names:
            (self.folder / name).touch()

    def calls(self) -> list[str]:
        """What it was asked."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []
