"""Built-in guests by TLS: to and from a QEMU with ``tls-creds``, and to each other between two
hosts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from migrating import (
    MIB,
    Pair,
    listen,
    prepare,
    run_state,
    status,
    two_qemus,
    until,
    wait_ended,
)
from qemu_faults import may_hang, once_more_if_qemu_fails
from sshing import FAR, ROOT, TAKES_ROOT, TwoHosts, Vm, qemu
from test_tls_qemu import LOCAL, Sides, encrypt, turned_away
from test_tls_qemu import sides as sides

from certificates import authority, complete
from ramferry.bench.builtin import BuiltIn
from ramferry.errors import MethodUnavailable

pytestmark = pytest.mark.interop

SECONDS = 30.0
MEMORY = 16 * MIB


def creds(folder: Path, *more: str) -> list[str]:
    return ["--tls-creds", str(folder), *more]


def arrives_at(destination: BuiltIn | Vm, uri: str) -> int:
    """Have it listen; the port that it got."""
    destination.qmp.execute("migrate-incoming", {"uri": uri})
    (bound,) = destination.qmp.execute("query-migrate")["socket-address"]
    return int(bound["port"])


# --- a QEMU on one side: what each says of the other's guest, it has read inside TLS


@pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)
def test_to_a_qemu_with_tls(pair: Pair, sides: Sides) -> None:
    with (
        BuiltIn(MEMORY, creds(sides.source)) as source,
        two_qemus(pair, MEMORY) as (_, destination),
    ):
        encrypt(destination, sides.destination, "server")
        incoming = listen(destination, "none", 2, f"tcp:{LOCAL}:0").replace("tcp:", "tls:")
        source.qmp.execute("migrate", {"uri": incoming})
        assert wait_ended(source, SECONDS) == "failed"  # type: ignore[arg-type]
        until(
            "a QEMU that has read whose guest it is",
            lambda: "Machine type received is 'ramferry-1'" in destination.stderr(),
            SECONDS,
        )
        until("a guest that runs on", lambda: run_state(source) == "running", SECONDS)  # type: ignore[arg-type]


@pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)
@once_more_if_qemu_fails
def test_from_a_qemu_with_tls(pair: Pair, sides: Sides) -> None:
    options = creds(sides.destination, "--tls-authz", "CN=source,O=Example")
    with (
        two_qemus(pair, MEMORY) as (source, _),
        BuiltIn(MEMORY, ["--incoming", "defer", *options]) as destination,
    ):
        encrypt(source, sides.source, "client")
        port = arrives_at(destination, f"tls:{LOCAL}:0")
        prepare(source, "none", 2)
        with may_hang(source):
            source.qmp.execute("migrate", {"uri": f"tcp:{LOCAL}:{port}"})
            assert wait_ended(source, SECONDS) == "failed"
        assert destination.process.wait(SECONDS) == 5
        told = destination.stderr()
        assert "the guest did not arrive: RAM block 'pc.ram' has 16777216 bytes at the" in told


@pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)
@pytest.mark.parametrize(
    ("scheme", "encrypts", "allowed", "told"),
    [
        ("tls", True, "CN=else", "--tls-authz does not allow CN=source,O=Example"),
        ("tls", False, "*", "it began in plaintext, as main of a QEMU without tls-creds"),
        ("tcp", True, "*", "it began TLS, and this address is in clear"),
    ],
    ids=["another subject", "plaintext", "TLS at a plain port"],
)
@once_more_if_qemu_fails
def test_a_qemu_that_is_not_let_in(
    pair: Pair, sides: Sides, scheme: str, encrypts: bool, allowed: str, told: str
) -> None:
    """The reason is on the waiting guest's standard error, and it waits on."""
    options = creds(sides.destination, "--tls-authz", allowed)
    with (
        two_qemus(pair, MEMORY) as (source, _),
        BuiltIn(MEMORY, ["--incoming", "defer", *options]) as destination,
    ):
        if encrypts:
            encrypt(source, sides.source, "client")
        port = arrives_at(destination, f"{scheme}:{LOCAL}:0")
        turned_away(source, f"tcp:{LOCAL}:{port}", destination.stderr, told)
        assert run_state(destination) == "inmigrate"  # type: ignore[arg-type]


# --- two built-in guests on two hosts


@contextmanager
def two_guests(hosts: TwoHosts, *options: object) -> Iterator[tuple[Vm, Vm]]:
    """One that writes, and on the other host one that waits."""
    writes = ["--workload", "random", "--rate", "2M"]
    given = [str(option) for option in options]
    with (
        qemu(hosts, False, ROOT, None, options=[*writes, *given]) as source,
        qemu(hosts, True, ROOT, None, options=given) as destination,
    ):
        yield source, destination


def assert_moved(source: Vm, destination: Vm) -> None:
    until("the end", lambda: status(source) in ("completed", "failed"), SECONDS)  # type: ignore[arg-type]
    assert status(source) == "completed", source.qmp.execute("query-migrate")  # type: ignore[arg-type]
    until("a guest that runs there", lambda: destination.state() == "running", SECONDS)
    left = source.qmp.execute("x-query-guest")["counter"]
    until("which writes", lambda: counter(destination) > left, SECONDS)


def counter(vm: Vm) -> int:
    return int(vm.qmp.execute("x-query-guest")["counter"])


@TAKES_ROOT
@pytest.mark.parametrize(
    ("scheme", "encrypts"), [("relay", True), ("tls", True), ("relay", False), ("tcp", False)]
)
def test_between_two_hosts(hosts: TwoHosts, scheme: str, encrypts: bool) -> None:
    folder = complete(hosts.folder / "pki", authority(), FAR)
    options = ("--tls-creds", folder) if encrypts else ("--insecure",)
    with two_guests(hosts, *options) as (source, destination):
        port = arrives_at(destination, f"{scheme}:{FAR}:0")
        source.qmp.execute("migrate", {"uri": f"{scheme}:{FAR}:{port}"})
        assert_moved(source, destination)
        warned = [
            "travels in clear" in (vm.path.parent / "log").read_text()
            for vm in (source, destination)
        ]
        assert warned == [not encrypts] * 2


@TAKES_ROOT
def test_between_two_hosts_nothing_travels_in_clear_unasked(hosts: TwoHosts) -> None:
    with two_guests(hosts) as (source, destination):
        for scheme, words in (
            ("tcp", "accept that with --insecure"),
            ("relay", "needs --tls-creds DIR"),
            ("tls", "needs --tls-creds DIR"),
        ):
            with pytest.raises(MethodUnavailable, match=words):
                destination.qmp.execute("migrate-incoming", {"uri": f"{scheme}:{FAR}:0"})
        for scheme in ("relay", "tls"):
            with pytest.raises(MethodUnavailable, match="needs --tls-creds DIR"):
                source.qmp.execute("migrate", {"uri": f"{scheme}:{FAR}:4444"})
        assert (source.state(), destination.state()) == ("running", "inmigrate")
        # both namespaces have one file system
        way = {"uri": f"unix:{destination.path.parent}/in"}
        destination.qmp.execute("migrate-incoming", way)
        source.qmp.execute("migrate", way)
        assert_moved(source, destination)
