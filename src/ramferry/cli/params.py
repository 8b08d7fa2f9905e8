"""Parameter types that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from ramferry.errors import UsageError
from ramferry.transport.address import WILDCARDS, TcpAddress, parse_place
from ramferry.units import parse_rate, parse_size
from ramferry.vocabulary import (
    ACCELERATORS,
    AUTO,
    DECIDE_SECONDS,
    MAX_CHANNELS,
    MAX_DOWNTIME_LIMIT_MS,
    MEMBER_SIZES,
    PAGE_SIZE,
    PAGE_SIZES,
)

Command = TypeVar("Command", bound=Callable[..., Any])


def is_given(option: str) -> bool:
    """Whether the caller gave an option of the command that runs, or it has its default.

    :param option: its name as a parameter.
    """
    source = click.get_current_context().get_parameter_source(option)
    return source not in (None, ParameterSource.DEFAULT)


class Rate(click.ParamType):  # type: ignore[type-arg] # generic in newer click only
    """Bytes per second: ``125M`` is 125 000 000, ``64Mi`` is 67 108 864, ``1Gbit`` 125 000 000."""

    name = "rate"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number and a unit; it is bytes unless the unit says ``bit``."""
        if isinstance(value, int | float):
            return float(value)
        rate = parse_rate(str(value))
        if rate is None:
            self.fail(f"{value!r} is no rate: write bytes per second as 125M or 1Gbit", param, ctx)
        return rate


RATE: Final = Rate()


