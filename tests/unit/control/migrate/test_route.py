"""Every route as a row: who has what, what was asked for, what becomes of it."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from ramferry.control.hosts import host
from ramferry.control.hosts.host import Elsewhere, Namespace, members_for
from ramferry.control.migrate.relay_options import advice
from ramferry.control.migrate.route import RelayMode, RelayStep, Route, Sockets, Wish, plan
from ramferry.control.qemu.party import Party
from ramferry.control.qemu.probe import QemuFacts
from ramferry.errors import MethodUnavailable, RamferryError, UsageError

DEBIAN = frozenset({"none", "zlib", "zstd"})
ALL = DEBIAN | {"qatzip", "qpl", "uadk"}

FACTS = QemuFacts(
    version=(7, 2, 22),
    methods=DEBIAN,
    capabilities={},
    parameters={"tls-creds": ""},
    run_state="running",
    migration="none",
    listening=None,
    vcpu_threads=(1,),
)
HERE = Party("qmp:/run/s.qmp", FACTS, host.HERE)
HERE_ALL = replace(HERE, facts=replace(FACTS, methods=ALL))
HERE_10 = replace(HERE, facts=replace(FACTS, version=(10, 0, 2)))
FAR = Party("qmp:10.0.0.2:4444", FACTS, Elsewhere("10.0.0.2"))
FAR_ALL = replace(FAR, facts=replace(FACTS, methods=ALL))
FORWARDED = Party("qmp:/run/far.qmp", FACTS, Elsewhere())
LISTENING = replace(HERE, facts=replace(FACTS, listening="tcp:0.0.0.0:4455"))

SOCKETS = Sockets("/s", "/d")


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No host has a device, until something is put in here."""
    seen: list[str] = []

    def may_accelerate(policy: str) -> bool:
        return policy == "require" or (policy == "auto" and bool(seen))

    monkeypatch.setattr(host, "may_accelerate", may_accelerate)
    return seen


S, D = "unix:/s/source-relay", "unix:/s/destination-relay"
TO_DST = "unix:/d/destination"


def near(
    method: str, level: int | None = None, cap: int = 0, member_size: str = "auto"
) -> RelayStep:
    return RelayStep("source", S, method, level, cap, member_size=member_size)


def built_in(method: str, cap: int = 0) -> Route:
    """Without relays, between two QEMUs of this host."""
    here = "tcp:127.0.0.1:0"
    return Route("QEMU built-in", here, here, (), method, method, cap)


FAR_RELAY = RelayStep("destination", "relay:127.0.0.1:0", "none")


