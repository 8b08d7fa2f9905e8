"""``info …`` of the human monitor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ramferry import __version__
from ramferry.guest import looking
from ramferry.guest.parameters import CAPABILITIES, PARAMETERS
from ramferry.guest.vm import Vm


def _parameters(vm: Vm) -> str:
    values = vm.migration.parameters
    return "\n".join(f"{name}: {values[name]}{one.unit}" for name, one in PARAMETERS.items())


def _capabilities(vm: Vm) -> str:
    states = vm.migration.capabilities
    return "\n".join(f"{name}: {'on' if states[name] else 'off'}" for name in CAPABILITIES)


def _status(vm: Vm) -> str:
    plain = vm.state in ("running", "paused")
    return f"VM status: {vm.state}" if plain else f"VM status: paused ({vm.state})"


def _migrate(vm: Vm) -> str:
    return "\n".join(_migration(vm.query_migrate()))


def _migration(info: Mapping[str, Any]) -> Iterator[str]:
    """``query-migrate`` in lines."""
    if not info:
        return
    why = f" ({info['error-desc']})" if info.get("error-desc") else ""
    yield f"Migration status: {info['status']}{why}"
    yield f"total time: {info.get('total-time', 0)} ms"
    for label, name in _TIMES:
        if name in info:
            yield f"{label}: {info[name]} ms"
    ram: Mapping[str, int | float] = info.get("ram", {})
    for label, name, unit in _RAM if ram else ():
        value = ram[name] / 1024 if unit == "kbytes" else ram[name]
        text = f"{value:0.2f}" if isinstance(ram[name], float) else f"{value:0.0f}"
        yield f"{label}: {text} {unit}".rstrip()
    if "socket-address" in info:
        yield "socket address: ["
        yield from (f"\t{_address(one)}" for one in info["socket-address"])
        yield "]"


def _address(one: Mapping[str, str]) -> str:
    return f"unix:{one['path']}" if one["type"] == "unix" else f"tcp:{one['host']}:{one['port']}"


_TIMES: Final = (
    ("expected downtime", "expected-downtime"),
    ("downtime", "downtime"),
    ("setup", "setup-time"),
)
_RAM: Final = (
    ("transferred ram", "transferred", "kbytes"),
    ("throughput", "mbps", "mbps"),
    ("remaining ram", "remaining", "kbytes"),
    ("total ram", "total", "kbytes"),
    ("duplicate", "duplicate", "pages"),
    ("normal", "normal", "pages"),
    ("normal bytes", "normal-bytes", "kbytes"),
    ("dirty sync count", "dirty-sync-count", ""),
    ("page size", "page-size", "kbytes"),
    ("multifd bytes", "multifd-bytes", "kbytes"),
    ("pages-per-second", "pages-per-second", ""),
    ("precopy ram", "precopy-bytes", "kbytes"),
)
ABOUT: Final[Mapping[str, tuple[Callable[[Vm], str], str]]] = {
    "cpus": (lambda vm: f"* CPU #0: thread_id={vm.vcpu.thread_id}", "-- the virtual CPU's thread"),
    "migrate": (_migrate, "-- where the migration stands"),
    "migrate_capabilities": (_capabilities, "-- what is switched on for migrations"),
    "migrate_parameters": (_parameters, "-- how the guest migrates"),
    "mtree": (lambda vm: looking.layout(vm.ram), "[-f] -- where the guest's memory is"),
    "name": (lambda vm: "ramferry", "-- what the guest is called"),  # noqa: ARG005
    "status": (_status, "-- whether the guest runs"),
    "version": (lambda vm: f"Ramferry {__version__}, built-in guest", "-- which program this is"),  # noqa: ARG005
}
"""What each subcommand prints, and its line of help."""
OPTIONS: Final[Mapping[str, str]] = {"mtree": "f"}
"""Letters that a subcommand takes after a ``-``."""
