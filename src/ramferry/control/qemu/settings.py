"""Capabilities and parameters: what each migration of ours sets, what that changes, and how that is
undone. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ramferry.control.qemu.probe import QemuFacts

NEEDED = ("multifd", "return-path")
"""Without the return path a source says "completed" as soon as its last bytes are in a buffer
(docs/wire-format.md, section 5)."""

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
class MigrationSettings:
    """Capabilities and migration parameters, by QEMU's names."""

    capabilities: Mapping[str, bool]
    parameters: Mapping[str, int | str]

    @property
    def empty(self) -> bool:
        """True where there is nothing to set."""
        return not self.capabilities and not self.parameters


def multifd(method: str, channels: int) -> dict[str, int | str]:
    """The parameters of multifd."""
    return {"multifd-channels": channels, "multifd-compression": method}


def needed(facts: QemuFacts) -> dict[str, bool]:
    """The capabilities of any migration of ours, of those that the QEMU has or has to have."""
    off = {name: False for name in IN_THE_WAY if name in facts.capabilities}
    return off | dict.fromkeys(NEEDED, True)


def announcing(facts: QemuFacts) -> dict[str, bool]:
    """With ``events`` the source announces a status, so that the end is seen at once."""
    return {"events": True} if "events" in facts.capabilities else {}


def difference(
    wanted: MigrationSettings, facts: QemuFacts
) -> tuple[MigrationSettings, MigrationSettings]:
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
    return MigrationSettings(capabilities, parameters), MigrationSettings(
        {name: facts.capabilities[name] for name in capabilities if name in facts.capabilities},
        {name: _plain(facts.parameters[name]) for name in parameters if name in facts.parameters},
    )


def _plain(value: object) -> int | str:
    return value if isinstance(value, int) else str(value)


def capability_list(capabilities: Mapping[str, bool]) -> list[dict[str, object]]:
    """In the form ``migrate-set-capabilities`` takes."""
    return [{"capability": name, "state": state} for name, state in capabilities.items()]
