"""One source QEMU with filled RAM, and migrations from it to fresh destinations."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ramferry.bench import boot_sector
from ramferry.bench.fill import LOW_MEMORY, fill
from ramferry.bench.moving import MovingRig, same
from ramferry.bench.qemu import TLS_ID, Qemu, QemuBinary, tls_options
from ramferry.control.hosts.host import BOTH_HERE, Hosts
from ramferry.errors import Cancelled, MigrationFailed, PeerTimeout
from ramferry.patience import Patience
from ramferry.transport.credentials import CLIENT, SERVER

BOOT_SECONDS: Final = 30.0
"""Time limit until the first timer tick of the guest: 1 s under KVM, longer without."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the guest writes while it moves."""

    rate: float = 0.0
    """Bytes of pages a second; 0 for an idle guest."""
    hot: int = 0
    """Bytes that it writes over and over, from ``LOW_MEMORY`` on; 0 for an idle guest."""

    def boot_sector(self, memory: int) -> bytes:
        """A boot sector for a guest of ``memory`` bytes that writes so."""
        end = LOW_MEMORY + self.hot if self.rate else min(memory, boot_sector.HIGHEST)
        return boot_sector.boot_sector(end, first=LOW_MEMORY, rate=self.rate / 1e6)


class Rig(MovingRig[Qemu]):
    """A source QEMU with filled RAM and its guest, and migrations to fresh QEMUs.

    Entering the context boots and fills the source.
    """

    def __init__(
        self,
        source: QemuBinary,
        destination: QemuBinary,
        memory: int,
        files: tuple[Path, ...] = (),
        *,
        random_share: float = 0.0,
        load: Load = Load(),
        hosts: Hosts = BOTH_HERE,
        stop: threading.Event | None = None,
        tls_creds: Path | None = None,
    ) -> None:
        """
        :param memory: the guest's RAM in bytes.
        :param files: what fills it; if there are none, generated data.
        :param random_share: that of its end which random bytes fill instead.
        :param hosts: where the two QEMUs run.
        :param stop: ends the filling when it is set.
        :param tls_creds: folder with certificates, as ``bench.certificates`` makes it, for
            QEMU's own TLS.
        """
        self._stop, self._destination = stop, destination
        self._machine, self._memory = source.machine, memory
        self._files, self._random_share = files, random_share
        self._load = load
        self._far = hosts.destination
        self._tls_creds = tls_creds
        self._boot = load.boot_sector(memory)
        super().__init__(
            Qemu(
                source,
                memory,
                boot=self._boot,
                machine=self._machine,
                options=tls_options(tls_creds, CLIENT),
                host=hosts.source,
            )
        )

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            share = self._random_share
            fill(self.source.ram, files=self._files, random_share=share, heed=self._heed)
            self.source.qmp.execute("cont")
            self._wait(lambda: boot_sector.state(self.source.ram).beats > 0)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _heed(self) -> None:
        if self._stop is not None and self._stop.is_set():
            raise Cancelled("interrupted before the first run")

    def fresh(self, *, paused: bool = False) -> Qemu:
        """See ``MovingRig``.

        :param paused: whether the guest stays stopped until ``cont``.
        """
        return Qemu(
            self._destination,
            self._memory,
            boot=self._boot,
            machine=self._machine,
            incoming=True,
            paused=paused,
            options=tls_options(self._tls_creds, SERVER),
            host=self._far,
        )

    def arrange(self, destination: Qemu, *, qemu_tls: bool) -> None:
        """See ``MovingRig``: migrations are encrypted for as long as QEMU's parameter says so."""
        for one in (self.source, destination):
            wanted = TLS_ID if qemu_tls else ""
            if self._tls_creds is not None:
                one.qmp.execute("migrate-set-parameters", {"tls-creds": wanted})

    def compare(self, destination: Qemu) -> None:
        """See ``MovingRig``."""
        first = LOW_MEMORY + self._load.hot
        if not same(self.source.ram[first:], destination.ram[first:]):
            raise MigrationFailed("the destination's RAM differs from the source's")
        if self._load.hot:
            verdict = boot_sector.verify(destination.ram)
            if not verdict.ok:
                raise MigrationFailed(
                    f"the destination's RAM is not what its guest wrote: {verdict}"
                )

    def _wait(self, met: Callable[[], bool]) -> None:
        patience = Patience(BOOT_SECONDS)
        while not met():
            if patience.over:
                raise PeerTimeout(f"the guest did not start within {BOOT_SECONDS:.0f} s")
            time.sleep(0.01)
