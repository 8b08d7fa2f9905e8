"""The human monitor: the few commands of QEMU's that have to do with a migration.

Lines end in CR LF, and refusals read as QEMU's do (10.0.13).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ramferry import __version__
from ramferry.guest.errors import MonitorError
from ramferry.guest.parameters import CAPABILITIES, PARAMETERS
from ramferry.guest.uri import parse
from ramferry.guest.vm import Vm

_HELP: Final = {
    "migrate": "[-d] uri -- migrate to URI (using -d to not wait for completion)",
    "migrate_cancel": "-- cancel the current VM migration",
    "migrate_incoming": "uri -- Continue an incoming migration from an -incoming defer",
    "migrate_set_capability": "capability state -- Enable/Disable the usage of a capability",
    "migrate_set_parameter": "parameter value -- Set the parameter for migration",
    "info": "[subcommand] -- show various information about the system state",
    "cont": "-- resume emulation",
    "stop": "-- stop emulation",
    "quit": "-- quit the emulator",
    "help": "[cmd] -- show the help",
}


def run(vm: Vm, line: str) -> str:
    """Run one command line; what the monitor prints."""
    words = line.split()
    if not words:
        return ""
    name = _ALIASES.get(words[0], words[0])
    command = _COMMANDS.get(name)
    if command is None:
        return f"unknown command: '{words[0]}'\r\n"
    try:
        return _lines(command(vm, words[1:]))
    except _Misused as error:
        return _lines(f'{error}\nTry "help {name}" for more information')
    except MonitorError as error:
        return _lines(f"Error: {error}")


class _Misused(Exception):
    """A command line that cannot be read."""


def _lines(text: str) -> str:
    return "".join(f"{line}\r\n" for line in text.splitlines())


def _argument(command: str, words: list[str], index: int = 0) -> str:
    if len(words) <= index:
        raise _Misused(f"{command}: string expected")
    return words[index]


def _set_parameter(vm: Vm, words: list[str]) -> str:
    name = _argument("migrate_set_parameter", words)
    value = _argument("migrate_set_parameter", words, 1)
    if name not in PARAMETERS:
        raise MonitorError(f"invalid parameter value: {name}")
    vm.set_parameters({name: PARAMETERS[name].parse(name, value)})
    return ""


def _set_capability(vm: Vm, words: list[str]) -> str:
    name = _argument("migrate_set_capability", words)
    state = _argument("migrate_set_capability", words, 1)
    if state not in ("on", "off"):
        raise _Misused("Expected 'on' or 'off'")
    if name not in CAPABILITIES:
        raise MonitorError(f"invalid parameter value: {name}")
    vm.refuse_while_migrating()
    vm.migration.set_capability(name, state == "on")
    return ""


def _migrate(vm: Vm, words: list[str]) -> str:
    detached = "-d" in words
    words = [word for word in words if word != "-d"]
    vm.migrate(parse(_argument("migrate", words)))
    if detached:
        return ""
    return "terminal does not allow synchronous migration, continuing detached"


def _incoming(vm: Vm, words: list[str]) -> str:
    vm.migrate_incoming(parse(_argument("migrate_incoming", words)))
    return ""


def _info(vm: Vm, words: list[str]) -> str:
    if not words:
        return _help(vm, ["info"])
    about = _ABOUT.get(words[0])
    if about is None:
        return f"unknown command: 'info {words[0]}'"
    return about(vm)


def _help(vm: Vm, words: list[str]) -> str:  # noqa: ARG001 - as every command
    names = [word for word in words if word in _HELP] if words else sorted(_HELP)
    return "\n".join(f"{name} {_HELP[name]}" for name in names)


def _plain(do: Callable[[Vm], None]) -> Callable[[Vm, list[str]], str]:
    """A command that takes no argument and prints nothing."""

    def run(vm: Vm, words: list[str]) -> str:  # noqa: ARG001 - as every command
        do(vm)
        return ""

    return run


def _about_parameters(vm: Vm) -> str:
    values = vm.migration.parameters
    return "\n".join(f"{name}: {values[name]}{one.unit}" for name, one in PARAMETERS.items())


def _about_capabilities(vm: Vm) -> str:
    states = vm.migration.capabilities
    return "\n".join(f"{name}: {'on' if states[name] else 'off'}" for name in CAPABILITIES)


def _about_status(vm: Vm) -> str:
    return "VM status: " + (vm.state if vm.state == "running" else f"paused ({vm.state})")


def _about_version(vm: Vm) -> str:  # noqa: ARG001
    return f"Ramferry {__version__}, built-in guest"


def _about_migrate(vm: Vm) -> str:
    info = vm.query_migrate()
    if not info:
        return ""
    why = f" ({info['error-desc']})" if "error-desc" in info else ""
    lines = [f"Migration status: {info['status']}{why}"]
    for name in ("total-time", "expected-downtime", "downtime", "setup-time"):
        if name in info:
            label = name.replace("-time", " time").replace("expected-", "expected ")
            lines.append(f"{label.removesuffix('-time')}: {info[name]} ms")
    ram: Mapping[str, int | float] = info.get("ram", {})
    for label, name, unit in _RAM if ram else ():
        value = ram[name] / 1024 if unit == "kbytes" else ram[name]
        text = f"{value:0.2f}" if isinstance(ram[name], float) else f"{value:0.0f}"
        lines.append(f"{label}: {text} {unit}".rstrip())
    return "\n".join(lines)


_RAM: Final = (
    ("transferred ram", "transferred", "kbytes"),
    ("throughput", "mbps", "mbps"),
    ("remaining ram", "remaining", "kbytes"),
    ("total ram", "total", "kbytes"),
    ("duplicate", "duplicate", "pages"),
    ("normal", "normal", "pages"),
    ("normal bytes", "normal-bytes", "kbytes"),
    ("dirty sync count", "dirty-sync-count", ""),
    ("page size", "page-size", "bytes"),
    ("multifd bytes", "multifd-bytes", "kbytes"),
    ("pages-per-second", "pages-per-second", ""),
)
_ABOUT: Final[Mapping[str, Callable[[Vm], str]]] = {
    "migrate": _about_migrate,
    "migrate_parameters": _about_parameters,
    "migrate_capabilities": _about_capabilities,
    "status": _about_status,
    "version": _about_version,
}
_COMMANDS: Final[Mapping[str, Callable[[Vm, list[str]], str]]] = {
    "migrate": _migrate,
    "migrate_cancel": _plain(Vm.cancel),
    "migrate_incoming": _incoming,
    "migrate_set_capability": _set_capability,
    "migrate_set_parameter": _set_parameter,
    "info": _info,
    "cont": _plain(Vm.cont),
    "stop": _plain(Vm.stop),
    "quit": _plain(Vm.quit),
    "help": _help,
}
_ALIASES: Final = {"c": "cont", "s": "stop", "q": "quit", "?": "help"}
