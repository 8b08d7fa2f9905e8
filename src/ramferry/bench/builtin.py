"""Built-in guests as processes of their own, and migrations between them, for demo and tests."""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ramferry.bench.monitored import Monitored
from ramferry.bench.moving import MovingRig, same
from ramferry.control.hosts.host import BOTH_HERE, HERE, Host, Hosts
from ramferry.errors import MigrationFailed
from ramferry.guest.workload import Workload
from ramferry.transport.address import is_local_host
from ramferry.vocabulary import PAGE_SIZE

START_SECONDS: Final = 60.0
"""Time limit of a start, which includes filling the memory: 2 s for 1 GiB on 2 EPYC cores."""


class BuiltIn(Monitored):
    """One ``ramferry guest``; a context manager that starts and ends it.

    ``ram`` is the guest's RAM, mapped here as well. Do not keep a view of it after the guest's end.
    """

    def __init__(self, memory: int, options: Sequence[str] = (), host: Host = HERE) -> None:
        """
        :param memory: bytes of RAM, whole MiB.
        :param options: further options of ``ramferry guest``.
        :param host: where it runs.
        """
        super().__init__("the built-in guest", "ramferry", START_SECONDS, host)
        self.memory = memory
        self._options = options

    def __enter__(self) -> Self:
        self._make_folder()
        command = [sys.executable, "-m", "ramferry", "guest", "--qmp", self.uri]
        try:
            self._start([*command, "--memory", f"{self.memory >> 20}M", *self._options], "qmp")
            self.ram = self._map()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.ram = np.empty(0, np.uint8)
        self._end()

    def state(self) -> dict[str, Any]:
        """The answer of ``x-query-guest``: counter, workload, tracker."""
        found: dict[str, Any] = self.qmp.execute("x-query-guest")
        return found

    def bad_pages(self) -> int:
        """Numbers of the pages that are not as the writes of this stopped guest left them."""
        state = self.state()
        work = Workload(state["rate"], state["pattern"], state["changed"])
        return len(work.bad_pages(self.ram.reshape(-1, PAGE_SIZE), state["counter"]))

    def _map(self) -> NDArray[np.uint8]:
        memory = os.open(f"/proc/{self.process.pid}/fd/{self.state()['ram-fd']}", os.O_RDWR)
        try:
            return np.frombuffer(mmap.mmap(memory, self.memory), np.uint8)
        finally:
            os.close(memory)


class BuiltInRig(MovingRig[BuiltIn]):
    """One built-in guest, and migrations from it to fresh ones."""

    def __init__(
        self,
        memory: int,
        files: tuple[Path, ...] = (),
        options: Sequence[str] = (),
        hosts: Hosts = BOTH_HERE,
    ):
        """
        :param memory: bytes of RAM.
        :param files: what fills it; if there are none, generated data.
        :param options: further options of ``ramferry guest``, such as its workload.
        :param hosts: where the two guests run.
        """
        fill = ["--fill", os.pathsep.join(map(str, files)) if files else "generator"]
        self._memory = memory
        self._far = hosts.destination
        super().__init__(BuiltIn(memory, [*fill, *options], hosts.source))

    def fresh(self) -> BuiltIn:
        """See ``MovingRig``."""
        options = ["--incoming", "defer"]
        if not is_local_host(self._far.address):
            options += ["--insecure"]  # a namespace of the bench's, which nobody else is in
        return BuiltIn(self._memory, options, self._far)

    def compare(self, destination: BuiltIn) -> None:
        """See ``MovingRig``: RAM, counter, and every page that the guest wrote."""
        left, come = self.source.state()["counter"], destination.state()["counter"]
        if come < left:
            raise MigrationFailed(f"the guest's counter went back from {left} to {come}")
        if come == left and not same(self.source.ram, destination.ram):
            raise MigrationFailed("the destination's RAM differs from the source's")
        if bad := destination.bad_pages():
            raise MigrationFailed(f"{bad} pages of the destination are not as the guest wrote them")
