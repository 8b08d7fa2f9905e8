"""``ramferry migrate qmp:… ssh://…`` between two hosts with a real sshd, as root and as users."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from migrating import Pair, assert_same_ram, second_pass, wait_left
from sshing import (
    CARRIER,
    FAR,
    OTHER,
    ROOT,
    TAKES_ROOT,
    TwoHosts,
    User,
    Vm,
    qemu,
    result,
    two_hosts,
    until,
)

from ramferry import __version__
from ramferry.bench.boot_sector import MAGIC, boot_sector, state, verify
from ramferry.bench.fill import fill

pytestmark = [
    pytest.mark.interop,
    TAKES_ROOT,
]


def migrate(hosts: TwoHosts, user: User, source: Vm, far: str, *options: object) -> Any:
    """Run the one command as a user of the near host."""
    remote = () if "--remote-command" in options else ("--remote-command", hosts.installed)
    line = (f"qmp:{source.path}", far, *remote, *options, "--json", "-")
    return hosts.ramferry(user, "migrate", *line)


def check(hosts: TwoHosts, found: dict[str, Any]) -> None:
    """A result that a migration between two hosts has, and nothing is left there."""
    assert found["route"] == "relay pair"
    assert found["send_cpu_percent"] > 0
    assert found["recv_cpu_percent"] > 0
    assert hosts.left_behind() == []


@pytest.mark.parametrize(
    ("pair", "user"), [("stock", ROOT), ("10.0", CARRIER)], indirect=["pair"], ids=["root", "user"]
)
def test_a_paused_qemu(hosts: TwoHosts, pair: Pair, user: User) -> None:
    with (
        qemu(hosts, False, user, pair.source) as source,
        qemu(hosts, True, user, pair.destination) as destination,
    ):
        fill(source.ram)
        found = result(migrate(hosts, user, source, f"ssh://{user.name}@far{destination.path}"))
        check(hosts, found)
        assert_same_ram(source, destination)
        assert destination.state() in ("paused", "prelaunch")


@pytest.mark.parametrize(("pair", "rate"), [("stock", 0.0), ("10.0", 2.0)], indirect=["pair"])
def test_a_running_qemu(hosts: TwoHosts, pair: Pair, rate: float) -> None:
    """A guest of 7.2's writes nothing, because its TCG would lose that."""
    boot = boot_sector(8 << 20, rate=rate)
    with (
        qemu(hosts, False, CARRIER, pair.source, boot=boot) as source,
        qemu(hosts, True, OTHER, pair.destination, boot=boot) as destination,
    ):
        source.qmp.execute("cont")
        until("a guest that runs", lambda: lives(source) and (not rate or second_pass(source)))
        address = f"ssh://nobody@far{destination.path}"
        check(hosts, result(migrate(hosts, CARRIER, source, address, "--method", "zstd")))
        wait_left(source)  # type: ignore[arg-type]
        assert destination.state() == "running"
        beats = state(destination.ram).beats
        until("a guest that goes on", lambda: state(destination.ram).beats > beats + 5)
        destination.qmp.execute("stop")
        if rate:
            assert verify(destination.ram).ok


def lives(vm: Vm) -> bool:
    """Whether a boot sector's guest has begun to count."""
    return state(vm.ram).magic == MAGIC and state(vm.ram).beats > 5


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="directly"),
        pytest.param(("--through-ssh",), id="through ssh"),
        pytest.param(("--port-range", "4700-4701"), id="ports", marks=pytest.mark.slow),
        pytest.param(
            ("--data-address", FAR, "--method", "none"), id="address", marks=pytest.mark.slow
        ),
    ],
)
def test_a_guest_that_writes(hosts: TwoHosts, options: tuple[str, ...]) -> None:
    writes = ("--workload", "random", "--rate", "2M")
    with (
        qemu(hosts, False, CARRIER, None, options=writes) as source,
        qemu(hosts, True, OTHER, None) as destination,
    ):
        address = f"ssh://nobody@far{destination.path}"
        check(hosts, result(migrate(hosts, CARRIER, source, address, *options)))
        assert destination.state() == "running"
        destination.qmp.execute("stop")
        before = source.qmp.execute("x-query-guest")["counter"]
        assert destination.qmp.execute("x-query-guest")["counter"] >= before


def test_what_a_firewall_drops_goes_through_ssh(hosts: TwoHosts) -> None:
    hosts.drop()
    with (
        qemu(hosts, False, CARRIER, None) as source,
        qemu(hosts, True, CARRIER, None) as destination,
    ):
        address = f"ssh://far{destination.path}"
        ended = migrate(hosts, CARRIER, source, address)
        assert ended.returncode == 3
        assert "data cannot get to ssh://far directly: nobody accepts at tcp:" in ended.stderr
        assert "nothing was touched" in ended.stderr
        assert "--through-ssh" in ended.stderr
        assert (source.state(), destination.state()) == ("running", "inmigrate")
        check(hosts, result(migrate(hosts, CARRIER, source, address, "--through-ssh")))


@pytest.fixture
def guests(hosts: TwoHosts) -> Iterator[tuple[Vm, Vm]]:
    with (
        qemu(hosts, False, CARRIER, None) as source,
        qemu(hosts, True, CARRIER, None) as destination,
    ):
        yield source, destination


