"""A guest at work at a source, and a destination that would run it: QEMUs, or built-in guests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from migrating import MIB, Pair, run_state, two_qemus, until

from ramferry.bench import boot_sector
from ramferry.bench.builtin import BuiltIn
from ramferry.bench.qemu import COMMAND, Qemu, qemu_at
from ramferry.errors import PeerTimeout, PeerUnreachable

MEMORY = 64 * MIB
COMMANDS = {"stock": COMMAND, "10.0": f"{COMMAND}-10.0"}
"""The kinds of QEMU, and their commands."""
KINDS = ("stock", "10.0", "built-in")


def state(end: Qemu | BuiltIn) -> str:
    """As its monitor has it; "gone" for one that has ended, be it while it was asked."""
    try:
        return run_state(end) if end.alive else "gone"  # type: ignore[arg-type]
    except PeerUnreachable:
        return "gone"


def seen(end: Qemu | BuiltIn) -> str:
    """``state``, or "silent" for one that does not answer in time: for whoever looks again, and
    never takes that for a guest that does not run."""
    try:
        return state(end)
    except PeerTimeout:
        return "silent"


def lives(end: Qemu | BuiltIn) -> bool:
    return state(end) == "running"


def decided(end: Qemu | BuiltIn) -> bool:
    """Whether all that was to come has come, and was taken or refused."""
    return state(end) != "inmigrate"


def beats(end: Qemu | BuiltIn) -> int:
    """How far this copy of the guest is, seen in its memory; not what its monitor says."""
    if isinstance(end, Qemu):
        return boot_sector.state(end.ram).beats
    return int(end.state()["counter"])


@contextmanager
def ends(kind: str, require_peer: Callable[[str], Path]) -> Iterator[tuple[Qemu | BuiltIn, ...]]:
    """A source whose guest runs, and a destination that would run it."""
    if kind == "built-in":
        work = ("--workload", "random", "--rate", "1M")
        with (
            BuiltIn(MEMORY, work) as source,
            BuiltIn(MEMORY, ("--incoming", "defer")) as destination,
        ):
            yield source, destination
        return
    binary = qemu_at(require_peer(COMMANDS[kind]))
    boot = boot_sector.boot_sector(MEMORY, first=48 * MIB, rate=4)
    with two_qemus(Pair(binary, binary), MEMORY, boot=boot) as (source, destination):
        source.qmp.execute("cont")
        # made for tests that do not want that, it would not run what arrives
        destination.qmp.execute("cont")
        until("the guest's first beats", lambda: beats(source) > 5, 20)
        yield source, destination
