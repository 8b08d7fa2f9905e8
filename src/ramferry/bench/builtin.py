"""Built-in guests as processes of their own, and migrations between them, for demo and tests."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ramferry.bench.moving import MovingRig, same
from ramferry.bench.qemu import dies_with_us
from ramferry.control.namespaces import HERE, Namespaces, launcher
from ramferry.control.qmp import Qmp
from ramferry.errors import HostError, MigrationFailed, PeerUnreachable
from ramferry.guest.workload import Workload

START_SECONDS: Final = 60.0
"""Filling its memory included: 1 GiB takes 2 s here."""
_POLL: Final = 0.02


class BuiltIn:
    """One ``ramferry guest``; a context manager that starts and ends it.

    ``qmp`` is this process's connection to its monitor, ``ram`` its RAM, shared with it; keep no
    view of it longer than the guest.
    """

    def __init__(
        self, memory: int, options: Sequence[str] = (), launcher: Sequence[str] = ()
    ) -> None:
        """
        :param memory: bytes of RAM, whole MiB.
        :param options: more of the command's.
        :param launcher: what stands before the command, as ``control.namespaces.launcher`` has it.
        """
        self.memory = memory
        self._options = options
        self._launcher = launcher

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="ramferry-")
        self.folder = Path(self._folder.name)
        """For sockets; goes with the guest."""
        self.uri = f"qmp:{self.folder}/qmp"
        self._stderr = (self.folder / "stderr").open("wb")
        command = [
            *self._launcher,
            *dies_with_us(),
            sys.executable,
            "-m",
            "ramferry",
            "guest",
            "--qmp",
            self.uri,
        ]
        command += ["--memory", f"{self.memory >> 20}M", *self._options]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._stderr,
            stderr=self._stderr,
            process_group=0,  # a Ctrl-C is for us
        )
        try:
            self.qmp = self._connect()
            self.ram = self._map()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.ram = np.empty(0, np.uint8)
        self.qmp.close()
        self._end()

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process.poll() is None

    def stderr(self) -> str:
        """What it said."""
        return (self.folder / "stderr").read_text(errors="replace")

    def state(self) -> dict[str, Any]:
        """What ``x-query-guest`` tells: its counter, its workload, its tracker."""
        found: dict[str, Any] = self.qmp.execute("x-query-guest")
        return found

    def bad_pages(self) -> int:
        """Pages that are not as the writes of this stopped guest left them."""
        state = self.state()
        work = Workload(state["rate"], state["pattern"], state["changed"])
        return len(work.bad_pages(self.ram.reshape(-1, 4096), state["counter"]))

    def _connect(self) -> Qmp:
        deadline = time.monotonic() + START_SECONDS
        while self.alive and time.monotonic() < deadline:
            try:
                return Qmp.connect(self.uri, deadline - time.monotonic())
            except PeerUnreachable:
                time.sleep(_POLL)
        raise HostError(f"the built-in guest did not start: {self.stderr().strip()}")

    def _map(self) -> NDArray[np.uint8]:
        memory = os.open(f"/proc/{self.process.pid}/fd/{self.state()['ram-fd']}", os.O_RDWR)
        try:
            return np.frombuffer(mmap.mmap(memory, self.memory), np.uint8)
        finally:
            os.close(memory)

    def _end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._stderr.close()
        self._folder.cleanup()


class BuiltInRig(MovingRig[BuiltIn]):
    """One built-in guest, and migrations from it to fresh ones."""

    def __init__(
        self,
        memory: int,
        files: tuple[Path, ...] = (),
        options: Sequence[str] = (),
        namespaces: Namespaces = HERE,
    ):
        """
        :param memory: bytes of RAM.
        :param files: what fills it; the generator where there are none.
        :param options: more of ``ramferry guest``'s: its workload.
        :param namespaces: where the two guests run.
        """
        fill = ["--fill", os.pathsep.join(map(str, files)) if files else "generator"]
        self._memory = memory
        self._far = launcher(namespaces.destination)
        super().__init__(BuiltIn(memory, [*fill, *options], launcher(namespaces.source)))

    def fresh(self) -> BuiltIn:
        """See ``MovingRig``."""
        return BuiltIn(self._memory, ["--incoming", "defer"], self._far)

    def compare(self, destination: BuiltIn) -> None:
        """See ``MovingRig``: RAM, counter, and every page that the guest wrote."""
        left, come = self.source.state()["counter"], destination.state()["counter"]
        if come < left:
            raise MigrationFailed(f"the guest's counter went back from {left} to {come}")
        if come == left and not same(self.source.ram, destination.ram):
            raise MigrationFailed("the destination's RAM differs from the source's")
        if bad := destination.bad_pages():
            raise MigrationFailed(f"{bad} pages of the destination are not as the guest wrote them")