@pytest.mark.parametrize(
    ("source", "destination", "wish", "route"),
    [
        pytest.param(
            HERE,
            HERE,
            Wish("qatzip"),
            Route(
                "relay pair",
                TO_DST,
                TO_DST,
                (FAR_RELAY, near("qatzip", member_size="packet")),
                "none",
                "none",
            ),
            id="neither has it: a pair",
        ),
        pytest.param(
            HERE,
            HERE,
            Wish("zstd"),
            built_in("zstd"),
            id="both have it: none",
        ),
        pytest.param(
            HERE,
            HERE_ALL,
            Wish("qatzip", level=3),
            Route("source relay", TO_DST, TO_DST, (near("qatzip", 3),), "none", "qatzip"),
            id="the destination has it: its relay is left out",
        ),
        pytest.param(
            HERE_ALL,
            HERE,
            Wish("qpl"),
            Route(
                "destination relay",
                TO_DST,
                TO_DST,
                (RelayStep("destination", D, "none"),),
                "qpl",
                "none",
            ),
            id="the source has it: its relay is left out",
        ),
        pytest.param(
            HERE,
            HERE,
            Wish("none", max_bandwidth=125_000_000),
            built_in("none", 125_000_000),
            id="a cap on none is QEMU's own",
        ),
        pytest.param(
            HERE,
            HERE,
            Wish("zstd", max_bandwidth=125_000_000),
            Route(
                "source relay",
                TO_DST,
                TO_DST,
                (near("zstd", None, 125_000_000),),
                "none",
                "zstd",
            ),
            id="7.2 cannot cap a compressed wire",
        ),
        pytest.param(
            HERE,
            HERE,
            Wish("zstd", level=3),
            Route("source relay", TO_DST, TO_DST, (near("zstd", 3),), "none", "zstd"),
            id="7.2 ignores the level",
        ),
        pytest.param(
            HERE_10,
            HERE,
            Wish("zstd", level=3),
            built_in("zstd"),
            id="10.0 heeds the level",
        ),
        pytest.param(
            HERE_10,
            HERE,
            Wish("zstd", max_bandwidth=125_000_000),
            built_in("zstd", 125_000_000),
            id="10.0 caps the wire itself",
        ),
        pytest.param(
            HERE,
            HERE,
            Wish("none", relay=RelayMode.BOTH),
            Route("relay pair", TO_DST, TO_DST, (FAR_RELAY, near("none")), "none", "none"),
            id="a pair for none, because it was asked for",
        ),
        pytest.param(
            HERE,
            FAR_ALL,
            Wish("qatzip"),
            Route(
                "source relay",
                "tcp:10.0.0.2:0",
                "tcp:10.0.0.2:0",
                (near("qatzip"),),
                "none",
                "qatzip",
            ),
            id="remote, with the method built in: the address is the monitor's",
        ),
        pytest.param(
            HERE,
            FAR,
            Wish("zstd", incoming="tcp:0.0.0.0:4455"),
            Route("QEMU built-in", "tcp:10.0.0.2:4455", "tcp:0.0.0.0:4455", (), "zstd", "zstd"),
            id="remote, listening on every address",
        ),
        pytest.param(
            HERE,
            FAR,
            Wish("qatzip", via="tcp:10.0.0.2:4400", incoming="unix:/run/in"),
            Route(
                "relay pair",
                "tcp:10.0.0.2:4400",
                "unix:/run/in",
                (near("qatzip"),),
                "none",
                "none",
            ),
            id="via a relay beside the remote destination",
        ),
        pytest.param(
            HERE,
            FORWARDED,
            Wish("zstd", via="tcp:10.0.0.2:4400", incoming="tcp:127.0.0.1:4455"),
            Route(
                "destination relay",
                "tcp:10.0.0.2:4400",
                "tcp:127.0.0.1:4455",
                (),
                "zstd",
                "none",
            ),
            id="via, and the source has the method",
        ),
        pytest.param(
            HERE,
            LISTENING,
            Wish("qatzip"),
            Route(
                "relay pair",
                "tcp:127.0.0.1:4455",
                None,
                (FAR_RELAY, near("qatzip", member_size="packet")),
                "none",
                "none",
            ),
            id="a destination that listens already",
        ),
        pytest.param(
            FAR,
            FAR,
            Wish("zlib"),
            Route("QEMU built-in", "tcp:10.0.0.2:0", "tcp:10.0.0.2:0", (), "zlib", "zlib"),
            id="both remote",
        ),
        pytest.param(
            HERE,
            FAR,
            Wish("none", via="relay:h:1", incoming="unix:/in", tls_creds="/c", insecure=True),
            Route(
                "relay pair",
                "relay:h:1",
                "unix:/in",
                (replace(near("none"), tls_creds="/c", insecure=True),),
                "none",
                "none",
            ),
            id="a relay connects to a relay",
        ),
        pytest.param(
            HERE,
            FAR,
            Wish("none", via="tls:h:1", incoming="unix:/in", tls_creds="/c"),
            Route(
                "relay pair",
                "tls:h:1",
                "unix:/in",
                (replace(near("none"), tls_creds="/c"),),
                "none",
                "none",
            ),
            id="a relay encrypts what goes to a far one",
        ),
    ],
)
def test_route(source: Party, destination: Party, wish: Wish, route: Route) -> None:
    assert plan(source, destination, wish, SOCKETS) == route


TLS = replace(HERE, facts=replace(FACTS, parameters={"tls-creds": "tls0"}))
OLD = replace(HERE, facts=replace(FACTS, methods=frozenset(), version=(3, 1, 0)))


