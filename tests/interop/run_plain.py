"""One plain stream of a QEMU without multifd, by every way there is, over the same shaped link.

``PYTHONPATH=tests:tests/interop python tests/interop/run_plain.py --qemu 7.2 --rate 250M``
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from migrating import MIB, status, until
from plain_relaying import prepare
from plain_ways import Way, ways
from sshing import DEVICE, FAR, NEAR, TwoHosts, run, two_hosts

from ramferry.bench.link import BURST_SECONDS, LEAST_BURST, QUEUE
from ramferry.bench.qemu import Qemu, QemuBinary, choose_qemu, peer_folders
from ramferry.bench.rig import Rig
from ramferry.control.hosts.host import Hosts, Namespace

RATES = {"250M": 250e6, "1G": 1e9}
"""Bits a second."""
SECONDS = 1200.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What one migration took."""

    way: str
    seconds: float
    """From the command at the source until all of the guest is at the destination."""
    wire_bytes: int
    """That the source's host has sent, with all headers."""


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qemu", default="7.2", help="its version: 7.2 or 10.0")
    parser.add_argument("--rate", choices=RATES, default="250M", help="bits a second")
    parser.add_argument("--memory", type=int, default=512, metavar="MIB")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--way", action="append", default=[], help="only names with this in them")
    parser.add_argument("--json", type=Path, help="a file for every migration's figures")
    options = parser.parse_args()
    wanted = {
        name: way
        for name, way in ways().items()
        if not options.way or any(part in name for part in options.way)
    }
    found: list[Taken] = []
    try:
        with ExitStack() as stack:
            hosts = stack.enter_context(two_hosts(_sshd()))
            _shape(hosts, RATES[options.rate] / 8)
            hosts.sshd()
            rig = _rig(hosts, choose_qemu(options.qemu), options.memory * MIB)
            stack.enter_context(rig)
            for number in range(options.repeat):
                # in turn, each time another one first: what is slow for a while is so for all
                names = list(wanted)
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    found.append(_carry(hosts, rig, name, *wanted[name]))
                    print(f"{number + 1}: {name}: {found[-1].seconds:.2f} s", flush=True)
    finally:
        if options.json:
            options.json.write_text(json.dumps([asdict(one) for one in found], indent=1))
    _print(f"QEMU {options.qemu}, {options.rate}bit/s, {options.memory} MiB", list(wanted), found)
    return 0


def _sshd() -> Path:
    path = os.pathsep.join(map(str, peer_folders(os.environ)))
    found = shutil.which("sshd", path=path) or shutil.which("sshd", path="/usr/sbin")
    if found is None:
        raise SystemExit("sshd is not here: `make peers` fetches it")
    return Path(found)


def _shape(hosts: TwoHosts, rate: float) -> None:
    """As ``bench.link`` does.

    :param rate: bytes a second.
    """
    burst = max(LEAST_BURST, int(rate * BURST_SECONDS))
    for name in hosts.namespaces:
        bucket = ("rate", f"{round(rate * 8)}bit", "burst", f"{burst}b", "latency", QUEUE)
        run("tc", "-n", name, "qdisc", "add", "dev", DEVICE, "root", "tbf", *bucket)


def _rig(hosts: TwoHosts, binary: QemuBinary, memory: int) -> Rig:
    near, far = hosts.namespaces
    return Rig(binary, binary, memory, hosts=Hosts(Namespace(near, NEAR), Namespace(far, FAR)))


def _carry(hosts: TwoHosts, rig: Rig, name: str, way: Way, answered: bool) -> Taken:
    """Migrate once, compare memory, and let the source run on."""
    with rig.fresh(paused=True) as destination:
        destination.ram[:] = 0
        for one in (rig.source, destination):
            prepare(one)
            _set(one, "return-path", answered)

        def incoming(uri: str) -> None:
            destination.qmp.execute("migrate-incoming", {"uri": uri})

        with way(hosts, destination, incoming) as uri:
            before = _sent(hosts)
            begun = time.monotonic()
            rig.source.qmp.execute("migrate", {"uri": uri})
            until("the guest's arrival", lambda: _ended(rig.source, destination), SECONDS)
            seconds = time.monotonic() - begun
            sent = _sent(hosts) - before
        rig.compare(destination)
    rig.source.qmp.execute("cont")
    return Taken(name, seconds, sent)


def _set(qemu: Qemu, capability: str, state: bool) -> None:
    wanted = [{"capability": capability, "state": state}]
    qemu.qmp.execute("migrate-set-capabilities", {"capabilities": wanted})


def _ended(source: Qemu, destination: Qemu) -> bool:
    for one in (source, destination):
        assert status(one) != "failed", one.qmp.execute("query-migrate")
    return status(destination) == status(source) == "completed"


def _sent(hosts: TwoHosts) -> int:
    (link,) = json.loads(run("ip", "-n", hosts.namespaces[0], "-s", "-j", "link", "show", DEVICE))
    return int(link["stats64"]["tx"]["bytes"])


def _print(title: str, names: list[str], found: list[Taken]) -> None:
    print(f"\n{title}; total time in s: median (least to most); MB on the wire; times plain TCP's")
    middles = {
        name: statistics.median(one.seconds for one in found if one.way == name) for name in names
    }
    plain = middles.get("plain TCP")
    for name in names:
        times = [one.seconds for one in found if one.way == name]
        wire = statistics.median(one.wire_bytes for one in found if one.way == name)
        share = f"{middles[name] / plain:5.2f}" if plain else ""
        span = f"({min(times):.2f} to {max(times):.2f})"
        print(f"{name:34} {middles[name]:7.2f} {span:20} {wire / 1e6:7.1f} {share}")


if __name__ == "__main__":
    raise SystemExit(main())
