"""Capabilities and parameters: what a route needs, what that changes, and how to undo it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ramferry.control.migrate.route import Route, Wish
from ramferry.control.qemu.probe import QemuFacts

LEVEL_PARAMETER = {
    "zlib": "multifd-zlib-level",
    "zstd": "multifd-zstd-level",
    "qatzip": "multifd-qatzip-level",
}
"""QEMU's parameter for a method's level; the other methods have none."""

NEEDED = ("multifd", "return-path")
"""Without the return path a source says "completed" when bytes reach a buffer (wire facts §1)."""

IN_THE_WAY = (
    "background-snapshot",
    "compress",
    "mapped-ram",
    "postcopy-ram",
    "rdma-pin-all",
    "x-colo",
    "x-ignore-shared",
    "xbzrle",
)
"""Capabilities that exclude multifd, leave guest memory out, or change the stream into one that no
relay carries."""

ZERO_COPY = "zero-copy-send"

PAUSE = "pause-before-switchover"
"""With it on, a source waits for ``migrate-continue`` once its guest stands still."""

ACK = "switchover-ack"
"""With it on, a source goes round and round until the destination agrees to the switchover, which
only a destination with it on does."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Capabilities and migration parameters, by QEMU's names."""

    capabilities: Mapping[str, bool]
    parameters: Mapping[str, int | str]

    @property
    def empty(self) -> bool:
        """True where there is nothing to set."""
        return not self.capabilities and not self.parameters


def source_settings(facts: QemuFacts, route: Route, wish: Wish, destination: QemuFacts) -> Settings:
    """What the source needs; its max-bandwidth counts guest bytes, so that a relay's cap, not
    QEMU's default of 1 Gbit/s, is what holds.

    :param destination: an old one, which has no switchover-ack, never agrees to a switchover.
    """
    parameters = _multifd(route.source_method, wish.channels)
    parameters["downtime-limit"] = wish.downtime_limit_ms
    parameters["max-bandwidth"] = route.source_bandwidth
    if wish.level is not None and route.source_method in LEVEL_PARAMETER:
        parameters[LEVEL_PARAMETER[route.source_method]] = wish.level
    capabilities = _capabilities(facts) | _announcing(facts)
    if ACK in facts.capabilities and ACK not in destination.capabilities:
        capabilities[ACK] = False
    return Settings(capabilities, parameters)


def destination_settings(facts: QemuFacts, route: Route, wish: Wish, source: QemuFacts) -> Settings:
    """What the destination needs, before it listens.

    :param source: whether the destination is to agree to the switchover is for it to say.
    """
    capabilities = _capabilities(facts)
    if ACK in facts.capabilities:
        capabilities[ACK] = source.capabilities.get(ACK, False)
    return Settings(capabilities, _multifd(route.destination_method, wish.channels))


def save_settings(facts: QemuFacts, channels: int, *, pause: bool) -> Settings:
    """What a source needs whose guest goes into a file on its own host, at full speed.

    :param channels: multifd channels; 0: the pages come on main.
    :param pause: whether it is to wait before the switchover, for somebody who lets it go on.
    """
    parameters: dict[str, int | str] = {"max-bandwidth": 0}
    if "mode" in facts.parameters:
        parameters["mode"] = "normal"  # cpr-transfer leaves memory out
    if channels:
        parameters |= _multifd("none", channels)
    capabilities = _capabilities(facts) | {"multifd": channels > 0} | _announcing(facts)
    if pause or PAUSE in facts.capabilities:
        capabilities[PAUSE] = pause
    if ACK in facts.capabilities:
        capabilities[ACK] = False  # no device waits in a file
    if ZERO_COPY in facts.capabilities:
        capabilities[ZERO_COPY] = False  # QEMU refuses it over a UNIX socket
    return Settings(capabilities, parameters)


def restore_settings(facts: QemuFacts, method: str, channels: int) -> Settings:
    """What a destination needs whose guest comes out of a file."""
    return Settings(_capabilities(facts), _multifd(method, channels))


def _multifd(method: str, channels: int) -> dict[str, int | str]:
    return {"multifd-channels": channels, "multifd-compression": method}


def _capabilities(facts: QemuFacts) -> dict[str, bool]:
    off = {name: False for name in IN_THE_WAY if name in facts.capabilities}
    return off | dict.fromkeys(NEEDED, True)


def _announcing(facts: QemuFacts) -> dict[str, bool]:
    """With ``events`` the source announces a status, so that the end is seen at once."""
    return {"events": True} if "events" in facts.capabilities else {}


def difference(wanted: Settings, facts: QemuFacts) -> tuple[Settings, Settings]:
    """What has to be set, and what sets it back: only what differs from how the QEMU stands.

    A capability or parameter that the QEMU does not have is set all the same, so that it is the
    QEMU that refuses it by name; there is nothing to set back then.
    """
    capabilities = {
        name: state
        for name, state in wanted.capabilities.items()
        if facts.capabilities.get(name) is not state
    }
    parameters = {
        name: value
        for name, value in wanted.parameters.items()
        if facts.parameters.get(name) != value
    }
    return Settings(capabilities, parameters), Settings(
        {name: facts.capabilities[name] for name in capabilities if name in facts.capabilities},
        {name: _plain(facts.parameters[name]) for name in parameters if name in facts.parameters},
    )


def _plain(value: object) -> int | str:
    return value if isinstance(value, int) else str(value)


def capability_list(capabilities: Mapping[str, bool]) -> list[dict[str, object]]:
    """In the form ``migrate-set-capabilities`` takes."""
    return [{"capability": name, "state": state} for name, state in capabilities.items()]
