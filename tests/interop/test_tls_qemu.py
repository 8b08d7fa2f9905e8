"""QEMU's own TLS against the relay's: ``tls:`` on either side, and ``relay:`` with TLS between.

QEMU 7.2 and 10.0 with ``tls-creds-x509`` and the migration parameter ``tls-creds``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from migrating import (
    CANCELLED,
    MIB,
    Pair,
    assert_guest_goes_on,
    assert_same_ram,
    listen,
    migrate,
    prepare,
    run_state,
    start_guest,
    two_qemus,
    until,
    wait_arrived,
    wait_ended,
)
from qemu_faults import may_hang, once_more_if_qemu_fails
from relaying import WAIT_SECONDS

from certificates import authority, lay_out
from ramferry.bench import boot_sector
from ramferry.bench.fill import Bytes, fill
from ramferry.bench.qemu import Qemu
from ramferry.control.hosts.host import Here
from ramferry.control.migrate.relay_child import RelayChild
from ramferry.control.migrate.route import RelayStep
from ramferry.transport.handshake import SAID_NOTHING
from ramferry.transport.one_time import Authority

pytestmark = pytest.mark.interop

LOCAL = "127.0.0.1"
SECONDS = 40.0
SLOW = pytest.mark.slow


PATIENT = """
from ramferry.cli import main
from ramferry.flows.outlet import refused
refused.WORD = 20.0
main()
"""
"""A relay that waits for main's own word as long as a QEMU on a busy host may take to end main."""


@dataclass(frozen=True, slots=True)
class Told(Here):
    """This host, where a relay gets further options."""

    options: tuple[str, ...] = ()
    patient: bool = False
    """Whether it is one of ``PATIENT``."""

    def command(self, line: Sequence[str]) -> list[str]:
        begin = [sys.executable, "-c", PATIENT] if self.patient else line[:3]
        return [*begin, *line[3:], *self.options]


@dataclass(frozen=True, slots=True)
class Sides:
    """A folder of certificates for each of the two hosts; the relays beside the QEMUs use them
    too."""

    trusted: Authority
    source: Path
    destination: Path


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Sides:
    trusted = authority()
    made = tmp_path_factory.mktemp("pki")
    folders = [
        lay_out(
            made / name,
            trusted,
            server=trusted.server(LOCAL),
            client=trusted.client(name, "Example"),
        )
        for name in ("source", "destination")
    ]
    return Sides(trusted, *folders)


@pytest.fixture(scope="module")
def mixed_data() -> Bytes:
    data = np.zeros(32 * MIB, np.uint8)
    fill(data)
    return data


def encrypt(qemu: Qemu, folder: Path, endpoint: str) -> None:
    """Have a QEMU migrate by TLS with the certificates of a folder."""
    qemu.qmp.execute(
        "object-add",
        {"qom-type": "tls-creds-x509", "id": "tls0", "dir": str(folder), "endpoint": endpoint},
    )
    qemu.qmp.execute("migrate-set-parameters", {"tls-creds": "tls0"})


@contextmanager
def relays(
    hops: Sequence[tuple[str, str, tuple[str, ...]]],
    onward: str,
    channels: int,
    *,
    patient: bool = False,
) -> Iterator[list[RelayChild]]:
    """Start relays, from the destination's to the source's, each connected to the one before.

    :param hops: where each listens, the method that it sends, and its further options.
    :param onward: where the first one connects.
    :param patient: whether they wait long for main's own word.
    """
    with ExitStack() as stack:
        started: list[RelayChild] = []
        for place, (address, method, options) in enumerate(hops):
            step = RelayStep(
                f"hop {place}", address, method, host=Told(options=options, patient=patient)
            )
            child = RelayChild(step, onward, channels)
            stack.callback(child.end)
            onward = child.wait_listening()
            started.append(child)
        try:
            yield started
        except AssertionError as error:
            told = "; ".join(f"{child.side}: {notes(child)}" for child in started)
            raise AssertionError(f"{error}; {told}") from error


def completed(children: Sequence[RelayChild]) -> None:
    for child in children:
        result = child.wait_finished(WAIT_SECONDS)
        assert result is not None, f"{child.side} told no result: {child.complaint()}"
        assert result.completed, f"{child.side}: {result.error}"
        assert child.complaint() is None


def creds(folder: Path, *more: str) -> tuple[str, ...]:
    return ("--tls-creds", str(folder), *more)


# --- a QEMU with TLS on one side of the relay


