"""Migration parameters and capabilities by QEMU's names, with its defaults, ranges and refusals.

Read off QEMU 10.0.13. Only those are here that this guest heeds; ``multifd`` and ``return-path``
are on and stay on, because it migrates in no other way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ramferry.codec import METHODS
from ramferry.guest.errors import MonitorError

SIZE_MAX: Final = (1 << 64) - 1
_SUFFIXES: Final = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
_NO_NUMBER: Final = (
    "Parameter '{}' expects a non-negative number below 2^64\n"
    "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
    "and exabytes, respectively."
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One migration parameter."""

    default: int | str
    low: int = 0
    high: int = SIZE_MAX
    unit: str = ""
    """As ``info migrate_parameters`` writes it behind the value."""
    refusal: str = ""
    """What it expects, where its words are not those of a plain range."""
    choices: tuple[str, ...] = ()
    is_size: bool = False
    """Whether a plain number at the human monitor is MiB."""

    def check(self, name: str, value: object) -> int | str:
        """:raise MonitorError: in QEMU's words: the value is of another type, or out of range."""
        if self.choices:
            if not isinstance(value, str):
                raise MonitorError(f"Invalid parameter type for '{name}', expected: string")
            if value not in self.choices:
                raise MonitorError(f"Parameter '{name}' does not accept value '{value}'")
            return value
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > SIZE_MAX:
            raise MonitorError(f"Parameter '{name}' expects uint64")
        value &= SIZE_MAX  # QEMU takes -1 for the largest
        if not self.low <= value <= self.high:
            wanted = self.refusal or f"a value between {self.low} and {self.high}"
            raise MonitorError(f"Parameter '{name.replace('-', '_')}' expects {wanted}")
        return value

    def parse(self, name: str, text: str) -> int | str:
        """A value as the human monitor takes it.

        :raise MonitorError: it is none.
        """
        if self.choices:
            return self.check(name, text)
        digits = text.rstrip("bBkKmMgGtTpPeE")
        suffix = text[len(digits) :].lower()
        if not (digits.isascii() and digits.isdigit()) or suffix not in _SUFFIXES:
            raise MonitorError(_NO_NUMBER.format(name))
        shift = 20 if self.is_size and not suffix else _SUFFIXES[suffix]
        return self.check(name, int(digits) << shift)


PARAMETERS: Final[Mapping[str, Parameter]] = {
    "max-bandwidth": Parameter(128 << 20, unit=" bytes/second", is_size=True),
    "downtime-limit": Parameter(
        300,
        high=2_000_000,
        unit=" ms",
        refusal="an integer in the range of 0 to (2000 * 1000) ms",
    ),
    "multifd-channels": Parameter(2, 1, 255),
    "multifd-compression": Parameter("none", choices=tuple(METHODS)),
    "multifd-zlib-level": Parameter(1, 0, 9),
    "multifd-zstd-level": Parameter(1, 0, 20),
    "multifd-qatzip-level": Parameter(1, 1, 9),
}

ALWAYS_ON: Final = ("return-path", "multifd")
CAPABILITIES: Final = ("events", "return-path", "pause-before-switchover", "multifd")


class Settings:
    """How a guest is to migrate."""

    def __init__(self) -> None:
        self.parameters: dict[str, int | str] = {
            name: one.default for name, one in PARAMETERS.items()
        }
        self.capabilities = {name: name in ALWAYS_ON for name in CAPABILITIES}

    def set_parameters(self, wanted: Mapping[str, object]) -> None:
        """All of them, or none.

        :raise MonitorError: there is no such parameter, or it does not take the value.
        """
        checked: dict[str, int | str] = {}
        for name, value in wanted.items():
            if name not in PARAMETERS:
                raise MonitorError(f"Parameter '{name}' is unexpected")
            checked[name] = PARAMETERS[name].check(name, value)
        self.parameters.update(checked)

    def set_capability(self, name: str, state: bool) -> None:
        """:raise MonitorError: there is no such capability, or it cannot be switched off."""
        self.check_capability(name, state)
        self.capabilities[name] = state

    def check_capability(self, name: str, state: bool) -> None:
        """:raise MonitorError: as ``set_capability``."""
        if name not in CAPABILITIES:
            raise MonitorError(f"Parameter 'capability' does not accept value '{name}'")
        if name in ALWAYS_ON and not state:
            raise MonitorError(
                f"Capability '{name}' is always on: the built-in guest migrates over multifd with"
                " a return path only"
            )

    def number(self, name: str) -> int:
        """A parameter that is a number."""
        value = self.parameters[name]
        assert isinstance(value, int)
        return value

    @property
    def method(self) -> str:
        """The multifd compression."""
        return str(self.parameters["multifd-compression"])

    @property
    def level(self) -> int | None:
        """The method's level; None where it has none."""
        value = self.parameters.get(f"multifd-{self.method}-level")
        return value if isinstance(value, int) else None
