"""The guest whose migration is forecast: of a QEMU, of libvirt, or a file with its RAM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ramferry.control.libvirt.contract import RUNNING
from ramferry.control.libvirt.domain import check_leaves, look_up
from ramferry.control.libvirt.end import DomainEnd
from ramferry.control.libvirt.uri import is_libvirt, parse_domain
from ramferry.control.plan.dirty_rate import measure_dirty, measure_domain
from ramferry.control.plan.domain_memory import domain_memory
from ramferry.control.plan.guest_memory import file_memory, qemu_memory
from ramferry.control.qemu.end import QemuEnd, open_end
from ramferry.control.qemu.ready import lost_writes
from ramferry.control.qemu.status import IDLE
from ramferry.control.qemu.uri import QMP
from ramferry.errors import UsageError
from ramferry.forecast.sampling import Read

Measure = Callable[[int, Callable[[], None]], float]
"""Measures the dirty rate for so many seconds, in bytes a second; calls back now and then."""


@dataclass(frozen=True, slots=True)
class Guest:
    """What is read of a guest while it runs on."""

    total: int
    """Bytes of its memory."""
    read: Read
    dirty_rate: Measure
    waits_busy: bool | None = None
    """As in ``Conditions``; None if it is not known."""
    notes: tuple[str, ...] = ()
    """Sentences for the person who will move it."""


def guest_at(where: str, scratch: Path | None, *, measures: bool) -> AbstractContextManager[Guest]:
    """The guest at a QMP address, of a libvirt domain, or in a file.

    :param scratch: as ``qemu_memory`` takes it.
    :param measures: whether its dirty rate is to be measured.
    """
    if is_libvirt(where):
        return _of_libvirt(where)
    if where.startswith(QMP):
        return _of_qemu(where, scratch)
    if measures:
        raise UsageError("a file cannot tell a dirty rate: give --dirty-rate instead")
    return _of_file(where)


@contextmanager
def _of_file(path: str) -> Iterator[Guest]:
    with file_memory(Path(path)) as (total, read):
        yield Guest(total, read, lambda _seconds, _heed: 0.0)


@contextmanager
def _of_qemu(uri: str, scratch: Path | None) -> Iterator[Guest]:
    with open_end("source", uri) as end:
        _check(end)
        with qemu_memory(end, scratch) as (total, read):
            yield Guest(
                total,
                read,
                lambda seconds, heed: measure_dirty(end, seconds, heed),
                end.facts.version < (10, 0, 0),
                tuple(_of_guest(end)),
            )


@contextmanager
def _of_libvirt(where: str) -> Iterator[Guest]:
    uri = parse_domain(where)
    with DomainEnd(uri.connection, uri.name) as end:
        domain = end.ask(lambda near: look_up(near, uri.name))
        check_leaves(domain)
        notes = tuple(_stands(domain.state)) if domain.state != RUNNING else ()
        with domain_memory(domain) as (total, read):
            yield Guest(
                total,
                read,
                lambda seconds, heed: measure_domain(end, uri.name, seconds, heed),
                notes=notes,
            )


def _check(end: QemuEnd) -> None:
    """:raise UsageError: this QEMU has no guest that can be migrated."""
    if end.facts.run_state in ("inmigrate", "postmigrate"):
        what = "waits for a guest" if end.facts.run_state == "inmigrate" else "has sent its guest"
        raise UsageError(
            f"the QEMU at {end.party.uri} {what} (it is {end.facts.run_state}): ask the source"
        )
    if end.facts.migration not in IDLE:
        raise UsageError(f"the QEMU at {end.party.uri} is migrating already")


def _stands(state: str) -> Iterator[str]:
    yield f"the guest is {state}: while it runs it dirties memory"


def _of_guest(end: QemuEnd) -> Iterator[str]:
    if end.facts.run_state != "running":
        yield from _stands(end.facts.run_state)
    if note := lost_writes(end):
        yield note
