"""CPU time that a migration takes besides its codecs: in the QEMUs and the relays. Pure.

Measured on two cores of an AMD EPYC 9004 guest, Linux 6.18, the reference host. Nearly all of it is
spent on moving packets through sockets. So the costs of another host are these, scaled by how long
its sockets take compared with the reference host's (``forecast.calibration``).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from ramferry.vocabulary import GIB

PAGEWISE: Final = frozenset({"qpl", "uadk"})
"""Methods whose codec is called once for each page (``codec.paged``)."""


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU seconds for each byte of pages, unless a name says otherwise.

    512 MiB, 8 channels, QEMU 7.2.22 and 10.0.13, methods none, zlib, zstd, qatzip, qpl: the first
    four were 0.35 to 0.48, 0.53 to 0.64, 0.44 to 0.53, 0.40 to 0.56 s/GiB.
    """

    qemu_send: float = 0.40 / GIB
    relay_send: float = 0.58 / GIB
    relay_receive: float = 0.48 / GIB
    qemu_receive: float = 0.50 / GIB
    interpreter: float = 0.20 / GIB
    """Seconds for each byte that a relay spends outside codecs and kernel: 0.1 to 0.25."""
    pagewise: float = 0.92 / GIB
    """What a method of ``PAGEWISE`` adds to ``interpreter``: 3.5 µs for each page."""
    zero_send: float = 0.09 / GIB
    zero_receive: float = 0.15 / GIB
    zero_seconds: float = 0.14 / GIB
    """CPU of both sides and the time for each byte of zero pages: an empty guest of 1 GiB took
    153 ms, after its memory had been touched."""

    factor: float = 1.0
    """Scale factor that was applied to every cost; 1 on the reference host."""

    def times(self, factor: float) -> Costs:
        """The costs of a host that takes ``factor`` times as long."""
        return Costs(*(getattr(self, one.name) * factor for one in fields(self)))

    def of_interpreter(self, method: str) -> float:
        """Seconds for each byte of one method that no two threads of a relay spend at once."""
        return self.interpreter + (self.pagewise if method in PAGEWISE else 0.0)


REFERENCE: Final = Costs()
