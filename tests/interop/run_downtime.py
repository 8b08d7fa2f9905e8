"""One guest that writes, with a downtime that begins low and with all of it from the beginning.

``PYTHONPATH=tests:tests/interop python tests/interop/run_downtime.py --rate 250Mbit --write 8M``
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest.mock import patch

from migrating import MIB

from ramferry.bench.link import ShapedLink
from ramferry.bench.qemu import choose_qemu
from ramferry.bench.rig import Load, Rig
from ramferry.control.hosts.host import BOTH_HERE
from ramferry.control.migrate import route_settings
from ramferry.control.migrate.callbacks import Hooks
from ramferry.control.migrate.ramp import Ramp
from ramferry.control.migrate.relay_mode import RelayMode
from ramferry.control.migrate.wish import Wish
from ramferry.forecast.eta import MigrationSample
from ramferry.metrics import MigrationResult
from ramferry.units import parse_rate, parse_size


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qemu", default="10.0", help="its version: 7.2 or 10.0")
    parser.add_argument("--rate", default="", help="the link's, as 250Mbit; loopback without it")
    parser.add_argument("--memory", type=int, default=256, metavar="MIB")
    parser.add_argument("--write", default="0", help="bytes a second that the guest writes, as 8M")
    parser.add_argument("--hot", type=int, default=64, metavar="MIB", help="memory that it writes")
    parser.add_argument("--method", default="none")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--limit", type=int, default=300, metavar="MS")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--show", action="store_true", help="print every sample")
    options = parser.parse_args()
    load = Load(parse_size(options.write), options.hot * MIB) if options.write != "0" else Load()
    wish = Wish(
        options.method,
        channels=options.channels,
        relay=RelayMode.BOTH,
        downtime_limit_ms=options.limit,
        insecure=True,
    )
    found: dict[str, list[MigrationResult]] = {"ramp": [], "whole": []}
    with ExitStack() as stack:
        hosts = BOTH_HERE
        if options.rate:
            hosts = stack.enter_context(ShapedLink(parse_rate(options.rate))).hosts
        wish = replace(wish, hosts=hosts)
        binary = choose_qemu(options.qemu)
        rig = Rig(binary, binary, options.memory * MIB, load=load, hosts=hosts)
        stack.enter_context(rig)
        for number in range(options.repeat):
            for name in list(found)[:: 1 if number % 2 else -1]:
                with whole_at_once() if name == "whole" else ExitStack():
                    found[name].append(rig.carry(wish, Hooks(on_sample=seen(options.show))))
                one = found[name][-1]
                times = f"{one.total_time_ms} ms, still for {one.downtime_ms} ms"
                print(f"{number + 1}: {name}: {times}, {one.dirty_sync_count} rounds", flush=True)
    tell(found)
    return 0


@contextmanager
def whole_at_once() -> Iterator[None]:
    """QEMU is told the whole limit from the beginning."""
    with (
        patch.object(Ramp, "told_ms", lambda ramp, _: ramp._steps[-1]),
        patch.object(route_settings, "first_limit", lambda wish: wish),
    ):
        yield


def seen(show: bool):  # type: ignore[no-untyped-def]
    """What takes the samples."""

    def on_sample(sample: MigrationSample) -> None:
        if show:
            left = f"{sample.remaining_bytes / 1e6:.1f} MB left"
            limit = f"limit {sample.downtime_limit_ms} ms"
            print(f"  {sample.seconds:.2f} s, round {sample.dirty_sync_count}, {left}, {limit}")

    return on_sample


def tell(found: dict[str, list[MigrationResult]]) -> None:
    """Print medians, and those of the ramp over the others."""
    middle = {}
    for name, results in found.items():
        total = statistics.median(one.total_time_ms for one in results)
        still = statistics.median(one.downtime_ms for one in results)
        most = max(one.downtime_ms for one in results)
        middle[name] = total
        print(f"{name}: {total:.0f} ms, still for {still:.0f} ms, {most} at most")
    print(f"total over that with the whole limit: {middle['ramp'] / middle['whole']:.2f}")


if __name__ == "__main__":
    raise SystemExit(main())
