"""The guests of one scenario: a QEMU's, Ramferry's own, or both side by side."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from ramferry.bench.builtin import BuiltInRig
from ramferry.bench.qemu import QemuBinary
from ramferry.bench.rig import Load, Rig
from ramferry.bench.scenario import Case, Guest, Scenario
from ramferry.control.hosts.host import Hosts
from ramferry.report.benchmark.comparison import NATIVE


class Rigs:
    """A context manager that starts and fills each guest that a case moves, and ends them."""

    def __init__(
        self,
        scenario: Scenario,
        binary: QemuBinary | None,
        files: tuple[Path, ...],
        hosts: Hosts,
        stop: threading.Event,
        tls_creds: Path | None = None,
    ) -> None:
        """
        :param binary: None if the guest of the scenario is the built-in one.
        :param files: what fills them; if there are none, generated data.
        :param stop: ends the filling when it is set.
        :param tls_creds: folder with the QEMUs' certificates; None if they have none.
        """
        guest = scenario.guest
        native = any(case.route == NATIVE for case in scenario.cases)
        self.qemu = None
        """The QEMU's guest, if there is one."""
        if binary is not None and any(case.route != NATIVE for case in scenario.cases):
            load = Load(guest.dirty_rate, guest.hot)
            self.qemu = Rig(
                binary,
                binary,
                guest.memory,
                files,
                random_share=guest.random_share,
                load=load,
                hosts=hosts,
                stop=stop,
                tls_creds=tls_creds,
            )
        self._built_in = None
        if binary is None or native:
            self._built_in = BuiltInRig(guest.memory, files, _workload(guest), hosts)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for rig in (self.qemu, self._built_in):
                if rig is not None:
                    stack.enter_context(rig)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def of(self, case: Case) -> Rig | BuiltInRig:
        """The guest that a case moves."""
        rig = self._built_in if case.route == NATIVE or self.qemu is None else self.qemu
        assert rig is not None  # made for the cases
        return rig

    def pid(self, case: Case) -> int:
        """The process id of the case's source."""
        return self.of(case).source.pid


def _workload(guest: Guest) -> list[str]:
    if not guest.dirty_rate:
        return []
    return ["--workload", "hot-set", "--rate", f"{guest.dirty_rate:.0f}"]
