"""Reads the memory of a libvirt domain's guest where its QEMU has it, by ``/proc/PID/mem``.

Neither QEMU nor libvirt is asked for it: the monitor is libvirt's, and a command of another's there
marks the domain as tainted. QEMU maps each RAM block of a guest as one mapping of that very size.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Final

from ramferry.control.hosts.domain_process import find
from ramferry.control.libvirt.domain import Domain
from ramferry.errors import HostError, MethodUnavailable, UsageError
from ramferry.forecast.sampling import Read

_MAPPING: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw")


@contextmanager
def domain_memory(domain: Domain) -> Iterator[tuple[int, Read]]:
    """A domain's guest: bytes of memory, and a function that reads them.

    :raise UsageError: its QEMU is not found on this host.
    :raise HostError: this user may not read its memory.
    :raise MethodUnavailable: it is not plain where its memory is.
    """
    found = find(domain.name, domain.uuid)
    if found is None:
        raise UsageError(
            f"the QEMU of {domain.name} is not seen on this host: run this command beside it, as"
            " root"
        )
    process = Path(f"/proc/{found[0]}")
    try:
        starts = mappings((process / "maps").read_text(), sizes_of(domain))
        descriptor = os.open(process / "mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(
            f"cannot read the memory of process {found[0]}, the QEMU of {domain.name}"
            f" ({error.strerror}): run this command as root"
        ) from error
    if starts is None:
        raise MethodUnavailable(
            f"it is not plain where the QEMU of {domain.name} has its guest's memory, as with"
            " memory devices: give its QEMU a second monitor (-qmp in <qemu:commandline>), and name"
            " that"
        )
    try:
        yield sum(sizes_of(domain)), _reader(descriptor, starts, sizes_of(domain), domain.name)
    finally:
        os.close(descriptor)


def sizes_of(domain: Domain) -> tuple[int, ...]:
    """Bytes of each RAM block that ``<memory>`` makes: one for each NUMA cell."""
    return domain.cells or (domain.memory,)


def mappings(text: str, sizes: Sequence[int]) -> tuple[int, ...] | None:
    """Where RAM blocks of these sizes are mapped, by a process's ``maps``; None if that is not
    plain.

    :param text: as in proc_pid_maps(5).
    """
    ranges = [(int(one[1], 16), int(one[2], 16)) for one in _MAPPING.finditer(text)]
    starts: list[int] = []
    for size in sizes:
        fits = [first for first, last in ranges if last - first == size and first not in starts]
        if not fits or len(fits) > sizes.count(size):
            return None
        starts.append(fits[0])
    return tuple(starts)


def _reader(descriptor: int, starts: Sequence[int], sizes: Sequence[int], name: str) -> Read:
    begins = [0, *accumulate(sizes)]

    def read(at: int, size: int) -> bytes:
        parts = []
        while size:
            number = bisect_right(begins, at) - 1
            inside = at - begins[number]
            length = min(size, sizes[number] - inside)
            try:
                part = os.pread(descriptor, length, starts[number] + inside)
            except OSError as error:
                raise HostError(
                    f"cannot read the memory of {name}: {error.strerror}; has its QEMU ended?"
                ) from error
            if not part:
                raise HostError(f"cannot read the memory of {name}: its QEMU has ended")
            parts.append(part)
            at, size = at + len(part), size - len(part)
        return b"".join(parts)

    return read
