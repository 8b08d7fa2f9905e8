"""How much memory a guest writes, measured by its QEMU."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from ramferry.control.libvirt.end import DomainEnd
from ramferry.control.qemu.end import QemuEnd
from ramferry.errors import MethodUnavailable, PeerTimeout
from ramferry.patience import Patience

SAMPLED_PAGES: Final = 4096
"""Pages of each GiB that ``calc-dirty-rate`` looks at: eight times QEMU's default, for the sake of
small guests. It measured 49 to 54 MB/s for a guest of 64 MiB that wrote 50 MB/s."""

DIRTY_SPARE: Final = 10.0
"""Seconds that the measurement may take longer than it was asked to."""

LOOK: Final = 0.1


def measure_dirty(end: QemuEnd, seconds: int, heed: Callable[[], None]) -> float:
    """Ask QEMU how much memory its guest dirties, in bytes a second.

    QEMU looks for changes in sampled pages, which is its default mode; its dirty-bitmap mode ended
    QEMU 7.2.22 under TCG. A page that is written many times counts once in ``seconds``, as in a
    pass of that length.

    :raise MethodUnavailable: the QEMU cannot measure it, or does not tell.
    :raise PeerTimeout: the measurement does not come to an end.
    """
    arguments = {"calc-time": seconds, "sample-pages": SAMPLED_PAGES}
    end.execute("calc-dirty-rate", arguments)
    patience = Patience(seconds + DIRTY_SPARE)
    while not patience.over:
        heed()
        answer: dict[str, Any] = end.execute("query-dirty-rate")
        if answer["status"] == "measured":
            rate = answer.get("dirty-rate", -1)
            if rate < 0:
                raise MethodUnavailable(
                    f"the QEMU at {end.party.uri} measured no dirty rate: give --dirty-rate"
                )
            return float(rate) * (1 << 20)
        end.wait_for_event(0.1)
    raise PeerTimeout(
        f"the QEMU at {end.party.uri} did not finish calc-dirty-rate within"
        f" {seconds + DIRTY_SPARE:g} s: give --dirty-rate"
    )


def measure_domain(end: DomainEnd, name: str, seconds: int, heed: Callable[[], None]) -> float:
    """Ask libvirt the same of a domain. It has QEMU look at its default number of pages.

    :raise MethodUnavailable: libvirt refuses, as where it is too old.
    :raise PeerTimeout: the measurement does not come to an end.
    """
    end.ask(lambda near: near.measure_dirty_rate(name, seconds))
    patience = Patience(seconds + DIRTY_SPARE)
    while not patience.over:
        heed()
        if (rate := end.ask(lambda near: near.dirty_rate(name))) is not None:
            return float(rate) * (1 << 20)
        time.sleep(LOOK)
    raise PeerTimeout(
        f"libvirt did not measure the dirty rate of {name} within {seconds + DIRTY_SPARE:g} s: give"
        " --dirty-rate"
    )
