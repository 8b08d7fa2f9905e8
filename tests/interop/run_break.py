"""Migrations of two QEMUs that break, after which multifd is switched off as libvirt does it.

``PYTHONPATH=tests:tests/interop python tests/interop/run_break.py --qemu 7.2 --times 240``

A QEMU says "failed" before it has let go of its channels. If multifd is switched off in between, it
forgets them, and an assertion ends it and its guest. This counts how often that is so: each time
two QEMUs start, the migration between them breaks under way, and as soon as ``query-migrate`` says
how it ended, multifd is switched off. ``--wait-for-yank`` waits before, as ``ramferry migrate``
does, until ``query-yank`` names no migration. A QEMU 7.2 sometimes never comes that far, with
multifd switched off or not: its guest lives, and it refuses to migrate again.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
from migrating import ENDED, MIB, Pair, listen, prepare, status, two_qemus, until
from qemu_faults import SOON, YANKED, holds, wait_let_go

import raw_sockets
from fault_proxy import Proxy
from ramferry.bench.qemu import Qemu, QemuBinary, choose_qemu
from ramferry.control.qemu.asides import Asides
from ramferry.errors import PeerTimeout, PeerUnreachable
from ramferry.patience import Patience
from ramferry.transport.address import UnixAddress

MEMORY = 32 * MIB
SENT = 4 * MIB
"""Bytes after which a migration is under way."""
SECONDS = 60.0
"""For anything that one migration may take."""
LATER = 1.0
"""Seconds from main's end to that of the channels."""
HOLD = f"have not let go after {SOON:g} s"
ABORTED = "aborted"
WRONG = "wrong"
HOW = "all connections at once; main a second before the others; or migrate_cancel"


@dataclass(frozen=True)
class Way:
    """How each migration goes."""

    binary: QemuBinary
    how: str
    channels: int
    bandwidth: int
    wait_for_yank: bool


def main() -> int:
    """Run what the command line says; 1 if a source ended in a way that nobody knows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--qemu", default="10.0", help="its version: 7.2 or 10.0")
    parser.add_argument("--how", choices=list(BLOWS), default="break", help=HOW)
    parser.add_argument("--times", type=int, default=60)
    parser.add_argument("--at-a-time", type=int, default=6)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--bandwidth", type=int, default=16, metavar="MIB", help="a second")
    parser.add_argument("--wait-for-yank", action="store_true", help="until nothing is left of it")
    options = parser.parse_args()
    way = Way(
        choose_qemu(options.qemu),
        options.how,
        options.channels,
        options.bandwidth * MIB,
        options.wait_for_yank,
    )
    found = outcomes(way, options.times, options.at_a_time)
    aborted = found.pop(ABORTED, 0)
    then = ", waits for yank" if way.wait_for_yank else ""
    print(
        f"QEMU {way.binary.name}, {way.how}{then}: {aborted} of {options.times} sources {ABORTED}"
    )
    for outcome, count in sorted(found.items()):
        print(f"{count:6} {outcome}")
    return 1 if any(one.startswith(WRONG) for one in found) else 0


def outcomes(way: Way, times: int, at_a_time: int) -> Counter[str]:
    """What became of so many sources."""
    # a QEMU ends with the thread that started it: each migration has one from beginning to end
    with ThreadPoolExecutor(at_a_time) as pool:
        return Counter(pool.map(partial(once, way), range(times)))


def once(way: Way, number: int) -> str:
    """Break one migration, switch multifd off, and look what the source does."""
    with ExitStack() as stack:
        source, destination = stack.enter_context(two_qemus(Pair(way.binary, way.binary), MEMORY))
        source.ram[:] = np.random.default_rng(number).integers(0, 256, MEMORY, np.uint8)
        target = listen(destination, "none", way.channels).removeprefix("unix:")
        proxy = Proxy(UnixAddress(f"{source.folder}/proxy"), UnixAddress(target))
        stack.callback(proxy.close)
        prepare(source, "none", way.channels, {"max-bandwidth": way.bandwidth})
        source.qmp.execute("migrate", {"uri": f"unix:{source.folder}/proxy"})
        until("a migration under way", lambda: sent(source) >= SENT, SECONDS)
        blow = threading.Thread(target=BLOWS[way.how], args=(source, proxy))
        blow.start()
        stack.callback(blow.join)
        return outcome(source, wait_for_yank=way.wait_for_yank)


def outcome(source: Qemu, *, wait_for_yank: bool) -> str:
    """Switch multifd off at the end of the migration; what became of the source."""
    try:
        ended = until_it_ended(source)
        # by the rule that ``migrate`` has
        if not wait_for_yank or Asides(source.qmp.execute).let_go():
            multifd = {"capability": "multifd", "state": False}
            source.qmp.execute("migrate-set-capabilities", {"capabilities": [multifd]})
        return f"{ended}, and live" + ("" if lets_go(source) else f", but {HOLD}")
    except PeerUnreachable:
        return of_the_end(source)
    except PeerTimeout as error:
        return f"{WRONG}: {error}"


def until_it_ended(source: Qemu) -> str:
    """Ask without a pause, as what is measured is how soon multifd is switched off; how it ended.

    :raise PeerTimeout: it did not end in time.
    """
    patience = Patience(SECONDS)
    while (how := status(source)) not in ENDED:
        if patience.over:
            raise PeerTimeout(f"the migration is {how} after {SECONDS:g} s")
    return how


def lets_go(source: Qemu) -> bool:
    """Whether a QEMU lets go of all that belongs to a migration, in time."""
    with suppress(AssertionError):
        wait_let_go(source)
    return not holds(source)


def of_the_end(source: Qemu) -> str:
    """Why a QEMU ended."""
    code = source.process.wait(SECONDS)
    said = source.stderr()
    last = said.splitlines()[-1:] or ["without a word"]
    return ABORTED if YANKED in said else f"{WRONG}: ended with {code}, {last[0]}"


def sent(source: Qemu) -> int:
    """Bytes of memory that a source has sent."""
    return int(source.qmp.execute("query-migrate").get("ram", {}).get("transferred", 0))


# --- how a migration breaks


def all_break(_source: Qemu, proxy: Proxy) -> None:
    for line in list(proxy.lines):
        line.end(raw_sockets.cut)


def main_first(source: Qemu, proxy: Proxy) -> None:
    for line in list(proxy.lines):
        if line.name == "main":
            line.end(raw_sockets.cut)
    time.sleep(LATER)
    all_break(source, proxy)


def cancel(source: Qemu, _proxy: Proxy) -> None:
    source.qmp.execute("migrate_cancel")


BLOWS: dict[str, Callable[[Qemu, Proxy], None]] = {
    "break": all_break,
    "main-first": main_first,
    "cancel": cancel,
}


if __name__ == "__main__":
    raise SystemExit(main())
