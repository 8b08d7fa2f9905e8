"""Runs a command under what a systemd unit allows: seccomp, no new privileges, no capabilities, and
a file system that is read-only but for one folder. ``python confining.py PROFILE COMMAND...``

The kernel does what it does for systemd; the filters are made by libseccomp, as systemd makes them
(systemd.exec(5) says what each setting forbids).
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

UNIT: Final = Path(__file__).parent.parent / "packaging/systemd/ramferry-relay@.service"

ALLOW: Final = 0x7FFF0000
EQUAL, AT_LEAST, MASKED = 4, 5, 7
"""libseccomp's SCMP_CMP_EQ, _GE and _MASKED_EQ."""
NAMESPACES: Final = (0x20000, 0x80, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000)
"""CLONE_NEWNS, NEWTIME, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID; NEWNET is below."""
NEW_NETWORK: Final = 0x40000000
EXECUTABLE, WRITABLE = 4, 2
"""PROT_EXEC and PROT_WRITE."""
SHM_EXEC: Final = 0o100000
FAMILIES: Final = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
MOST_FAMILIES: Final = 46
SYS_MOUNT_SETATTR: Final = 442


def settings(unit: Path = UNIT) -> dict[str, list[str]]:
    """The values of each setting of a unit, in their order."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def profile(analyze: Path, writable: Path | None = None) -> dict[str, Any]:
    """What ``main`` has to know of the unit.

    :param analyze: systemd-analyze, which knows the names of sets of system calls.
    :param writable: the one folder that stays writable; None: everything stays as it is.
    """
    wanted = settings()
    allowed: set[str] = set(_members(analyze, "@default"))
    for line in wanted["SystemCallFilter"]:
        names = {
            name for word in line.removeprefix("~").split() for name in _members(analyze, word)
        }
        allowed = allowed - names if line.startswith("~") else allowed | names
    allowed |= set(_members(analyze, "@default"))
    return {
        "allowed": sorted(allowed),
        "families": [FAMILIES[name] for name in wanted["RestrictAddressFamilies"][0].split()],
        "writable": str(writable) if writable else "",
    }


def _members(analyze: Path, word: str) -> Iterator[str]:
    """The system calls of a set, those of the sets in it as well."""
    if not word.startswith("@"):
        yield word
        return
    told = subprocess.run([analyze, "syscall-filter", word], capture_output=True, check=True)
    for line in told.stdout.decode().splitlines()[1:]:
        if line.strip() and not line.strip().startswith("#"):
            yield from _members(analyze, line.strip())


class _Compare(ctypes.Structure):
    _fields_ = [
        ("argument", ctypes.c_uint),
        ("how", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    ]


class _Filter:
    """A seccomp filter: an action for whatever no rule is about."""

    def __init__(self, default: int) -> None:
        self._library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._filter = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(default)))

    def rule(self, action: int, name: str, *compare: tuple[int, int, int, int]) -> None:
        """An action for a system call whose arguments compare so; one that there is not is passed
        over."""
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return
        compares = (_Compare * len(compare))(*(_Compare(*one) for one in compare))
        code = self._library.seccomp_rule_add_array(
            self._filter, ctypes.c_uint32(action), number, len(compare), compares
        )
        assert code == 0, (name, os.strerror(-code))

    def load(self) -> None:
        """Put it into force, with no_new_privs."""
        code = self._library.seccomp_load(self._filter)
        assert code == 0, os.strerror(-code)


def refuse(number: int) -> int:
    """The action that lets a system call fail."""
    return 0x00050000 | number


def confine(wanted: dict[str, Any]) -> None:
    """Put this process under a profile."""
    if wanted["writable"]:
        _read_only(wanted["writable"])
    if os.geteuid() == 0:
        _drop_capabilities()
    rest = _Filter(ALLOW)
    denied = refuse(errno.EPERM)
    for family in range(MOST_FAMILIES):
        if family not in wanted["families"]:
            rest.rule(refuse(errno.EAFNOSUPPORT), "socket", (0, EQUAL, family, 0))
    rest.rule(refuse(errno.EAFNOSUPPORT), "socket", (0, AT_LEAST, MOST_FAMILIES, 0))
    both = EXECUTABLE | WRITABLE
    rest.rule(denied, "mmap", (2, MASKED, both, both))
    for name in ("mprotect", "pkey_mprotect"):
        rest.rule(denied, name, (2, MASKED, EXECUTABLE, EXECUTABLE))
    rest.rule(denied, "shmat", (2, MASKED, SHM_EXEC, SHM_EXEC))
    for flag in (*NAMESPACES, NEW_NETWORK):
        rest.rule(denied, "clone", (0, MASKED, flag, flag))
    rest.rule(refuse(errno.ENOSYS), "clone3")
    for name in ("unshare", "setns"):
        rest.rule(denied, name)
    rest.rule(denied, "personality", (0, AT_LEAST, 1, 0))
    allowing = _Filter(denied)
    for name in wanted["allowed"]:
        allowing.rule(ALLOW, name)
    for each in (rest, allowing):
        each.load()


def _drop_capabilities() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in range(last + 1):
        assert libc.prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP


def _read_only(writable: str) -> None:
    """As ProtectSystem=strict, and stricter: /dev and /tmp as well."""
    libc = ctypes.CDLL(None, use_errno=True)

    def checked(code: int) -> None:
        assert code == 0, os.strerror(ctypes.get_errno())

    def set_attributes(path: str, flags: int, add: int, remove: int) -> None:
        attributes = (ctypes.c_uint64 * 4)(add, remove, 0, 0)
        checked(
            libc.syscall(SYS_MOUNT_SETATTR, -100, path.encode(), flags, attributes, 32),
        )

    checked(libc.unshare(0x20000))
    checked(libc.mount(None, b"/", None, 0x4000 | 0x40000, None))  # MS_REC | MS_PRIVATE
    checked(libc.mount(writable.encode(), writable.encode(), None, 0x1000, None))  # MS_BIND
    set_attributes("/", 0x8000, 1, 0)  # AT_RECURSIVE, MOUNT_ATTR_RDONLY
    set_attributes(writable, 0, 0, 1)


def main() -> None:
    """Confine this process, and become the command."""
    confine(json.loads(Path(sys.argv[1]).read_text()))
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
