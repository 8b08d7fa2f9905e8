"""What a relay's settings have to be before it listens."""

from __future__ import annotations

from ramferry.codec import create_decoder, create_encoder
from ramferry.errors import UsageError
from ramferry.flows.settings import RelaySettings
from ramferry.transport.naming import check_names
from ramferry.transport.security import IN_THIS_HOST
from ramferry.vocabulary import REQUIRE


def check_settings(settings: RelaySettings) -> None:
    """Find the caller's errors, and a device that is required and not there, before anything
    listens.

    :raise UsageError: a wrong method or level, or a destination that the policy does not allow.
    :raise HostError: there is no such device.
    """
    create_encoder(
        settings.method,
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
    check_names(settings.listen, settings.connect)
    (settings.security or IN_THIS_HOST).check_connect(settings.connect)