class RateOrProbe(Rate):
    """A rate, or ``probe:HOST:PORT``: where a probe of the link waits; or ``ssh://HOST``, where it
    is to be started."""

    name = "link"

    def convert(  # type: ignore[override] # a rate, or where to find one out
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | TcpAddress | str:
        """Read a rate, or where a probe waits or is to be started."""
        if isinstance(value, str) and value.startswith("ssh:"):
            return value
        if not isinstance(value, str) or not value.startswith(PROBE):
            return super().convert(value, param, ctx)
        try:
            address = parse_place(f"tcp:{value.removeprefix(PROBE)}")
        except UsageError:
            address = None
        if not isinstance(address, TcpAddress) or not address.port or address.host in WILDCARDS:
            self.fail(f"{value!r} names no host and port: write probe:HOST:PORT", param, ctx)
        return address


PROBE: Final = "probe:"
LINK: Final = RateOrProbe()


class Seconds(click.FloatRange):
    """A finite number of seconds within a range: ``nan`` passes every comparison with a limit."""

    name = "seconds"

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Read a number, check the range, refuse infinity and ``nan``."""
        seconds = float(super().convert(value, param, ctx))
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is no number of seconds", param, ctx)
        return seconds


class Size(click.ParamType):  # type: ignore[type-arg] # generic in newer click only
    """Bytes of memory in whole MiB, by binary units as QEMU's ``-m`` has them: ``512M``, ``2G``."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Read a number and a unit; without a unit it is MiB."""
        if isinstance(value, int):
            return value
        size = parse_size(str(value))
        if size is None:
            self.fail(f"{value!r} is no memory size: write whole MiB as 512M or 2G", param, ctx)
        return size


SIZE: Final = Size()


class Level(click.ParamType):  # type: ignore[type-arg] # generic in newer click only
    """A number, or ``auto`` where a relay may choose each packet's."""

    name = "level"

    def __init__(self, *, auto: bool) -> None:
        """:param auto: whether the command takes ``auto``."""
        self._auto = auto

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """Read a number or ``auto``."""
        if isinstance(value, int):
            return value
        if value == AUTO and self._auto:
            return AUTO
        if value == AUTO:
            self.fail(
                "auto is for `ramferry relay` and `ramferry migrate`, whose relay sees how fast a"
                " link is: name a number",
                param,
                ctx,
            )
        try:
            return int(str(value))
        except ValueError:
            meant = "neither a number nor auto" if self._auto else "no number"
            self.fail(f"{value!r} is {meant}", param, ctx)


def level_of(level: int | str | None) -> tuple[int | None, bool]:
    """The level that a ``Level`` names, and whether each packet's is to be chosen."""
    return (None, True) if isinstance(level, str) else (level, False)


level_option = click.option(
    "--level", type=Level(auto=False), metavar="N", help="Level of the method.  [default: 1]"
)


def auto_level_option(help: str) -> Callable[[Command], Command]:
    """``--level`` of a command whose relay may choose each packet's.

    :param help: what ``auto`` does there; the first sentence is added.
    """
    return click.option(
        "--level",
        type=Level(auto=True),
        metavar="N|auto",
        help=f"Level of the method. auto: {help}  [default: 1]",
    )


channels_option = click.option(
    "--channels",
    type=click.IntRange(1, MAX_CHANNELS),
    default=8,
    show_default=True,
    help="multifd-channels of the migration.",
)
"""For ``plan``; commands that carry a migration have an option with a longer help."""


def archive_channels_option(help: str) -> Callable[[Command], Command]:
    """``--channels`` of a command that saves or restores.

    :param help: what the channels do there; the default is added.
    """
    return click.option(
        "--channels",
        type=click.IntRange(1, MAX_CHANNELS),
        default=_channels_here,
        help=f"{help}  [default: one for each core, 4 to 16]",
    )


def _channels_here() -> int:
    from ramferry.control.archive.channels import channels_here

    return channels_here()


downtime_limit_option = click.option(
    "--downtime-limit",
    type=click.IntRange(1, MAX_DOWNTIME_LIMIT_MS),
    default=300,
    show_default=True,
    metavar="MS",
    help="Milliseconds the guest may stand still at the switchover.",
)

cpu_limit_option = click.option(
    "--cpu-limit",
    type=click.FloatRange(0.0),
    default=0.0,
    metavar="CORES",
    help="Cores that --method auto and --level auto reckon with at most on this host, where guests"
    " come first: 0.5, say. Default: those that no other process uses.",
)

accelerator_option = click.option(
    "--accelerator",
    type=click.Choice(ACCELERATORS),
    default=ACCELERATORS[0],
    show_default=True,
    help="QATzip on a QAT device: auto where a test job proves one, require it or fail, or off.",
)


def member_size_option(auto: str) -> Callable[[Command], Command]:
    """``--member-size``.

    :param auto: the last sentence of the help, which says what ``auto`` does in this command.
    """
    return click.option(
        "--member-size",
        type=click.Choice(MEMBER_SIZES),
        default=MEMBER_SIZES[0],
        show_default=True,
        help="How qatzip cuts packets into gzip members: of 64 KiB, which a QAT device inflates, or"
        f" one a packet, which is faster in software. {auto}",
    )


def decide_option(to_whom: str = "") -> Callable[[Command], Command]:
    """``--decide``.

    :param to_whom: a last sentence of the help, of a command that hands it to relays; such a
        command has no value of its own where none is given.
    """
    more = f" {to_whom}  [default: {DECIDE_SECONDS:g}]" if to_whom else ""
    return click.option(
        "--decide",
        type=Seconds(min=0.1),
        default=None if to_whom else DECIDE_SECONDS,
        show_default=not to_whom,
        metavar="S",
        help="If the link breaks in the switchover between two Ramferrys (relay:): seconds to go on"
        " asking whether the destination has the guest, which stands still at the source meanwhile."
        f" The destination's relay keeps the answer as long.{more}",
    )


page_size_option = click.option(
    "--page-size",
    type=click.Choice([str(size) for size in PAGE_SIZES]),
    default=str(PAGE_SIZE),
    show_default=True,
    help="Target page size in bytes: 4096 on x86, s390x, most Arm and Power guests.",
)
"""A relay has to be told, because few machine types name the page size in the stream."""
