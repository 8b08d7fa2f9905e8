"""What a save and a restore need of their QEMU: capabilities and migration parameters. Pure."""

from __future__ import annotations

from ramferry.control.qemu.probe import QemuFacts
from ramferry.control.qemu.settings import (
    ACK,
    PAUSE,
    ZERO_COPY,
    MigrationSettings,
    announcing,
    multifd,
    needed,
)


def save_settings(facts: QemuFacts, channels: int, *, pause: bool) -> MigrationSettings:
    """What a source needs if its guest goes into a file on the same host, at full speed.

    :param channels: multifd channels; 0: the pages come on main.
    :param pause: whether it is to wait before the switchover until ``migrate-continue`` comes.
    """
    parameters: dict[str, int | str] = {"max-bandwidth": 0}
    if "mode" in facts.parameters:
        parameters["mode"] = "normal"  # cpr-transfer leaves memory out
    if channels:
        parameters |= multifd("none", channels)
    capabilities = needed(facts) | {"multifd": channels > 0} | announcing(facts)
    if pause or PAUSE in facts.capabilities:
        capabilities[PAUSE] = pause
    if ACK in facts.capabilities:
        capabilities[ACK] = False  # no device waits in a file
    if ZERO_COPY in facts.capabilities:
        capabilities[ZERO_COPY] = False  # QEMU refuses it over a UNIX socket
    return MigrationSettings(capabilities, parameters)


def restore_settings(facts: QemuFacts, method: str, channels: int) -> MigrationSettings:
    """What a destination needs if its guest comes out of a file."""
    return MigrationSettings(needed(facts), multifd(method, channels))
