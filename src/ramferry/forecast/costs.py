"""CPU time that a migration takes besides its codecs: in the QEMUs and the relays. Pure.

Measured on two cores of an AMD EPYC 9004 guest, Linux 6.18, the reference host. Nearly all of it is
spent on moving packets through sockets. So the costs of another host are these, scaled by how long
its sockets take compared with the reference host's (``forecast.calibration``).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

from ramferry.vocabulary import GIB

PAGEWISE: Final = frozenset({"qpl", "uadk"})
"""Methods whose codec is called once for each page (``codec.paged``)."""


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU seconds for each byte of pages, unless a name says otherwise.

    1 GiB, 8 channels, QEMU 10.0.13, methods none, zlib, zstd, qatzip: the first four were 0.19 to
    0.29, 0.20 to 0.35, 0.19 to 0.27 and 0.39 to 0.45 s/GiB. With QEMU 7.2.22 they were the same,
    but for what it burns while it waits.
    """

    qemu_send: float = 0.24 / GIB
    relay_send: float = 0.32 / GIB
    relay_receive: float = 0.25 / GIB
    qemu_receive: float = 0.44 / GIB
    interpreter: float = 0.09 / GIB
    """Seconds for each byte that a relay spends outside codecs and kernel: 0.04 to 0.13."""
    pagewise: float = 0.92 / GIB
    """What a method of ``PAGEWISE`` adds to ``interpreter``: 3.5 µs for each page."""
    zero_send: float = 0.14 / GIB
    zero_receive: float = 0.06 / GIB
    zero_seconds: float = 0.10 / GIB
    """CPU of both sides and the time for each byte of zero pages: an empty guest of 1 GiB took
    107 to 200 ms, 128 as a rule, after its memory had been touched."""

    factor: float = 1.0
    """Scale factor that was applied to every cost; 1 on the reference host."""

    def times(self, factor: float) -> Costs:
        """The costs of a host that takes ``factor`` times as long."""
        return Costs(*(getattr(self, one.name) * factor for one in fields(self)))

    def without_relays(self) -> Costs:
        """The costs where the QEMUs compress and inflate by themselves."""
        return replace(self, relay_send=0.0, relay_receive=0.0, interpreter=0.0, pagewise=0.0)

    @property
    def of_channel(self) -> tuple[float, float]:
        """What a channel's one thread spends besides the codec, at the source and at the
        destination: a relay's, or a QEMU's where no relay stands."""
        return self.relay_send or self.qemu_send, self.relay_receive or self.qemu_receive

    def of_interpreter(self, method: str) -> float:
        """Seconds for each byte of one method that no two threads of a relay spend at once; 0
        without relays."""
        return self.interpreter + (self.pagewise if method in PAGEWISE else 0.0)


REFERENCE: Final = Costs()
