"""Migration parameters and capabilities by QEMU's names, with its defaults, ranges and refusals.

As of QEMU 10.0.13, and only those that this guest heeds. ``multifd`` and ``return-path`` are always
on: it migrates in no other way. So the steps of QEMU's QATzip page, which do not mention them, work
here as they stand, while a QEMU without ``multifd`` sends everything uncompressed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ramferry.guest.errors import MonitorError
from ramferry.vocabulary import (
    DEFAULT_LEVEL,
    LEVEL_PARAMETERS,
    MAX_CHANNELS,
    MAX_DOWNTIME_LIMIT_MS,
    METHOD_FLAGS,
    METHOD_LEVELS,
)

UINT64_MAX: Final = (1 << 64) - 1
_SHIFTS: Final = {"K": 10, "M": 20, "G": 30, "T": 40}
# no leading 0: to QEMU a number that begins with 0 is octal, unless it is a size
_NUMBER: Final = re.compile(
    r"(?P<number>0|[1-9][0-9]{0,19})(?P<unit>[KMGT]?)", re.IGNORECASE | re.ASCII
)
Kind = Literal["mebibytes", "size", "uint8_t", "enum"]
"""What a value is. At the human monitor a number of "mebibytes" without a suffix is MiB, and only
"mebibytes" and "size" take a suffix."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One migration parameter."""

    default: int | str
    kind: Kind
    low: int = 0
    high: int = UINT64_MAX
    unit: str = ""
    """Follows the value in ``info migrate_parameters``."""
    refusal: str = ""
    """What QEMU says that it expects; empty if that is "a value between" ``low`` and ``high``."""
    choices: tuple[str, ...] = ()

    def check(self, name: str, value: object) -> int | str:
        """The value, if the parameter takes it.

        :raise MonitorError: in QEMU's words: it is of another type, or out of range.
        """
        if self.choices:
            if not isinstance(value, str):
                raise MonitorError(f"Invalid parameter type for '{name}', expected: string")
            if value not in self.choices:
                raise MonitorError(f"Parameter '{name}' does not accept value '{value}'")
            return value
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > UINT64_MAX:
            raise MonitorError(f"Parameter '{name}' expects uint64")
        if self.kind != "uint8_t":
            value &= UINT64_MAX  # QEMU takes -1 for the largest
        elif not 0 <= value <= 255:
            raise MonitorError(f"Parameter '{name}' expects uint8_t")
        if not self.low <= value <= self.high:
            wanted = self.refusal or f"a value between {self.low} and {self.high}"
            raise MonitorError(f"Parameter '{name.replace('-', '_')}' expects {wanted}")
        return value

    def parse(self, name: str, text: str) -> int | str:
        """A value as the human monitor takes it: one of the choices, or a decimal number.

        A size may have a suffix, as in 512M.

        :raise MonitorError: it is neither, or ``check`` refuses it.
        """
        if self.choices:
            return self.check(name, text)
        match = _NUMBER.fullmatch(text)
        if match is None or (match["unit"] and self.kind == "uint8_t"):
            raise MonitorError(f"Parameter '{name}' expects a decimal number, not '{text}'")
        shift = 20 if self.kind == "mebibytes" else 0
        if match["unit"]:
            shift = _SHIFTS[match["unit"].upper()]
        return self.check(name, int(match["number"]) << shift)


PARAMETERS: Final[Mapping[str, Parameter]] = {
    "max-bandwidth": Parameter(128 << 20, "mebibytes", unit=" bytes/second"),
    "downtime-limit": Parameter(
        300,
        "size",
        high=MAX_DOWNTIME_LIMIT_MS,
        unit=" ms",
        refusal="an integer in the range of 0 to (2000 * 1000) ms",
    ),
    "multifd-channels": Parameter(2, "uint8_t", 1, MAX_CHANNELS),
    "multifd-compression": Parameter("none", "enum", choices=tuple(METHOD_FLAGS)),
    **{
        LEVEL_PARAMETERS[method]: Parameter(DEFAULT_LEVEL, "uint8_t", levels[0], levels[-1])
        for method, levels in METHOD_LEVELS.items()
    },
}

ALWAYS_ON: Final = ("return-path", "multifd")
CAPABILITIES: Final = ("events", "return-path", "pause-before-switchover", "multifd")


class Settings:
    """The migration parameters and capabilities of a guest."""

    def __init__(self) -> None:
        self.parameters: dict[str, int | str] = {
            name: one.default for name, one in PARAMETERS.items()
        }
        self.capabilities = {name: name in ALWAYS_ON for name in CAPABILITIES}

    def set_parameters(self, wanted: Mapping[str, object]) -> None:
        """Set all of them; if one is refused, none is set.

        :raise MonitorError: there is no such parameter, or it does not take the value.
        """
        checked: dict[str, int | str] = {}
        for name, value in wanted.items():
            if name not in PARAMETERS:
                raise MonitorError(f"Parameter '{name}' is unexpected")
            checked[name] = PARAMETERS[name].check(name, value)
        self.parameters.update(checked)

    def set_capability(self, name: str, state: bool) -> None:
        """Switch a capability on or off.

        :raise MonitorError: there is no such capability, or it cannot be switched off.
        """
        self.check_capability(name, state)
        self.capabilities[name] = state

    def check_capability(self, name: str, state: bool) -> None:
        """Refuse what ``set_capability`` would refuse.

        :raise MonitorError: as there.
        """
        if name not in CAPABILITIES:
            raise MonitorError(f"Parameter 'capability' does not accept value '{name}'")
        if name in ALWAYS_ON and not state:
            raise MonitorError(
                f"Capability '{name}' is always on: the built-in guest migrates over multifd with"
                " a return path only"
            )

    def number(self, name: str) -> int:
        """The value of a parameter that is a number."""
        value = self.parameters[name]
        assert isinstance(value, int)
        return value

    @property
    def method(self) -> str:
        """The compression method, ``multifd-compression``."""
        return str(self.parameters["multifd-compression"])

    @property
    def level(self) -> int | None:
        """The level of that method; None if it has no levels."""
        value = self.parameters.get(f"multifd-{self.method}-level")
        return value if isinstance(value, int) else None
