"""The answer is never guessed by the one command over ssh either: whatever happens in the midst of
its switchover, at most one guest runs, it is the right one, and a sentence says where."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answering import gone
from guests import COMMANDS
from holding import Held
from ssh_answering import SECONDS, Stage, held
from sshing import TAKES_ROOT, TwoHosts

from ramferry.bench.qemu import QemuBinary, qemu_at

pytestmark = [pytest.mark.interop, TAKES_ROOT]

DECIDE = 3
"""Seconds for which relays ask, where they ask in vain."""
THROUGH = "--through-ssh"
slow = pytest.mark.slow


@pytest.fixture
def binary(
    request: pytest.FixtureRequest, require_peer: Callable[[str], Path]
) -> QemuBinary | None:
    """The QEMU of that kind; None for built-in guests."""
    command = COMMANDS.get(request.param)
    return qemu_at(require_peer(command)) if command else None


def each(*cases: tuple[Any, ...]) -> Any:
    """Cases: a kind of guest, what is held, and options; ``slow`` among them if they take long."""
    return pytest.mark.parametrize(
        ("binary", "what", "options"),
        [
            pytest.param(
                *(kind, what, [one for one in options if one is not slow]),
                marks=[one for one in options if one is slow],
                id=" ".join([kind, what, *(one for one in options if one is not slow)]),
            )
            for kind, what, *options in cases
        ],
        indirect=["binary"],
    )


def kill(pids: list[int]) -> None:
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def lose(on: Stage, pids: list[int]) -> None:
    """Kill them, and wait until the command has noticed that it cannot see the switchover's end."""
    kill(pids)
    on.until("the look at the destination", lambda: "the switchover takes long" in on.said)


def taken(on: Stage) -> None:
    """See that the guest goes on at the destination, and that the command has succeeded."""
    on.sees("postmigrate", "running")
    on.ends(0)
    over(on)


def over(on: Stage) -> None:
    """See that nothing is left of it on either host but the guests."""
    on.until("an empty far host", lambda: not on.left_there())
    on.until("no relay", lambda: not on.near("relay") and not on.holders())
    on.never_both()


@each(
    ("10.0", "answer"),
    ("built-in", "answer", THROUGH, slow),
    ("stock", "answer", THROUGH, slow),
    ("stock", "tail", slow),
    ("built-in", "tail", THROUGH, slow),
)
def test_a_cable_that_comes_back(
    hosts: TwoHosts, binary: QemuBinary | None, what: Held, options: list[str]
) -> None:
    """The destination answers while it is pulled, and both ends have noticed it."""
    with held(hosts, binary, what, *options) as on:
        hosts.cut()
        on.holder.release()
        on.until("the end of ssh", lambda: not on.near("-T"))
        assert on.far("far")
        hosts.mend()
        taken(on)


@each(
    ("built-in", "answer"),
    ("10.0", "answer", THROUGH, slow),
    ("stock", "tail", slow),
    ("built-in", "tail", THROUGH, slow),
)
def test_a_cable_that_stays_away(
    hosts: TwoHosts, binary: QemuBinary | None, what: Held, options: list[str]
) -> None:
    """Nobody can know: the source's guest stands still, and a sentence says what to look at."""
    with held(hosts, binary, what, "--decide", DECIDE, *options) as on:
        hosts.cut()
        on.holder.release()
        on.ends(9, DECIDE + SECONDS)
        on.sees("finish-migrate", "running")
        assert "the destination does not answer" in on.said
        (holder,) = on.holders()
        decides_by_hand(on, holder)
        on.until("an empty far host", lambda: not on.left_there())
        on.guard.tell(on.source, "quit")  # type: ignore[arg-type]
        on.sees("gone", "running")
        on.until("the holder's end", lambda: gone(holder))


def decides_by_hand(on: Stage, holder: int) -> None:
    """See the sentence that names both cases, and the command for each."""
    assert f"held open by process {holder}" in on.said
    assert "if so, `quit` the source's QEMU; if not, end the destination's QEMU" in on.said
    assert "`migrate_cancel` at the source" in on.said
    assert "`cont`" not in on.said  # the source refuses it while it stands so


@each(
    ("built-in", "answer"),
    ("10.0", "tail", THROUGH),
    ("stock", "answer", slow),
    ("built-in", "tail", slow),
)
def test_the_near_command_is_killed(
    hosts: TwoHosts, binary: QemuBinary | None, what: Held, options: list[str]
) -> None:
    with held(hosts, binary, what, *options) as on:
        on.moving.kill()
        assert on.moving.wait() == -signal.SIGKILL
        on.holder.release()
        on.sees("postmigrate", "running")
        over(on)


@each(
    ("10.0", "answer", THROUGH),
    ("built-in", "answer", slow),
    ("stock", "answer", THROUGH, slow),
    ("stock", "tail", slow),
)
def test_the_ssh_is_killed(
    hosts: TwoHosts, binary: QemuBinary | None, what: Held, options: list[str]
) -> None:
    with held(hosts, binary, what, *options) as on:
        lose(on, on.near("-T"))
        on.holder.release()
        taken(on)


def test_the_ssh_is_killed_before_the_destination_has_all(hosts: TwoHosts) -> None:
    """It never gets it, and the source is told that by another ssh."""
    with held(hosts, None, "tail", THROUGH) as on:
        lose(on, on.near("-T"))
        on.holder.lose()
        on.sees("running", "gone")
        on.ends(5)
        assert "the connection by ssh to ssh://nobody@far has ended" in on.said
        assert "; the guest runs at the source" in on.said
        over(on)


@each(
    ("stock", "answer"),
    ("built-in", "answer", THROUGH, slow),
    ("10.0", "tail", slow),
)
def test_the_far_half_is_killed(
    hosts: TwoHosts, binary: QemuBinary | None, what: Held, options: list[str]
) -> None:
    with held(hosts, binary, what, *options) as on:
        lose(on, on.far("far"))
        on.holder.release()
        taken(on)


@each(("10.0", "answer"), ("built-in", "answer", THROUGH, slow), ("stock", "answer", slow))
def test_the_far_relay_is_killed(
    hosts: TwoHosts, binary: QemuBinary | None, what: Held, options: list[str]
) -> None:
    """The command sees the guest run at the destination, and says so, as soon as nobody is left who
    could tell the source."""
    with held(hosts, binary, what, "--decide", DECIDE, *options) as on:
        kill(on.far("relay"))
        on.holder.release()
        on.ends(9, DECIDE + SECONDS)
        on.sees("finish-migrate", "running")
        assert "ramferry: the guest runs at the destination, and the source" in on.said
        assert "has not heard of it: `quit` the source's QEMU" in on.said
        on.guard.tell(on.source, "quit")  # type: ignore[arg-type]
        on.sees("gone", "running")
        over(on)


@each(("built-in", "answer", slow), ("10.0", "answer", THROUGH, slow))
def test_command_and_cable_are_gone(
    hosts: TwoHosts, binary: QemuBinary | None, what: Held, options: list[str]
) -> None:
    """What was left on both hosts ends when nobody has asked for long enough."""
    with held(hosts, binary, what, "--decide", DECIDE, *options) as on:
        hosts.cut()
        on.moving.kill()
        on.holder.release()
        on.until("an empty far host", lambda: not on.left_there(), DECIDE + SECONDS)
        on.sees("finish-migrate", "running")
        (holder,) = on.holders()
        on.until("no relay", lambda: not on.near("relay"))
        on.guard.tell(on.source, "quit")  # type: ignore[arg-type]
        on.until("the holder's end", lambda: gone(holder))
        on.sees("gone", "running")