@pytest.mark.parametrize(
    ("source", "destination", "wish", "error", "sentence"),
    [
        (
            HERE,
            HERE,
            {"method": "qatzip", "relay": "none"},
            MethodUnavailable,
            "built without qatzip",
        ),
        (
            HERE_ALL,
            HERE,
            {"method": "qpl", "relay": "none"},
            MethodUnavailable,
            "destination, QEMU",
        ),
        (HERE, HERE, {"method": "qatzip", "relay": "source"}, MethodUnavailable, "--relay source"),
        (HERE, FAR, {"method": "qatzip"}, MethodUnavailable, "name it with --via relay:HOST:PORT"),
        (HERE, FAR, {"method": "none", "relay": "both"}, MethodUnavailable, "not on this host"),
        (
            HERE,
            HERE,
            {"method": "zlib", "level": 6, "relay": "none"},
            MethodUnavailable,
            "ignores it",
        ),
        (
            HERE,
            HERE,
            {"method": "zlib", "max_bandwidth": 10**6, "relay": "none"},
            MethodUnavailable,
            "not wire bytes",
        ),
        (TLS, HERE, {"method": "qatzip"}, MethodUnavailable, "the source has tls-creds"),
        (HERE, TLS, {"method": "qatzip"}, MethodUnavailable, "the destination has tls-creds"),
        (OLD, HERE, {"method": "none"}, MethodUnavailable, "source, QEMU 3.1.0, has no multifd"),
        (FAR, HERE, {"method": "qatzip"}, UsageError, "run this command there"),
        (HERE, FORWARDED, {"method": "zstd"}, UsageError, "--incoming tcp:HOST:PORT"),
        (HERE, FAR, {"method": "zstd", "via": "tcp:h:1"}, UsageError, "--incoming"),
        (
            HERE,
            FAR,
            {"method": "zstd", "via": "tcp:h:1", "incoming": "tcp:0.0.0.0:0"},
            UsageError,
            "needs the port",
        ),
        (FAR, HERE, {"method": "zstd"}, UsageError, "cannot reach tcp:127.0.0.1:0"),
        (
            HERE,
            HERE,
            {"method": "zstd", "accelerator": "require"},
            UsageError,
            "is for method qatzip, not zstd",
        ),
        (
            HERE_ALL,
            HERE_ALL,
            {"method": "qatzip", "accelerator": "require"},
            UsageError,
            "for relays on this host, and none is needed",
        ),
        (
            HERE_ALL,
            HERE,
            {"method": "qatzip", "member_size": "packet"},
            UsageError,
            "--member-size is for the source's relay, and none is needed",
        ),
        (FAR_ALL, HERE, {"method": "qpl"}, UsageError, "cannot reach a relay here"),
        (HERE, HERE, {"method": "zstd", "tls_creds": "/c"}, UsageError, "no two relays meet here"),
        (
            HERE,
            HERE_ALL,
            {"method": "qatzip", "tls_creds": "/c"},
            UsageError,
            "no two relays meet here",
        ),
        (
            HERE,
            FAR,
            {
                "method": "zstd",
                "via": "tcp:h:1",
                "incoming": "unix:/in",
                "relay": "source",
                "tls_creds": "/c",
            },
            UsageError,
            "name the far relay with --via relay:HOST:PORT",
        ),
        (HERE, HERE, {"method": "zstd", "decide": 9.0}, UsageError, "--decide is for two relays"),
        (
            HERE,
            FAR,
            {"method": "none", "via": "tls:h:1", "incoming": "unix:/in", "decide": 9.0},
            UsageError,
            "name the far relay with --via relay:HOST:PORT",
        ),
        (
            HERE,
            FAR,
            {"method": "zstd", "via": "relay:h:1", "incoming": "unix:/in", "relay": "none"},
            MethodUnavailable,
            "only a relay connects to relay:h:1: leave out --relay none",
        ),
        (HERE, HERE, {"method": "auto", "relay": "none"}, UsageError, "leave out --relay none"),
        (
            HERE,
            HERE,
            {"method": "zstd", "auto_level": True, "relay": "none"},
            MethodUnavailable,
            "has one level for all packets: leave out --relay none",
        ),
        (HERE, HERE, {"method": "auto", "relay": "source"}, UsageError, "leave out --relay source"),
        (
            HERE,
            HERE,
            {"method": "auto", "accelerator": "require"},
            UsageError,
            "--method auto takes a device where one pays",
        ),
        (
            HERE,
            HERE,
            {"method": "qatzip", "auto_level": True, "accelerator": "require"},
            UsageError,
            "--level auto takes a device where one pays",
        ),
        (
            HERE,
            FAR,
            {"method": "auto", "via": "tcp:h:1", "incoming": "unix:/in"},
            UsageError,
            "name it as --via relay:HOST:PORT",
        ),
        (HERE, FAR, {"method": "auto"}, MethodUnavailable, "see `ramferry plan time`"),
        (HERE, FAR, {"method": "auto"}, MethodUnavailable, "with --level auto"),
        (HERE, FAR, {"method": "auto"}, MethodUnavailable, "Without one, --relay none --link RATE"),
        (HERE, HERE, {"method": "auto", "relay": "source"}, UsageError, "--relay none --link RATE"),
    ],
)
def test_refusals_say_what_to_do(
    source: Party,
    destination: Party,
    wish: dict[str, Any],
    error: type[RamferryError],
    sentence: str,
) -> None:
    mode = RelayMode(wish.pop("relay", "auto"))
    with pytest.raises(error) as caught:
        plan(source, destination, Wish(relay=mode, **wish), SOCKETS)
    assert sentence in str(caught.value)


