"""The migration capabilities and parameters that Ramferry sets, and how they are set back. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ramferry.control.qemu.probe import QemuFacts

NEEDED = ("multifd", "return-path")
"""The capabilities that every migration needs. Without the return path a source says "completed" as
soon as its last bytes are in a buffer (``docs/wire-format.md``, section 5)."""

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

AUTO_CONVERGE = "auto-converge"
"""Capability: a guest that writes faster than it moves is slowed down. It lasts as long as the
migration, and so do the parameters that say how far it goes."""

MOVING = frozenset(
    {"downtime-limit", "cpu-throttle-initial", "cpu-throttle-increment", "max-cpu-throttle"}
)
"""Parameters that are set anew while memory moves, and so are set back in any case."""

Tell = Callable[[str, Mapping[str, object]], None]
"""Sends a QEMU a command with its arguments."""

PAUSE = "pause-before-switchover"
"""Capability: the source waits for ``migrate-continue`` once its guest stands still."""

ACK = "switchover-ack"
"""Capability: the source repeats rounds until the destination agrees to the switchover, which it
does only if it has the capability on as well."""


@dataclass(frozen=True, slots=True)
class MigrationSettings:
    """Capabilities and migration parameters, by QEMU's names."""

    capabilities: Mapping[str, bool]
    parameters: Mapping[str, int | str]

    @property
    def empty(self) -> bool:
        """True if there is nothing to set."""
        return not self.capabilities and not self.parameters


def multifd(method: str, channels: int) -> dict[str, int | str]:
    """The migration parameters for multifd."""
    return {"multifd-channels": channels, "multifd-compression": method}


def needed(facts: QemuFacts) -> dict[str, bool]:
    """The capabilities that every migration sets: ``NEEDED`` on, and those of ``IN_THE_WAY`` that
    the QEMU has off."""
    off = {name: False for name in IN_THE_WAY if name in facts.capabilities}
    return off | dict.fromkeys(NEEDED, True)


def announcing(facts: QemuFacts) -> dict[str, bool]:
    """The ``events`` capability, if the QEMU has it: each status is announced, so that the end is
    seen at once."""
    return {"events": True} if "events" in facts.capabilities else {}


def difference(
    wanted: MigrationSettings, facts: QemuFacts
) -> tuple[MigrationSettings, MigrationSettings]:
    """The settings that differ from the QEMU's present ones, and those that set them back, with
    those of ``MOVING``.

    A capability or parameter that the QEMU does not have is set all the same, so that the QEMU
    refuses it by name. There is nothing to set back then.
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
        {
            name: _plain(facts.parameters[name])
            for name in wanted.parameters
            if name in facts.parameters and (name in parameters or name in MOVING)
        },
    )


def _plain(value: object) -> int | str:
    return value if isinstance(value, int) else str(value)


def capability_list(capabilities: Mapping[str, bool]) -> list[dict[str, object]]:
    """Capabilities in the form that ``migrate-set-capabilities`` takes."""
    return [{"capability": name, "state": state} for name, state in capabilities.items()]
