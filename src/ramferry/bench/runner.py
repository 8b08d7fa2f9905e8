"""One scenario on this machine: its guest, its link, its runs, and the document of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from ramferry.bench.builtin import BuiltInRig
from ramferry.bench.certificates import certificates
from ramferry.bench.changing import Changing
from ramferry.bench.course import Reports, course
from ramferry.bench.forecasts import with_forecasts
from ramferry.bench.link import why_not
from ramferry.bench.linking import linked
from ramferry.bench.machine import difference, host_facts, machine_facts
from ramferry.bench.qemu import QemuBinary
from ramferry.bench.rig import Rig
from ramferry.bench.rigs import Rigs
from ramferry.bench.scenario import BUILT_IN_GUEST, DATA, GENERATOR, Case, Scenario, labels
from ramferry.bench.shapes import AUTO, BY_RELAYS, BY_TC
from ramferry.control.migrate.callbacks import Hooks
from ramferry.control.migrate.route import Wish
from ramferry.control.qemu.probe import COUNTS_WIRE_BYTES
from ramferry.errors import RamferryError, UsageError
from ramferry.metrics import MigrationResult
from ramferry.report.benchmark import comparison as records
from ramferry.report.benchmark.comparison import (
    BUILT_IN,
    RELAY_PACING,
    TC,
    CaseRuns,
    Comparison,
)
from ramferry.units import memory, rate

SHAPED_BY: Final = {AUTO: AUTO, BY_TC: TC, BY_RELAYS: RELAY_PACING}
"""The values of ``--shape``, each with what holds the rate of the link."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What is to be run, and on which guest and link."""

    scenario: Scenario
    scaling: str
    """A sentence that says what was scaled; empty if nothing was."""
    documented_memory: int | None
    """The guest's memory in the scenario's file; None if the guest has as much here."""
    binary: QemuBinary | None
    """None if the guest is the built-in one."""
    files: tuple[Path, ...]
    """What fills the guest; if there are none, generated data."""
    shape: str
    """``AUTO``, ``TC`` or ``RELAY_PACING``."""
    note: Callable[[str], None]
    """Called with sentences for the user."""
    stop: threading.Event
    """Ends the runs when it is set; what is finished is kept."""
    before: Comparison | None = field(default=None)
    """An interrupted comparison to go on with."""
    forecasts: bool = True
    """Whether the cases' times are foretold first."""

    def run(self, reports: Reports) -> Comparison:
        """Do all runs, or those that ``before`` lacks.

        :raise UsageError: ``before`` is of another scenario or machine.
        :raise HostError: this host cannot have the guest, or the link that was asked for.
        """
        scenario = self.scenario
        with ExitStack() as stack:
            made = linked(stack, scenario.rate, self.shape, self.note)
            link, hosts = made.link, made.hosts
            comparison = self._comparison(link)
            for left_out in (case for case in comparison.cases if case.skipped):
                self.note(f"not run: {left_out.label}: {left_out.skipped}")
            self.note(f"booting a guest of {memory(scenario.guest.memory)} and filling it")
            tls = None
            if any(case.tls for case in scenario.cases):
                tls = stack.enter_context(certificates(hosts.destination.address))
            rigs = Rigs(scenario, self.binary, self.files, hosts, self.stop, tls)
            stack.enter_context(rigs)
            if self.forecasts and rigs.qemu is not None:  # the forecast's costs are those of QEMUs
                guest = rigs.qemu.source.uri
                comparison = with_forecasts(comparison, scenario, guest, self.note, self.stop)

            def carry(case: Case, hooks: Hooks) -> MigrationResult:
                wish = replace(case.wish(str(tls or "")), hosts=hosts)
                with Changing(scenario.change, made.shaped) as changing:
                    watched = changing.watching(hooks)
                    result = self._carry(rigs.of(case), case, wish, watched, link)
                changing.check()
                return result

            cases, repeats = scenario.cases, scenario.repeats
            return course(comparison, cases, repeats, carry, reports, rigs.pid)

    def _carry(
        self,
        rig: Rig | BuiltInRig,
        case: Case,
        wish: Wish,
        hooks: Hooks,
        link: records.Link,
    ) -> MigrationResult:
        wish = replace(wish, downtime_limit_ms=self.scenario.downtime_limit_ms)
        if link.how == RELAY_PACING:
            # of the relay, or of a source without one: see not_run
            wish = replace(wish, max_bandwidth=int(link.rate))
        try:
            qemu_tls = case.tls and case.route == BUILT_IN
            return rig.carry(wish, hooks, self.scenario.timeout, qemu_tls=qemu_tls)
        except RamferryError:
            rig.revive()
            raise

    def _comparison(self, link: records.Link) -> Comparison:
        facts = machine_facts(self.binary, self.binary) if self.binary else host_facts()
        fresh = Comparison(
            scenario=self._described(link),
            machine=facts,
            cases=tuple(
                CaseRuns(
                    label,
                    case.method,
                    case.level,
                    case.channels,
                    case.route,
                    tls=case.tls,
                    skipped=not_run(case, link, self.binary),
                )
                for label, case in zip(
                    labels(self.scenario.cases), self.scenario.cases, strict=True
                )
            ),
            started=datetime.now().astimezone().isoformat(timespec="seconds"),
            finished=False,
        )
        return fresh if self.before is None else resumed(self.before, fresh)

    def _described(self, link: records.Link) -> records.Scenario:
        scenario = self.scenario
        return records.Scenario(
            name=scenario.name,
            title=scenario.title,
            description=scenario.description,
            guest=f"QEMU {self.binary.name}" if self.binary else BUILT_IN_GUEST,
            memory_bytes=scenario.guest.memory,
            fill=fill_in_words(self.files, scenario.guest.random_share),
            workload=scenario.guest.workload,
            link=link,
            documented_memory_bytes=self.documented_memory,
            scaling=self.scaling,
            change=scenario.change.words(scenario.rate) if scenario.change else "",
        )


