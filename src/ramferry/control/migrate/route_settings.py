"""What a route needs of its two QEMUs: their capabilities and migration parameters. Pure."""

from __future__ import annotations

from ramferry.control.migrate.on_stall import OnStall
from ramferry.control.migrate.qemu_hands import throttle_settings
from ramferry.control.migrate.ramp import first_limit
from ramferry.control.migrate.route import Route, Wish
from ramferry.control.qemu.probe import QemuFacts
from ramferry.control.qemu.settings import (
    ACK,
    AUTO_CONVERGE,
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
    migration, and not QEMU's default of 1 Gbit/s. Its ``downtime-limit`` begins small.

    :param destination: if it has no ``switchover-ack``, the source must not wait for one.
    """
    parameters = multifd(route.source_method, wish.channels)
    parameters["downtime-limit"] = first_limit(wish.downtime_limit_ms)
    parameters |= throttle_settings(facts, wish.on_stall)
    parameters["max-bandwidth"] = route.source_bandwidth
    if wish.level is not None and route.source_method in LEVEL_PARAMETERS:
        parameters[LEVEL_PARAMETERS[route.source_method]] = wish.level
    capabilities = needed(facts) | announcing(facts)
    if wish.on_stall is OnStall.THROTTLE:
        capabilities[AUTO_CONVERGE] = True
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
