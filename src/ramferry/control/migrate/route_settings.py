"""What a route needs of its two QEMUs: their capabilities and migration parameters. Pure."""

from __future__ import annotations

from ramferry.control.migrate.route import Route, Wish
from ramferry.control.qemu.probe import QemuFacts
from ramferry.control.qemu.settings import (
    ACK,
    MigrationSettings,
    announcing,
    multifd,
    needed,
)
from ramferry.vocabulary import LEVEL_PARAMETERS


def source_settings(
    facts: QemuFacts, route: Route, wish: Wish, destination: QemuFacts
) -> MigrationSettings:
    """What the source needs. Its ``max-bandwidth`` is set so that the relay's cap limits the
    migration, and not QEMU's default of 1 Gbit/s.

    :param destination: if it has no ``switchover-ack``, the source must not wait for one.
    """
    parameters = multifd(route.source_method, wish.channels)
    parameters["downtime-limit"] = wish.downtime_limit_ms
    parameters["max-bandwidth"] = route.source_bandwidth
    if wish.level is not None and route.source_method in LEVEL_PARAMETERS:
        parameters[LEVEL_PARAMETERS[route.source_method]] = wish.level
    capabilities = needed(facts) | announcing(facts)
    if ACK in facts.capabilities and ACK not in destination.capabilities:
        capabilities[ACK] = False
    return MigrationSettings(capabilities, parameters)


def destination_settings(
    facts: QemuFacts, route: Route, wish: Wish, source: QemuFacts
) -> MigrationSettings:
    """What the destination needs, before it listens.

    :param source: its ``switchover-ack`` decides whether the destination has it on.
    """
    capabilities = needed(facts)
    if ACK in facts.capabilities:
        capabilities[ACK] = source.capabilities.get(ACK, False)
    return MigrationSettings(capabilities, multifd(route.destination_method, wish.channels))
