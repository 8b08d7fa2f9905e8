"""A destination whose way is one for relays only: both relays, and where they meet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import test_route

from ramferry.control.hosts.host import Here
from ramferry.control.migrate.relay_child import relay_arguments
from ramferry.control.migrate.relays import _secrets
from ramferry.control.migrate.route import RelayMode, Wish, plan
from ramferry.errors import UsageError
from ramferry.vocabulary import RELAY_PAIR


class Apart(Here):
    """Stands for a host by ssh."""

    apart = True
    where = "relay:192.0.2.2:4444"

    def meeting(self) -> str:
        return self.where


class ThroughSsh(Apart):
    where = "relay:unix:/far/relay"


FAR = replace(test_route.HERE_ALL, uri="ssh://beta/run/q", host=Apart())


@pytest.mark.parametrize("mode", [RelayMode.AUTO, RelayMode.BOTH])
@pytest.mark.parametrize("method", ["none", "zstd", "qatzip"])
def test_both_relays_always(mode: RelayMode, method: str) -> None:
    route = plan(test_route.HERE_ALL, FAR, Wish(method, relay=mode), test_route.SOCKETS)
    far, near = route.relays
    assert route.name == RELAY_PAIR
    assert (far.side, far.listen, far.method) == ("destination", "relay:192.0.2.2:4444", "none")
    assert (near.side, near.method) == ("source", method)
    assert route.incoming == test_route.TO_DST
    assert (route.source_method, route.destination_method) == ("none", "none")


def test_how_long_they_ask_one_another() -> None:
    route = plan(test_route.HERE, FAR, Wish("zstd", decide=7.0), test_route.SOCKETS)
    assert [step.decide for step in route.relays] == [7.0, 7.0]


@pytest.mark.parametrize(
    ("wish", "option"),
    [
        ({"relay": RelayMode.NONE}, "--relay none"),
        ({"relay": RelayMode.SOURCE}, "--relay source"),
        ({"via": "tcp:h:1", "incoming": "tcp:h:2"}, "--via"),
        ({"tls_creds": "/pki"}, "--tls-creds"),
        ({"insecure": True}, "--insecure"),
    ],
)
def test_nothing_else(wish: dict[str, Any], option: str) -> None:
    with pytest.raises(UsageError, match=f"leave out {option}"):
        plan(test_route.HERE, FAR, Wish("zstd", **wish), test_route.SOCKETS)


def test_credentials_are_made_for_both_and_stand_in_no_argument() -> None:
    route = plan(test_route.HERE, FAR, Wish("zstd"), test_route.SOCKETS)
    secrets = _secrets(route)
    assert set(secrets) == {"source", "destination"}
    for step in route.relays:
        line = relay_arguments(step, "unix:/d", 8, secret=True)
        assert line[-2:] == ["--tls-creds-fd", "0"]
        assert "--insecure" not in line
        assert not any("PRIVATE KEY" in word for word in line)
    assert _secrets(route) != secrets


@pytest.mark.parametrize(
    "party", [test_route.HERE, replace(FAR, host=ThroughSsh())], ids=["one host", "through ssh"]
)
def test_none_are_made_where_nobody_else_can_listen(party: Any) -> None:
    wish = Wish("zstd", relay=RelayMode.BOTH)
    assert _secrets(plan(test_route.HERE, party, wish, test_route.SOCKETS)) == {}