def not_run(case: Case, link: records.Link, binary: QemuBinary | None) -> str:
    """Why a case cannot be compared if only the sending side keeps the rate; empty if it can.

    A relay and Ramferry's own sender pace what they send. A QEMU's max-bandwidth limits the wire
    only if it sends uncompressed pages or counts compressed bytes. At the switchover it is lifted,
    so that a guest of 64 MiB came at 1.6 times the rate.
    """
    if link.how != RELAY_PACING or case.route != BUILT_IN or case.method == "none":
        return ""
    if binary is None or binary.version >= COUNTS_WIRE_BYTES:
        return ""
    return (
        f"QEMU {binary.name} caps memory before compression, not the link's bytes, and tc is not"
        f" there to hold the link: {why_not() or 'leave out --shape relay'}"
    )


def resumed(before: Comparison, fresh: Comparison) -> Comparison:
    """``before``, to go on with, if it is of the same scenario and machine as ``fresh``.

    :raise UsageError: it is not; names what differs.
    """
    old, new = before.scenario, fresh.scenario
    if (old.link.rate, old.link.how) != (new.link.rate, new.link.how):
        here = f"{rate(new.link.rate)} by {new.link.how}"
        raise _another("scenario", f"link: {rate(old.link.rate)} by {old.link.how}, here {here}")
    for name in records.Scenario.__dataclass_fields__:
        if name != "link" and getattr(old, name) != getattr(new, name):
            raise _another("scenario", f"{name}: {getattr(old, name)}, here {getattr(new, name)}")
    if [replace(case, runs=(), forecast=None) for case in before.cases] != list(fresh.cases):
        said = ", ".join(case.label for case in before.cases)
        raise _another("scenario", f"its cases are {said}")
    if before.ramferry != fresh.ramferry:
        raise _another("Ramferry", f"{before.ramferry}, here {fresh.ramferry}")
    if other := difference(before.machine, fresh.machine):
        raise _another("machine", other)
    return replace(before, finished=False)


def _another(what: str, how: str) -> UsageError:
    return UsageError(f"--resume: the result is of another {what} ({how}): start anew")


def fill_in_words(files: Sequence[Path], random_share: float = 0.0) -> str:
    """What the guest's memory holds.

    :param random_share: that of its end which holds random bytes.
    """
    if random_share == 1:
        return "random bytes"
    if random_share:
        return f"{fill_in_words(files)}; in its last {random_share:.0%} random bytes"
    if not files:
        return "generated text, records and zero pages"
    size = memory(sum(path.stat().st_size for path in files))
    names = ", ".join(path.name for path in files[:3])
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    return f"files: {names}{more} ({size} together)"


def files_of(fill: tuple[str, ...], data: tuple[Path, ...]) -> tuple[Path, ...]:
    """What a scenario's ``fill`` names.

    :param data: the files of RAMFERRY_DATA.
    :raise UsageError: a path is not there, or is no file.
    """
    if fill == (DATA,):
        return data
    if fill == (GENERATOR,):
        return ()
    paths = tuple(Path(one) for one in fill)
    for path in paths:
        if not path.is_file():
            raise UsageError(f"guest.fill names {path}, but there is no such file")
    return paths
