"""The QMP commands of the built-in guest: QEMU's names, arguments and refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast
from uuid import UUID

from ramferry import __version__
from ramferry.guest import human, looking
from ramferry.guest.errors import MonitorError
from ramferry.guest.parameters import PARAMETERS, UINT64_MAX
from ramferry.guest.uri import parse
from ramferry.guest.vm import BLOCK, Vm
from ramferry.vocabulary import STATUSES

VERSION: Final = {
    # the QEMU whose wire format, statuses and counters these are
    "qemu": {"major": 10, "minor": 0, "micro": 0},
    "package": f"Ramferry {__version__} built-in guest",
}
Arguments = Mapping[str, Any]
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "uint64": (int,),
    "any": (object,),
}


@dataclass(frozen=True, slots=True)
class Command:
    """One command."""

    run: Callable[[Vm, Arguments], Any]
    needs: Mapping[str, str] = field(default_factory=dict)
    """Required arguments and their types."""
    takes: Mapping[str, str] = field(default_factory=dict)
    """Optional arguments and their types."""
    free: bool = False
    """True if ``run`` checks its arguments itself."""


def execute(vm: Vm, name: str, arguments: Arguments) -> Any:
    """Run a command and return the value of its ``return`` member.

    :raise MonitorError: the command does not exist, or refuses.
    """
    command = COMMANDS.get(name)
    if command is None:
        raise MonitorError(f"The command {name} has not been found", "CommandNotFound")
    allowed = {**command.needs, **command.takes}
    for key, value in arguments.items():
        if command.free:
            break
        if key not in allowed:
            raise MonitorError(f"Parameter '{key}' is unexpected")
        _check_type(key, value, allowed[key])
    for key in command.needs:
        if key not in arguments:
            raise MonitorError(f"Parameter '{key}' is missing")
    return command.run(vm, arguments)


def _check_type(key: str, value: object, wanted: str) -> None:
    right = isinstance(value, _TYPES[wanted])
    if wanted in ("integer", "uint64"):
        right = right and not isinstance(value, bool)
    if wanted == "uint64" and not (right and abs(cast("int", value)) <= UINT64_MAX):
        raise MonitorError(f"Parameter '{key}' expects uint64")
    if not right:
        raise MonitorError(f"Invalid parameter type for '{key}', expected: {wanted}")


def _nothing(do: Callable[[Vm], None]) -> Command:
    def run(vm: Vm, _: Arguments) -> dict[str, Any]:
        do(vm)
        return {}

    return Command(run)


def _query_status(vm: Vm, _: Arguments) -> dict[str, Any]:
    return {"status": vm.state, "running": vm.state == "running"}


def _query_cpus(vm: Vm, _: Arguments) -> list[dict[str, Any]]:
    return [{"cpu-index": 0, "thread-id": vm.vcpu.thread_id, "target": "ramferry"}]


def _qom_get(vm: Vm, arguments: Arguments) -> str:
    path, name = arguments["path"], arguments["property"]
    kind = f"{vm.machine}-machine"
    if path != "/machine":
        raise MonitorError(f"Device '{path}' not found", "DeviceNotFound")
    values = {"type": kind, "memory-backend": f"/objects/{BLOCK}"}
    if name not in values:
        raise MonitorError(f"Property '{kind}.{name}' not found")
    return values[name]


def _query_capabilities(vm: Vm, _: Arguments) -> list[dict[str, Any]]:
    states = vm.migration.capabilities
    return [{"capability": name, "state": state} for name, state in states.items()]


def _set_capabilities(vm: Vm, arguments: Arguments) -> dict[str, Any]:
    vm.refuse_while_migrating()
    wanted: list[tuple[str, bool]] = []
    for index, item in enumerate(arguments["capabilities"]):
        place = f"capabilities[{index}]"
        if not isinstance(item, dict):
            raise MonitorError(f"Invalid parameter type for '{place}', expected: object")
        for key, kind in (("capability", "string"), ("state", "boolean")):
            if key not in item:
                raise MonitorError(f"Parameter '{place}.{key}' is missing")
            _check_type(f"{place}.{key}", item[key], kind)
        for key in item:
            if key not in ("capability", "state"):
                raise MonitorError(f"Parameter '{place}.{key}' is unexpected")
        vm.migration.check_capability(item["capability"], item["state"])
        wanted.append((item["capability"], item["state"]))
    for name, state in wanted:
        vm.migration.set_capability(name, state)
    return {}


def _set_parameters(vm: Vm, arguments: Arguments) -> dict[str, Any]:
    vm.set_parameters(arguments)
    return {}


def _migrate(vm: Vm, arguments: Arguments) -> dict[str, Any]:
    if "uri" not in arguments:
        raise MonitorError("need either 'uri' or 'channels' argument")
    address = parse(arguments["uri"])
    if arguments.get("resume"):
        raise MonitorError("Cannot resume if there is no paused migration")
    vm.migrate(address)
    return {}


def _migrate_incoming(vm: Vm, arguments: Arguments) -> dict[str, Any]:
    vm.refuse_unless_incoming()
    if "uri" not in arguments:
        raise MonitorError("need either 'uri' or 'channels' argument")
    vm.migrate_incoming(parse(arguments["uri"]))
    return {}


def _migrate_continue(vm: Vm, arguments: Arguments) -> dict[str, Any]:
    if arguments["state"] not in STATUSES:
        raise MonitorError(f"Parameter 'state' does not accept value '{arguments['state']}'")
    vm.proceed(arguments["state"])
    return {}


def _pmemsave(vm: Vm, arguments: Arguments) -> dict[str, Any]:
    start, size = arguments["val"] & UINT64_MAX, arguments["size"] & UINT64_MAX
    looking.save(vm.ram, start, size, arguments["filename"])
    return {}


def _calc_dirty_rate(vm: Vm, arguments: Arguments) -> dict[str, Any]:
    vm.dirty_rate.begin(arguments)
    return {}


def _human(vm: Vm, arguments: Arguments) -> str:
    if arguments.get("cpu-index", 0) != 0:
        raise MonitorError("Parameter 'cpu-index' expects a CPU number")
    return human.run(vm, arguments["command-line"])


def _query_guest(vm: Vm, _: Arguments) -> dict[str, Any]:
    """What a QEMU cannot tell. The memory is the file ``ram-fd`` of this process."""
    work = vm.vcpu.workload
    return {
        "counter": vm.vcpu.counter,
        "beats": vm.vcpu.beats,
        "rate": work.rate,
        "pattern": work.pattern,
        "changed": work.changed,
        "memory": vm.ram.total,
        "ram-fd": vm.ram.fd,
        "tracker": vm.tracker,
        "failure": vm.failure,
    }


def _schema(vm: Vm, _: Arguments) -> list[dict[str, Any]]:  # noqa: ARG001
    """The commands, each with its arguments."""
    entries: list[dict[str, Any]] = [
        {"name": "int", "meta-type": "builtin", "json-type": "int"},
        {"name": "str", "meta-type": "builtin", "json-type": "string"},
        {"name": "any", "meta-type": "builtin", "json-type": "value"},
    ]
    for name, command in COMMANDS.items():
        arg_type = f"{name}-arg"
        members: list[dict[str, Any]] = [{"name": key, "type": "any"} for key in command.needs]
        members += [{"name": key, "type": "any", "default": None} for key in command.takes]
        if name == "migrate-set-parameters":
            members = [_member(key, entries) for key in PARAMETERS]
        entries.append({"name": arg_type, "meta-type": "object", "members": members})
        entries.append(
            {"name": name, "meta-type": "command", "arg-type": arg_type, "ret-type": "any"}
        )
    return entries


def _member(name: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    choices = PARAMETERS[name].choices
    if not choices:
        return {"name": name, "type": "int", "default": None}
    kind = f"{name}-enum"
    entries.append({"name": kind, "meta-type": "enum", "values": list(choices)})
    return {"name": name, "type": kind, "default": None}


COMMANDS: Final[Mapping[str, Command]] = {
    "query-status": Command(_query_status),
    "query-version": Command(lambda vm, _: VERSION),  # noqa: ARG005
    "query-name": Command(lambda vm, _: {"name": "ramferry"}),  # noqa: ARG005
    "query-commands": Command(lambda vm, _: [{"name": name} for name in COMMANDS]),  # noqa: ARG005
    "query-qmp-schema": Command(_schema),
    "query-cpus-fast": Command(_query_cpus),
    "query-uuid": Command(lambda vm, _: {"UUID": str(UUID(int=0))}),  # noqa: ARG005
    "query-memory-size-summary": Command(
        lambda vm, _: {"base-memory": vm.ram.total, "plugged-memory": 0}
    ),
    "qom-get": Command(_qom_get, needs={"path": "string", "property": "string"}),
    "query-block": Command(lambda vm, _: []),  # noqa: ARG005
    "query-migrate": Command(lambda vm, _: vm.query_migrate()),
    "query-migrate-capabilities": Command(_query_capabilities),
    "query-migrate-parameters": Command(lambda vm, _: dict(vm.migration.parameters)),
    "migrate-set-capabilities": Command(_set_capabilities, needs={"capabilities": "array"}),
    "migrate-set-parameters": Command(_set_parameters, free=True),
    "migrate": Command(_migrate, takes={"uri": "string", "detach": "boolean", "resume": "boolean"}),
    "migrate_cancel": _nothing(Vm.cancel),
    "migrate-continue": Command(_migrate_continue, needs={"state": "string"}),
    "migrate-incoming": Command(_migrate_incoming, takes={"uri": "string"}),
    "stop": _nothing(Vm.stop),
    "cont": _nothing(Vm.cont),
    "quit": _nothing(Vm.quit),
    "human-monitor-command": Command(
        _human, needs={"command-line": "string"}, takes={"cpu-index": "integer"}
    ),
    "pmemsave": Command(_pmemsave, needs={"val": "uint64", "size": "uint64", "filename": "string"}),
    "calc-dirty-rate": Command(
        _calc_dirty_rate,
        needs={"calc-time": "integer"},
        takes={"calc-time-unit": "string", "sample-pages": "integer", "mode": "string"},
    ),
    "query-dirty-rate": Command(lambda vm, _: vm.dirty_rate.answer()),
    "x-query-guest": Command(_query_guest),
}
