"""A domain's memory is read where its QEMU has mapped it."""

from __future__ import annotations

import mmap
import os

import pytest

from ramferry.control.libvirt.domain import Domain
from ramferry.control.plan import domain_memory
from ramferry.control.plan.domain_memory import mappings
from ramferry.errors import HostError, MethodUnavailable, UsageError

MAPS = """\
55d000000000-55d000200000 r-xp 00000000 08:01 1 /usr/bin/qemu-system-x86_64
7f0000000000-7f0004000000 rw-s 00000000 00:01 9 /memfd:memory-backend-memfd (deleted)
7f0004000000-7f0004001000 ---p 00000000 00:00 0
7f0010000000-7f0012000000 rw-p 00000000 00:00 0
7f0020000000-7f0022000000 rw-p 00000000 00:00 0
"""


@pytest.mark.parametrize(
    ("sizes", "starts"),
    [
        ((64 << 20,), (0x7F0000000000,)),
        ((32 << 20, 32 << 20), (0x7F0010000000, 0x7F0020000000)),
        ((32 << 20,), None),
        ((16 << 20,), None),
        ((64 << 20, 64 << 20), None),
        ((2 << 20,), None),
    ],
)
def test_where_memory_is_mapped(sizes: tuple[int, ...], starts: tuple[int, ...] | None) -> None:
    assert mappings(MAPS, sizes) == starts


def domain(memory: int) -> Domain:
    return Domain("guest", "", "running", memory, ())


def test_memory_is_read_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    size = (37 << 20) + 8192
    with mmap.mmap(-1, size) as ram:
        ram[:4] = b"head"
        ram[-4:] = b"tail"
        monkeypatch.setattr(domain_memory, "find", lambda *_: (os.getpid(), ()))
        with domain_memory.domain_memory(domain(size)) as (total, read):
            assert total == size
            assert read(0, 8) == b"head\0\0\0\0"
            assert read(size - 6, 6) == b"\0\0tail"
        with (
            pytest.raises(MethodUnavailable, match="not plain where the QEMU of guest has"),
            domain_memory.domain_memory(domain(size + 4096 * 12345)),
        ):
            pass


def test_a_process_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain_memory, "find", lambda *_: None)
    with (
        pytest.raises(UsageError, match="QEMU of guest is not seen on this host"),
        domain_memory.domain_memory(domain(4096)),
    ):
        pass
    monkeypatch.setattr(domain_memory, "find", lambda *_: (1 << 30, ()))
    with (
        pytest.raises(HostError, match="run this command as root"),
        domain_memory.domain_memory(domain(4096)),
    ):
        pass