A, B = UUID(int=0xA), UUID(int=0xB)


def as_(party: Party, uuid: UUID | None) -> Party:
    return replace(party, facts=replace(party.facts, uuid=uuid))


@pytest.mark.parametrize(
    ("destination", "wish", "stations"),
    [
        (HERE, Wish("zstd"), [("source", str(B))]),
        (HERE, Wish("none"), [("source", str(B))]),
        (HERE, Wish("qatzip"), [("destination", str(B)), ("source", "")]),
        (HERE, Wish("zstd", relay=RelayMode.BOTH), [("destination", str(B)), ("source", "")]),
        (FAR, Wish("zstd"), [("source", str(B))]),
        (
            FAR,
            Wish("qatzip", via="tcp:h:1", incoming="tcp:0.0.0.0:2"),
            [("source", str(B))],
        ),
        (FAR, Wish("none", via="tcp:h:1", incoming="tcp:0.0.0.0:2"), [("source", str(B))]),
    ],
)
def test_a_relay_sends_the_uuid_that_the_destination_expects(
    destination: Party, wish: Wish, stations: list[tuple[str, str]]
) -> None:
    route = plan(as_(HERE, A), as_(destination, B), wish, SOCKETS)
    assert [(step.side, step.uuid) for step in route.relays] == stations


def test_a_destination_relay_alone_does_it() -> None:
    route = plan(as_(HERE_ALL, A), as_(HERE, B), Wish("qatzip"), SOCKETS)
    assert [(step.side, step.uuid) for step in route.relays] == [("destination", str(B))]


@pytest.mark.parametrize(("one", "other"), [(A, A), (None, B), (A, None), (None, None)])
def test_no_relay_for_uuids_that_are_not_known_to_differ(
    one: UUID | None, other: UUID | None
) -> None:
    assert plan(as_(HERE, one), as_(HERE, other), Wish("zstd"), SOCKETS).relays == ()


def test_without_a_relay_other_uuids_are_refused_by_name() -> None:
    wish = Wish("zstd", relay=RelayMode.NONE)
    with pytest.raises(MethodUnavailable, match=f"-uuid is {A} .* is {B}.*leave out --relay none"):
        plan(as_(HERE, A), as_(HERE, B), wish, SOCKETS)
    with pytest.raises(UsageError, match=f"-uuid is {A} .* is {B}.*run this command there"):
        plan(as_(FAR, A), as_(HERE, B), Wish("zstd"), SOCKETS)


def test_tls_is_no_matter_without_a_relay() -> None:
    assert plan(TLS, TLS, Wish("zstd"), SOCKETS).relays == ()


def test_both_relays_learn_the_page_size() -> None:
    wish = Wish("qatzip", relay=RelayMode.BOTH, page_size=8192)
    assert [step.page_size for step in plan(HERE, HERE, wish, SOCKETS).relays] == [8192, 8192]


def test_both_relays_learn_the_accelerator() -> None:
    steps = plan(HERE, HERE, Wish("qatzip", accelerator="require"), SOCKETS).relays
    assert [step.accelerator for step in steps] == ["require", "require"]


class Apart(host.Here):
    """Of relays only, as a host by ssh is."""

    apart = True


def test_a_host_by_ssh_takes_no_certificates_of_ours() -> None:
    far = replace(HERE, host=Apart())
    with pytest.raises(UsageError, match="made for it: leave out --tls-creds"):
        plan(HERE, far, Wish("zstd", tls_creds="/c"), SOCKETS)


def test_both_relays_encrypt_what_goes_between_them() -> None:
    wish = Wish("qatzip", tls_creds="/c", insecure=True)
    steps = plan(HERE, HERE, wish, SOCKETS).relays
    assert [(step.tls_creds, step.insecure) for step in steps] == [("/c", True)] * 2


@pytest.mark.parametrize("destination", [HERE, replace(HERE, host=Apart())], ids=["here", "ssh"])
@pytest.mark.parametrize("decide", [None, 7.5])
def test_both_relays_learn_how_long_to_ask(destination: Party, decide: float | None) -> None:
    steps = plan(HERE, destination, Wish("qatzip", decide=decide), SOCKETS).relays
    assert [step.decide for step in steps] == [decide] * 2


