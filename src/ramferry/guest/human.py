"""The human monitor, as far as the documented steps, ``plan time`` and ``qmp-shell -H`` need it.

The commands have QEMU's names and do what QEMU's do; QMP has the rest. Lines end in CR LF.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ramferry.guest import looking
from ramferry.guest.errors import MonitorError
from ramferry.guest.parameters import CAPABILITIES, PARAMETERS
from ramferry.guest.uri import parse
from ramferry.guest.vm import Vm


def run(vm: Vm, line: str) -> str:
    """Run one command line and return what the monitor prints."""
    words = line.split()
    name = " ".join(words[: 2 if words[:1] == ["info"] else 1])
    try:
        printed = _run(vm, name, words[len(name.split()) :]) if name else ""
    except MonitorError as error:
        printed = f"Error: {error}"
    return "".join(f"{text}\r\n" for text in printed.splitlines())


def _run(vm: Vm, name: str, words: list[str]) -> str:
    if name not in _COMMANDS:
        return f"unknown command: '{name}'"
    do, takes = _COMMANDS[name]
    given = [word for word in words if f"[{word}]" not in takes]
    if len(given) != sum(not one.startswith("[") for one in takes):
        return f"usage: {' '.join([name, *takes])}"
    return do(vm, *given) or ""


def _set_parameter(vm: Vm, name: str, value: str) -> None:
    if name not in PARAMETERS:
        raise MonitorError(f"invalid parameter value: {name}")
    vm.set_parameters({name: PARAMETERS[name].parse(name, value)})


def _set_capability(vm: Vm, name: str, state: str) -> None:
    if name not in CAPABILITIES:
        raise MonitorError(f"invalid parameter value: {name}")
    if state not in ("on", "off"):
        raise MonitorError(f"a capability is on or off, not {state}")
    vm.refuse_while_migrating()
    vm.migration.set_capability(name, state == "on")


def _incoming(vm: Vm, uri: str) -> None:
    vm.refuse_unless_incoming()
    vm.migrate_incoming(parse(uri))


def _parameters(vm: Vm) -> str:
    values = vm.migration.parameters
    return "\n".join(f"{name}: {values[name]}{one.unit}" for name, one in PARAMETERS.items())


def _capabilities(vm: Vm) -> str:
    states = vm.migration.capabilities
    return "\n".join(f"{name}: {'on' if states[name] else 'off'}" for name in CAPABILITIES)


def _status(vm: Vm) -> str:
    plain = vm.state in ("running", "paused")
    return f"VM status: {vm.state}" if plain else f"VM status: paused ({vm.state})"


def _migration(vm: Vm) -> str:
    return "\n".join(_members(vm.query_migrate()))


def _members(info: Mapping[str, Any]) -> Iterator[str]:
    """What ``query-migrate`` answers, a line for each member."""
    if "status" in info:
        why = f" ({info['error-desc']})" if info.get("error-desc") else ""
        yield f"Migration status: {info['status']}{why}"
    for name in ("total-time", "expected-downtime", "downtime", "setup-time"):
        if name in info:
            yield f"{name.replace('-', ' ')}: {info[name]} ms"
    yield from (f"{name}: {value}" for name, value in info.get("ram", {}).items())


def _usages(beginning: str) -> str:
    """The usage of each command that begins so; ``qmp-shell`` completes what is typed by it."""
    lines = (" ".join([name, *takes]) for name, (_, takes) in _COMMANDS.items())
    return "\n".join(line for line in lines if line.startswith(beginning))


_COMMANDS: Final[Mapping[str, tuple[Callable[..., str | None], tuple[str, ...]]]] = {
    "cont": (Vm.cont, ()),
    "help": (lambda _: _usages(""), ()),
    "info": (lambda _: _usages("info "), ()),
    "info migrate": (_migration, ()),
    "info migrate_capabilities": (_capabilities, ()),
    "info migrate_parameters": (_parameters, ()),
    "info mtree": (lambda vm: looking.layout(vm.ram), ("[-f]",)),
    "info status": (_status, ()),
    "migrate": (lambda vm, uri: vm.migrate(parse(uri)), ("[-d]", "URI")),
    "migrate_cancel": (Vm.cancel, ()),
    "migrate_incoming": (_incoming, ("URI",)),
    "migrate_set_capability": (_set_capability, ("CAPABILITY", "on|off")),
    "migrate_set_parameter": (_set_parameter, ("PARAMETER", "VALUE")),
    "quit": (Vm.quit, ()),
    "stop": (Vm.stop, ()),
}
"""The function of each command, and its arguments. One in brackets is accepted and ignored."""
