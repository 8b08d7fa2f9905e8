"""Parameter types that several commands share."""

from __future__ import annotations

from typing import Final

import click

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
