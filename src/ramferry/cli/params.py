"""Parameter types that several commands share."""

from __future__ import annotations

import math
from typing import Any, Final

import click

from ramferry.qatzip.accelerator import ACCELERATORS

_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


class Rate(click.ParamType):  # type: ignore[type-arg] # generic in newer click only
    """Bytes per second: ``125M`` is 125 000 000, ``64Mi`` is 67 108 864, ``1Gbit`` 125 000 000."""

    name = "rate"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number and a unit; bytes unless it says ``bit``."""
        if isinstance(value, int | float):
            return float(value)
        text = str(value).strip().lower().removesuffix("/s")
        divisor = 8 if text.endswith("bit") else 1
        text = text.removesuffix("bit").removesuffix("b")
        number = text.rstrip("kmgi")
        unit = text[len(number) :].upper()
        try:
            rate = float(number) * _UNITS[unit] / divisor
        except (ValueError, KeyError):
            self.fail(f"{value!r} is no rate: write bytes per second as 125M or 1Gbit", param, ctx)
        if not 0 <= rate < float("inf"):
            self.fail(f"{value!r} is no rate: it must not be negative", param, ctx)
        return rate


RATE: Final = Rate()


class Seconds(click.FloatRange):
    """A finite number of seconds within a range: ``nan`` passes every comparison with a limit."""

    name = "seconds"

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Read a number, check the range, refuse what never comes."""
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
        """Read a number and a unit; MiB where there is none."""
        if isinstance(value, int):
            return value
        text = str(value).strip().upper().removesuffix("IB").removesuffix("B")
        number = text.rstrip("MG")
        shift = {"": 20, "M": 20, "G": 30}.get(text[len(number) :])
        try:
            size = float(number) * (1 << shift) if shift else 0.0
        except ValueError:
            size = 0.0
        if not (1 << 20) <= size < float("inf") or size % (1 << 20):
            self.fail(f"{value!r} is no memory size: write whole MiB as 512M or 2G", param, ctx)
        return int(size)


SIZE: Final = Size()


level_option = click.option(
    "--level", type=int, metavar="N", help="Level of the method.  [default: 1]"
)

json_option = click.option(
    "--json",
    "json_file",
    type=click.File("w", lazy=False),
    metavar="FILE",
    help="Write the result as JSON; - for standard output.",
)

accelerator_option = click.option(
    "--accelerator",
    type=click.Choice(ACCELERATORS),
    default=ACCELERATORS[0],
    show_default=True,
    help="QATzip on a QAT device: auto where a test job proves one, require it or fail, or off.",
)

page_size_option = click.option(
    "--page-size",
    type=click.Choice(["1024", "2048", "4096", "8192", "16384", "65536"]),
    default="4096",
    show_default=True,
    help="Target page size in bytes: 4096 on x86, s390x, most Arm and Power guests.",
)
"""A relay must know it beforehand: few machine types name it in the stream."""