@pytest.mark.parametrize("pair", ["stock", "10.0", "stock-10.0"], indirect=True)
@pytest.mark.parametrize(
    ("came", "sent", "channels"),
    [
        ("none", "none", 2),
        ("zstd", "none", 4),
        pytest.param("none", "zstd", 3, marks=SLOW),
        pytest.param("zstd", "zstd", 4, marks=SLOW),
    ],
)
def test_a_source_with_tls(
    pair: Pair, sides: Sides, came: str, sent: str, channels: int, mixed_data: Bytes
) -> None:
    with two_qemus(pair, len(mixed_data)) as (source, destination):
        source.ram[:] = mixed_data
        encrypt(source, sides.source, "client")
        incoming = listen(destination, sent, channels)
        options = creds(sides.destination, "--tls-authz", "CN=source,O=Example")
        with relays([(f"tls:{LOCAL}:0", sent, options)], incoming, channels) as children:
            uri = children[0].uri.replace("tls:", "tcp:")
            migrate(source, uri, came, channels, SECONDS)
            wait_arrived(destination)
            completed(children)
        assert_same_ram(source, destination)
        assert (source.ram == mixed_data).all()


@pytest.mark.parametrize("pair", ["stock", "10.0", "stock-10.0"], indirect=True)
@pytest.mark.parametrize(
    ("came", "sent", "channels"),
    [
        ("none", "zstd", 2),
        ("none", "none", 4),
        pytest.param("zstd", "none", 3, marks=SLOW),
        pytest.param("zstd", "zstd", 16, marks=SLOW),
    ],
)
def test_a_destination_with_tls(
    pair: Pair, sides: Sides, came: str, sent: str, channels: int, mixed_data: Bytes
) -> None:
    with two_qemus(pair, len(mixed_data)) as (source, destination):
        source.ram[:] = mixed_data
        encrypt(destination, sides.destination, "server")
        incoming = listen(destination, sent, channels, f"tcp:{LOCAL}:0").replace("tcp:", "tls:")
        here = f"unix:{source.folder}/relay"
        hops = [(here, sent, creds(sides.source))]
        with relays(hops, incoming, channels) as children:
            migrate(source, children[0].uri, came, channels, SECONDS)
            wait_arrived(destination)
            completed(children)
        assert_same_ram(source, destination)
        assert (source.ram == mixed_data).all()


@pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)
def test_a_guest_at_work_with_tls_on_both_sides_and_between_the_relays(
    pair: Pair, sides: Sides
) -> None:
    memory, channels = 48 * MIB, 2
    boot = boot_sector.boot_sector(memory, rate=30)
    with two_qemus(pair, memory, boot=boot) as (source, destination):
        start_guest(source)
        encrypt(source, sides.source, "client")
        encrypt(destination, sides.destination, "server")
        incoming = listen(destination, "none", channels, f"tcp:{LOCAL}:0").replace("tcp:", "tls:")
        hops = [
            (f"relay:{LOCAL}:0", "none", creds(sides.destination)),
            (f"tls:{LOCAL}:0", "zstd", creds(sides.source)),
        ]
        with relays(hops, incoming, channels) as children:
            uri = children[-1].uri.replace("tls:", "tcp:")
            migrate(source, uri, "none", channels, SECONDS)
            wait_arrived(destination)
            completed(children)
        verdict = boot_sector.verify(destination.ram)
        assert verdict.ok, verdict
        assert_same_ram(source, destination)
        assert_guest_goes_on(destination)


# --- what does not fit


def refused(source: Qemu, uri: str, channels: int = 2) -> None:
    """A migration that ends early, with the guest at the source."""
    prepare(source, "none", channels)
    with may_hang(source):
        source.qmp.execute("migrate", {"uri": uri})
        assert wait_ended(source, SECONDS) == "failed"
        assert run_state(source) != "running"  # nobody started it, and nobody did meanwhile


def turned_away(source: Qemu, uri: str, said: Callable[[], str], told: str) -> None:
    """A migration whose connections are refused, for a reason that is told, and that is then
    cancelled."""
    prepare(source, "none", 2)
    with may_hang(source):
        source.qmp.execute("migrate", {"uri": uri})
        until("a refusal", lambda: told in said(), SECONDS)
        source.qmp.execute("migrate_cancel")
        assert wait_ended(source, SECONDS) in CANCELLED


def notes(child: RelayChild) -> str:
    return "\n".join(child._sentences)


@pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)
@pytest.mark.parametrize(
    ("encrypts", "options", "told"),
    [
        (
            True,
            ("--tls-authz", "CN=somebody else"),
            "refused a connection of 127.0.0.1: --tls-authz does not allow CN=source,O=Example",
        ),
        (
            False,
            (),
            "refused a connection of 127.0.0.1: it began in plaintext, as main of a QEMU without "
            "tls-creds, or of a relay at tcp:, does; TLS is spoken here",
        ),
    ],
    ids=["another subject", "plaintext"],
)
@once_more_if_qemu_fails
def test_a_source_that_is_not_let_in(
    pair: Pair, sides: Sides, encrypts: bool, options: tuple[str, ...], told: str
) -> None:
    with two_qemus(pair, 16 * MIB) as (source, destination):
        if encrypts:
            encrypt(source, sides.source, "client")
        incoming = listen(destination, "none", 2)
        hops = [(f"tls:{LOCAL}:0", "none", creds(sides.destination, *options))]
        with relays(hops, incoming, 2) as children:
            uri = children[0].uri.replace("tls:", "tcp:")
            turned_away(source, uri, lambda: notes(children[0]), told)
            if encrypts:
                return
            # the same relay carries the next one; not the same QEMU, which may refuse that as long
            # as it holds the broken channels (10.0), or die of it (7.2)
            with Qemu(pair.source, 16 * MIB, machine=pair.machine) as other:
                encrypt(other, sides.source, "client")
                migrate(other, uri, "none", 2, SECONDS)
                wait_arrived(destination)
                completed(children)


@pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)
@once_more_if_qemu_fails
def test_a_source_with_tls_at_a_plain_port(pair: Pair, sides: Sides) -> None:
    with two_qemus(pair, 16 * MIB) as (source, destination):
        encrypt(source, sides.source, "client")
        incoming = listen(destination, "none", 2)
        with relays([(f"tcp:{LOCAL}:0", "none", ())], incoming, 2) as children:
            refused(source, children[0].uri)
            until(
                "a refusal",
                lambda: "it began TLS, and this address is in clear" in notes(children[0]),
                SECONDS,
            )


@pytest.mark.parametrize(
    ("pair", "problem"),
    [
        ("10.0", "plaintext"),
        pytest.param("stock", "plaintext", marks=SLOW),
        ("stock", "another name"),
        ("10.0", "unknown authority"),
    ],
    indirect=["pair"],
)
@once_more_if_qemu_fails
def test_a_destination_that_does_not_fit(
    pair: Pair, sides: Sides, problem: str, tmp_path: Path
) -> None:
    strange, trusted = authority(), sides.trusted
    folder, told = sides.destination, ""
    if problem == "plaintext":
        # 7.2 waits for more of the stream that it takes this for
        old = pair.source.version < (8, 0)
        told = "it said nothing within 30 s" if old else SAID_NOTHING
    elif problem == "another name":
        folder = lay_out(tmp_path / "pki", trusted, server=trusted.server("beta.example.com"))
        told = f"its certificate is for another name than {LOCAL}"
    else:
        folder = lay_out(tmp_path / "pki", trusted, server=strange.server(LOCAL))
        (folder / "ca-cert.pem").write_bytes(strange.certificate)
        told = "its certificate is from another authority than those in this side's ca-cert.pem"
    with two_qemus(pair, 16 * MIB) as (source, destination):
        if problem != "plaintext":
            encrypt(destination, folder, "server")
        incoming = listen(destination, "none", 2, f"tcp:{LOCAL}:0").replace("tcp:", "tls:")
        hops = [(f"unix:{source.folder}/relay", "none", creds(sides.source))]
        with relays(hops, incoming, 2) as children:
            refused(source, children[0].uri)
            result = children[0].wait_finished(WAIT_SECONDS)
            assert result is not None
            assert f"no TLS with {incoming}: {told}" in result.error
            assert result.exit_code == 3


@pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)
@once_more_if_qemu_fails
def test_a_destination_that_does_not_know_the_relay(
    pair: Pair, sides: Sides, tmp_path: Path
) -> None:
    """By TLS 1.3 it says so after the handshake."""
    strange = authority()
    own = lay_out(tmp_path / "pki", sides.trusted, client=strange.client("source"))
    with two_qemus(pair, 16 * MIB) as (source, destination):
        encrypt(destination, sides.destination, "server")
        incoming = listen(destination, "none", 2, f"tcp:{LOCAL}:0").replace("tcp:", "tls:")
        hops = [(f"unix:{source.folder}/relay", "none", creds(own))]
        with relays(hops, incoming, 2, patient=True) as children:
            refused(source, children[0].uri)
            result = children[0].wait_finished(WAIT_SECONDS)
            assert result is not None
            assert (
                "the destination closed the main channel without taking over: it may not "
                "accept this side's certificate; see its log"
            ) in result.error
