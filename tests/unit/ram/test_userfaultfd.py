"""How the kernel is asked for written pages, and how it refuses.

Privileges and system calls are given up in processes of their own: what refuses is the kernel.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from leftovers import no_descriptor_left
from ramferry.errors import HostError
from ramferry.ram import userfaultfd
from ramferry.ram.blocks import Ram
from ramferry.ram.dirty import track
from trackers import REASON

pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)

SAY = """
from ramferry.ram.dirty import track
with Ram.create([("a", 8192)]) as ram:
    tracker = track(ram)
    ram.blocks["a"].view[5000] = 1
    assert tracker.collect()["a"].tolist() == [4096]
    print(tracker.name, "|", tracker.why)
"""
START = """
import ctypes, os, struct, sys
from ramferry.ram import userfaultfd
from ramferry.ram.blocks import Ram
libc = ctypes.CDLL(None, use_errno=True)
"""
FILTER = """
number = userfaultfd.SYSCALLS[os.uname().machine]
rules = struct.pack("HBBI" * 4,
    0x20, 0, 0, 0,            # load the number of the system call
    0x15, 0, 1, number,       # if it is this one
    0x06, 0, 0, 0x00050001,   # it ends with EPERM
    0x06, 0, 0, 0x7FFF0000)   # all others are allowed
memory = ctypes.create_string_buffer(rules)
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(memory)))
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, program, 0, 0) == 0, os.strerror(ctypes.get_errno())  # PR_SET_SECCOMP
"""
NOBODY = """
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
assert libc.prctl(4, 1, 0, 0, 0) == 0  # PR_SET_DUMPABLE: as a process started by that user
"""


def said(*parts: str) -> tuple[str, str]:
    """What the tracker of a process of its own says, after it ran ``parts``."""
    code = "".join([START, *parts, SAY])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    name, why = done.stdout.strip().split(" | ")
    return name, why


def test_a_user_without_privileges_is_served_by_the_system_call() -> None:
    name, why = said(NOBODY if os.geteuid() == 0 else "")
    assert (name, why) == (
        "uffd-wp",
        "the kernel tells which pages were written, by userfaultfd(2)",
    )


@pytest.mark.skipif(
    not os.access(userfaultfd.DEVICE, os.R_OK | os.W_OK), reason="no access to /dev/userfaultfd"
)
def test_the_device_is_the_second_way() -> None:
    name, why = said(FILTER)
    assert (name, why) == (
        "uffd-wp",
        "the kernel tells which pages were written, by /dev/userfaultfd",
    )


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("/no/such/device", "/no/such/device too (No such file or directory)"),
        ("/dev/null", "/dev/null too: Inappropriate ioctl for device"),
    ],
)
def test_where_both_ways_are_refused_the_sentence_names_both(device: str, reason: str) -> None:
    name, why = said(FILTER, f"userfaultfd.DEVICE = {device!r}\n")
    assert name == "digest"
    assert why == (
        "digests of pages are compared because userfaultfd(2) is refused "
        f"(Operation not permitted), and {reason}"
    )


def test_a_kernel_without_a_feature_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's own answer to one who asks for what it has not."""
    monkeypatch.setattr(userfaultfd, "FEATURES", userfaultfd.FEATURES | 1 << 60)
    with Ram.create([("a", 8192)]) as ram:
        with pytest.raises(HostError, match=r"no asynchronous write protection \(Linux 6\.7\)"):
            track(ram, "uffd-wp")
        assert track(ram).name == "digest"


def test_a_kernel_without_page_scans_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(userfaultfd, "_PAGEMAP_SCAN", 0xC06066FF)
    with no_descriptor_left(), Ram.create([("a", 8192)]) as ram:
        with pytest.raises(HostError, match="lists no written pages: "):
            track(ram, "uffd-wp")
        monkeypatch.undo()
        track(ram, "uffd-wp").close()  # nothing was left registered


def test_an_unknown_machine_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    with Ram.create([("a", 8192)]) as ram:
        assert track(ram).why.endswith("because userfaultfd is not known on pdp11")


def test_a_range_that_is_watched_already_is_refused() -> None:
    with Ram.create([("a", 8192)]) as ram:
        tracker = track(ram, "uffd-wp")
        with pytest.raises(HostError, match="does not protect this mapping: Device or resource"):
            track(ram, "uffd-wp")
        tracker.close()