@pytest.mark.timeout(900)  # its commands take 42 s on an idle host
def test_what_is_wrong_on_the_way_there_is_one_sentence(
    hosts: TwoHosts, guests: tuple[Vm, Vm]
) -> None:
    """Everything that can be wrong on the way there: its sentence, its code, nothing touched."""
    source, destination = guests
    there = f"{destination.path}"
    older = """echo "Error: No such command 'far'." >&2; exit 2"""
    other = """echo '{"ramferry_far": 77, "version": "9.9.9"}'; cat"""
    python = "exec /no/such/python3 -m ramferry"
    old = "echo '  File \"x.py\", line 1' >&2; echo 'SyntaxError: invalid syntax' >&2; exit 1"
    module = "echo '/usr/bin/python3: No module named ramferry' >&2; exit 1"
    locked = there.rpartition("/")[0] + "/locked"
    Path(locked).touch(mode=0o000)
    busy = ("--port-range", "22-22")
    cases: list[tuple[str, tuple[str, ...], int, str]] = [
        (f"ssh://stranger{there}", (), 3, "takes none of the keys that ssh offers"),
        (f"ssh://unknown{there}", (), 3, "its host key is not in known_hosts yet"),
        (f"ssh://changed{there}", (), 3, "is another than the one in known_hosts: somebody may"),
        (f"ssh://far:23{there}", (), 3, "Connection refused"),
        (f"ssh://no.such.host.invalid{there}", (), 3, "ssh cannot connect to ssh://no.such"),
        (f"ssh://far{there}-not", (), 3, "-not: No such file or directory"),
        (f"ssh://far{locked}", (), 3, "locked: Permission denied"),
        ("ssh://far", (), 2, "does not say where the QMP socket is"),
        (f"ssh://-oProxyCommand=x{there}", (), 2, "can be no user or host"),
        (
            f"ssh://far{there}",
            ("--data-address", "no.such.host.invalid"),
            8,
            "at --data-address no",
        ),
        (f"ssh://far{there}", ("--port-range", "9-1"), 2, "no range of ports"),
        (f"ssh://far{there}", ("--through-ssh", *busy), 2, "leave it or --through-ssh out"),
        (f"ssh://far{there}", ("--relay", "none"), 2, "leave out --relay none"),
        (f"ssh://far{there}", ("--via", "h:1"), 2, "leave out --via"),
        (f"ssh://far{there}", ("--remote-command", "no-such"), 3, f"Ramferry {__version__} there"),
        (f"ssh://far{there}", ("--remote-command", hosts.remote(older)), 3, "older than this one"),
        (f"ssh://far{there}", ("--remote-command", hosts.remote(other)), 3, "is version 9.9.9"),
        (f"ssh://far{there}", ("--remote-command", hosts.remote(python)), 3, "install Ramferry"),
        (f"ssh://far{there}", ("--remote-command", hosts.remote(old)), 3, "Python is too old"),
        (f"ssh://far{there}", ("--remote-command", hosts.remote(module)), 3, "has no Ramferry"),
        (
            f"ssh://far{there}",
            ("--remote-command", hosts.remote("yes")),
            3,
            "Ramferry does not answer on",
        ),
        (f"ssh://far{there}", ("--remote-command", hosts.remote("exit 0")), 3, "exit code 0"),
    ]
    for far, options, code, words in cases:
        ended = migrate(hosts, CARRIER, source, far, *options)
        assert (ended.returncode, words in ended.stderr) == (code, True), (far, options, ended)
        assert "Traceback" not in ended.stderr
        assert hosts.left_behind() == []
    assert (source.state(), destination.state()) == ("running", "inmigrate")


def test_a_range_of_ports_that_is_taken(hosts: TwoHosts, guests: tuple[Vm, Vm]) -> None:
    source, destination = guests
    hosts.listen(FAR, 4800, 4801)
    address = f"ssh://far{destination.path}"
    ended = migrate(hosts, CARRIER, source, address, "--port-range", "4800-4801")
    assert ended.returncode == 8
    assert "none of the ports 4800 to 4801 of --port-range is free there" in ended.stderr
    assert (source.state(), destination.state()) == ("running", "inmigrate")
    check(hosts, result(migrate(hosts, CARRIER, source, address, "--port-range", "4800-4802")))


def test_what_a_login_shell_prints_first_is_passed_over(
    hosts: TwoHosts, guests: tuple[Vm, Vm]
) -> None:
    source, destination = guests
    greets = hosts.remote(f'echo "Welcome!"; printf "\\n{{}}\\n"; exec {hosts.installed} "$@"')
    address = f"ssh://far{destination.path}"
    check(hosts, result(migrate(hosts, CARRIER, source, address, "--remote-command", greets)))


def test_without_forwarding_nothing_goes_through_ssh(
    require_peer: Callable[[str], Path],
) -> None:
    with two_hosts(require_peer("sshd")) as hosts:
        hosts.sshd(forwarding=False)
        with (
            qemu(hosts, False, CARRIER, None) as source,
            qemu(hosts, True, CARRIER, None) as destination,
        ):
            address = f"ssh://far{destination.path}"
            ended = migrate(hosts, CARRIER, source, address, "--through-ssh")
            assert ended.returncode in (3, 5), ended
            assert "forward" in ended.stderr
            assert source.state() == "running"


def test_the_document_names_both_hosts_cpu(hosts: TwoHosts, guests: tuple[Vm, Vm]) -> None:
    source, destination = guests
    ended = migrate(hosts, CARRIER, source, f"ssh://far{destination.path}")
    relays = json.loads(ended.stdout)["results"][0]["relays"]
    assert [relay["completed"] for relay in relays] == [True, True]
    assert [relay["agreed_out"] and relay["agreed_out"]["digest"] for relay in relays] == [
        "xxh3-128",
        None,
    ]
