"""What a relay's settings have to be before it listens."""

from __future__ import annotations

from ramferry.codec import check_choice, create_decoder, create_encoder
from ramferry.errors import UsageError
from ramferry.flows.outlet.chosen import chooses, load
from ramferry.flows.settings import RelaySettings
from ramferry.transport.naming import check_names
from ramferry.transport.security import IN_THIS_HOST
from ramferry.vocabulary import AUTO, REQUIRE


def check_settings(settings: RelaySettings) -> None:
    """Find the caller's errors, and a device that is required and not there, before anything
    listens.

    :raise UsageError: a wrong method or level, or a destination that the policy does not allow.
    :raise HostError: there is no such device.
    """
    check_choice(
        settings.method,
        settings.level,
        auto_level=settings.auto_level,
        member_size=settings.member_size,
        accelerator=settings.accelerator,
    )
    if settings.method == AUTO:
        _check_far_end(settings)
    create_encoder(
        "none" if settings.method == AUTO else settings.method,
        settings.level,
        page_size=settings.page_size,
        accelerator=settings.accelerator,
        member_size=settings.member_size,
    )
    if settings.accelerator == REQUIRE:
        create_decoder("qatzip", accelerator=REQUIRE)
    if settings.max_migrations > 1 and settings.uuid is not None:
        raise UsageError(
            "--uuid is of one destination: it does not go with --max-migrations above 1"
        )
    if chooses(settings):
        load()
    check_names(settings.listen, settings.connect)
    (settings.security or IN_THIS_HOST).check_connect(settings.connect)


def _check_far_end(settings: RelaySettings) -> None:
    """:raise UsageError: methods cannot be chosen from packet to packet."""
    if not settings.to_ramferry:
        raise UsageError(
            f"--method auto needs a Ramferry at the far end (relay:HOST:PORT), and"
            f" {settings.connect} may be a QEMU, which takes one method a migration: start a relay"
            " there, or name the QEMU's own method, with --level auto if its level is to be"
            " chosen"
        )
