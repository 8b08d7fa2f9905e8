"""Migration parameters and capabilities by QEMU's names, with its defaults, ranges and refusals.

Read off QEMU 10.0.13. Only those are here that this guest heeds. ``multifd`` and ``return-path``
are on and stay on: it migrates in no other way, and the steps of QEMU's QATzip page, which name
neither, do here what they say (a QEMU without ``multifd`` would send everything uncompressed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ramferry.codec import METHODS
from ramferry.guest import numbers
from ramferry.guest.errors import MonitorError
from ramferry.guest.numbers import UINT64_MAX

_NO_NUMBER: Final = (
    "Parameter '{}' expects a non-negative number below 2^64\n"
    "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
    "and exabytes, respectively."
)
Kind = Literal["mebibytes", "size", "uint8_t", "enum"]
"""How a value is written at the human monitor: a plain number is MiB, or what it says."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One migration parameter."""

    default: int | str
    kind: Kind
    low: int = 0
    high: int = UINT64_MAX
    unit: str = ""
    """As ``info migrate_parameters`` writes it behind the value."""
    refusal: str = ""
    """What it expects, where its words are not those of a plain range."""
    choices: tuple[str, ...] = ()

    def check(self, name: str, value: object) -> int | str:
        """:raise MonitorError: in QEMU's words: the value is of another type, or out of range."""
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
        """A value as the human monitor takes it.

        :raise MonitorError: in QEMU's words: it is none.
        """
        try:
            return self.check(name, text if self.choices else self._number(text))
        except OverflowError:
            if self.kind == "size":
                raise MonitorError(
                    f"Value '{text}' is out of range for parameter '{name}'"
                ) from None
            raise MonitorError(f"Invalid size {text}") from None
        except ValueError:
            if self.kind == "mebibytes":
                raise MonitorError(f"Invalid size {text}") from None
            if self.kind == "size":
                raise MonitorError(_NO_NUMBER.format(name)) from None
            raise MonitorError(f"Parameter '{name}' expects uint64") from None

    def _number(self, text: str) -> int:
        if self.kind == "uint8_t":
            return numbers.integer(text)
        if self.kind == "size":
            return numbers.size(text, 0)
        value = numbers.size(text, 20)
        if value > UINT64_MAX >> 1:
            raise OverflowError(text)
        return value


PARAMETERS: Final[Mapping[str, Parameter]] = {
    "max-bandwidth": Parameter(128 << 20, "mebibytes", unit=" bytes/second"),
    "downtime-limit": Parameter(
        300,
        "size",
        high=2_000_000,
        unit=" ms",
        refusal="an integer in the range of 0 to (2000 * 1000) ms",
    ),
    "multifd-channels": Parameter(2, "uint8_t", 1, 255),
    "multifd-compression": Parameter("none", "enum", choices=tuple(METHODS)),
    "multifd-zlib-level": Parameter(1, "uint8_t", 0, 9),
    "multifd-zstd-level": Parameter(1, "uint8_t", 0, 20),
    "multifd-qatzip-level": Parameter(1, "uint8_t", 1, 9),
}

ALWAYS_ON: Final = ("return-path", "multifd")
CAPABILITIES: Final = ("events", "return-path", "pause-before-switchover", "multifd")

STATUSES: Final = (
    *("none", "setup", "cancelling", "cancelled", "active", "pre-switchover", "device"),
    *("postcopy-active", "postcopy-paused", "postcopy-recover-setup", "postcopy-recover"),
    *("completed", "failed", "colo", "wait-unplug"),
)
"""QEMU's migration statuses."""


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