def test_methods_are_chosen_between_two_relays_at_relay() -> None:
    route = plan(HERE, HERE, Wish("auto", cpu_limit=0.5), SOCKETS)
    far, near = route.relays
    assert (far.method, near.method) == ("none", "auto")
    assert far.listen == "relay:127.0.0.1:0"
    assert [step.cpu_limit for step in route.relays] == [0.5, 0.5]
    assert (route.source_method, route.destination_method) == ("none", "none")


def test_methods_are_chosen_towards_a_relay_that_runs_already() -> None:
    wish = Wish("auto", via="relay:h:1", incoming="unix:/in")
    (step,) = plan(HERE, FAR, wish, SOCKETS).relays
    assert step.method == "auto"


def test_a_level_that_is_chosen_needs_a_relay_at_the_source_only() -> None:
    wish = Wish("zstd", auto_level=True, cpu_limit=0.5)
    route = plan(HERE, HERE, wish, SOCKETS)
    (step,) = route.relays
    assert (route.name, step.side, step.method) == ("source relay", "source", "zstd")
    assert (step.level, step.auto_level, step.cpu_limit) == (None, True, 0.5)
    assert (route.source_method, route.destination_method) == ("none", "zstd")


def test_a_level_is_chosen_between_relays_as_well() -> None:
    far, near = plan(HERE, HERE, Wish("qatzip", auto_level=True), SOCKETS).relays
    assert (far.auto_level, near.auto_level, near.method) == (False, True, "qatzip")


@pytest.mark.parametrize(
    ("wish", "relays", "advised"),
    [
        (Wish("zstd", auto_level=True), 1, True),
        (Wish("zstd", auto_level=True, via="tcp:h:1"), 1, True),
        (Wish("zstd", auto_level=True, via="relay:h:1"), 1, False),
        (Wish("zstd", auto_level=True), 2, False),
        (Wish("zstd"), 1, False),
    ],
)
def test_what_a_relay_at_the_destination_could_do_is_said_where_there_is_none(
    wish: Wish, relays: int, *, advised: bool
) -> None:
    assert ("--method auto could choose the method" in advice(wish, relays)) == advised


def test_a_relay_that_meets_another_learns_how_long_to_ask() -> None:
    wish = Wish("none", via="relay:h:1", incoming="unix:/in", decide=7.5)
    (step,) = plan(HERE, FAR, wish, SOCKETS).relays
    assert step.decide == 7.5


NETNS = replace(HERE, host=Namespace("far", "10.1.0.2"))
VIA = {"via": "tcp:h:1", "incoming": "tcp:0.0.0.0:2"}


@pytest.mark.parametrize(
    ("destination", "wish", "seen", "asked"),
    [
        pytest.param(HERE, {}, False, "packet", id="a relay here, no device"),
        pytest.param(NETNS, {}, False, "packet", id="a namespace is of this host"),
        pytest.param(HERE, {}, True, "auto", id="a relay here that may have a device"),
        pytest.param(HERE, {"accelerator": "off"}, True, "packet", id="the device is left alone"),
        pytest.param(HERE, {"accelerator": "require"}, False, "auto", id="only a device will do"),
        pytest.param(HERE, {"member_size": "64K"}, False, "64K", id="64K as asked"),
        pytest.param(HERE, {"member_size": "packet"}, True, "packet", id="packet as asked"),
        pytest.param(HERE_ALL, {}, False, "auto", id="a QEMU inflates"),
        pytest.param(FAR, VIA, False, "auto", id="a relay elsewhere inflates"),
        pytest.param(
            FAR, {**VIA, "accelerator": "off"}, False, "auto", id="which has options of its own"
        ),
        pytest.param(FAR, {**VIA, "member_size": "packet"}, False, "packet", id="and is told"),
        pytest.param(HERE, {"method": "zstd"}, False, "auto", id="another method"),
    ],
)
def test_packets_are_one_member_if_no_device_can_inflate_them(
    destination: Party, wish: dict[str, Any], seen: bool, asked: str, device: list[str]
) -> None:
    device += ["4xxx"] * seen
    mode = RelayMode.AUTO if destination in (HERE_ALL, FAR) else RelayMode.BOTH
    steps = plan(
        HERE, destination, Wish(**{"method": "qatzip", "relay": mode, **wish}), SOCKETS
    ).relays
    found = {step.side: step.member_size for step in steps}
    assert found.pop("source") == asked
    assert set(found.values()) <= {"auto"}, "it compresses nothing"


@pytest.mark.parametrize("accelerator", ["auto", "require", "off"])
def test_of_another_host_it_is_not_known_whether_it_has_a_device(accelerator: str) -> None:
    assert (
        members_for(Elsewhere("10.0.0.2"), accelerator) == members_for(None, accelerator) == "auto"
    )
