"""A QEMU as its monitor shows it: real QMP over a UNIX socket, played from a script of statuses."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PAGE = 4096

NO_UUID = "00000000-0000-0000-0000-000000000000"

CAPABILITIES = ("events", "multifd", "postcopy-ram", "return-path", "xbzrle")

PARAMETERS = {
    "downtime-limit": 300,
    "max-bandwidth": 134217728,
    "multifd-channels": 2,
    "multifd-compression": "none",
    "multifd-zlib-level": 1,
    "multifd-zstd-level": 1,
    "tls-creds": "",
}

RAM = {
    "total": 1024 * PAGE,
    "remaining": 512 * PAGE,
    "normal": 400,
    "duplicate": 112,
    "page-size": PAGE,
    "dirty-sync-count": 2,
    "dirty-pages-rate": 10,
    "transferred": 1700000,
}


@dataclass(frozen=True)
class Step:
    """What one ``query-migrate`` finds."""

    status: str
    run_state: str = ""
    """What ``query-status`` says from then on; empty: as before."""
    extra: dict[str, Any] = field(default_factory=dict)
    vanish: bool = False
    """The QEMU ends instead of answering."""


COMPLETED = Step("completed", "postmigrate", {"total-time": 2000, "downtime": 40, "setup-time": 5})
FINISHES = (Step("setup"), Step("active"), Step("active"), COMPLETED)
CANCELS = (Step("cancelling"), Step("cancelled"))


def schema(methods: Sequence[str], *, stays: bool = False) -> list[dict[str, Any]]:
    """As much of ``query-qmp-schema`` as leads to the methods, with masked type names.

    :param stays: as from 9.1 on, which knows exit-on-error.
    """
    incoming = [{"name": "uri", "type": "str"}]
    return [
        {"name": "migrate-set-parameters", "meta-type": "command", "arg-type": "143"},
        {
            "name": "143",
            "meta-type": "object",
            "members": [
                {"name": "max-bandwidth", "type": "int", "default": None},
                {"name": "multifd-compression", "type": "408", "default": None},
            ],
        },
        {"name": "408", "meta-type": "enum", "values": list(methods)},
        {"name": "migrate-incoming", "meta-type": "command", "arg-type": "151"},
        {
            "name": "151",
            "meta-type": "object",
            "members": incoming + [{"name": "exit-on-error", "type": "bool"}] * stays,
        },
    ]


class Refused(Exception):
    """Answered as QMP's error."""


class FakeQemu:
    """Listens at ``path`` until ``close``; ``executed`` logs every command and its arguments."""

    def __init__(
        self,
        path: Path,
        *,
        run_state: str = "running",
        version: tuple[int, int, int] = (7, 2, 22),
        methods: Sequence[str] = ("none", "zlib", "zstd"),
        steps: Sequence[Step] = FINISHES,
        on_cancel: Sequence[Step] = CANCELS,
        refuses: dict[str, str] | None = None,
        silent_on: str = "",
        capabilities: dict[str, bool] | None = None,
        parameters: dict[str, Any] | None = None,
        listening: dict[str, Any] | None = None,
        uuid: str = NO_UUID,
        machine: str = "pc-i440fx-7.2",
        memory: int = 1024 * PAGE,
        dimms: dict[str, int] | None = None,
        cpus: int = 1,
        blocked: Sequence[str] = (),
    ) -> None:
        """
        :param dimms: bytes of each DIMM's memory, by the id of its backend.
        :param blocked: why its guest cannot leave.
        """
        self.uri = f"qmp:{path}"
        self.run_state = run_state
        self.capabilities = dict.fromkeys(CAPABILITIES, False) | (capabilities or {})
        self.parameters: dict[str, Any] = PARAMETERS | (parameters or {})
        self.executed: list[tuple[str, dict[str, Any]]] = []
        self.migrating = threading.Event()
        """Set by ``migrate``."""
        self.arrives: Sequence[Step] = ()
        """What a destination's ``query-migrate`` finds after ``migrate-incoming``."""
        self.peer: FakeQemu | None = None
        """Whose guest starts when this one's migration completes."""
        self.holds = 0
        """How often ``query-yank`` still names a migration."""
        self._version, self._methods, self._refuses = version, methods, refuses or {}
        self._silent_on = silent_on
        self._steps: Iterator[Step] = iter(())
        self._script, self._on_cancel = steps, on_cancel
        self._last: dict[str, Any] = {"socket-address": [listening]} if listening else {}
        if blocked:
            self._last["blocked-reasons"] = list(blocked)
        self._uuid, self._machine, self._cpus = uuid, machine, cpus
        self._memory, self._dimms = memory, dimms or {}
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(4)
        self._connections: list[socket.socket] = []
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name=f"fake {path.name}")
        self._thread.start()

    def commands(self) -> list[str]:
        """The names of the commands that change something, in their order."""
        return [name for name, _ in self.executed if not name.startswith(("query-", "qom-get"))]

    def set_to(self, command: str, key: str) -> list[Any]:
        """Every value that ``migrate-set-parameters`` (or -capabilities) gave ``key``."""
        values = []
        for name, arguments in self.executed:
            if name == command == "migrate-set-parameters" and key in arguments:
                values.append(arguments[key])
            if name == command == "migrate-set-capabilities":
                items = arguments["capabilities"]
                values += [item["state"] for item in items if item["capability"] == key]
        return values

    def close(self) -> None:
        """End it; its clients see the connection close."""
        self._closed = True
        for end in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() is not self._thread:
            self._thread.join()
            self._listener.close()

    def __enter__(self) -> FakeQemu:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            if self._closed:  # while this one was accepted
                connection.close()
                return
            with connection, contextlib.suppress(OSError):
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        major, minor, micro = self._version
        qemu = {"major": major, "minor": minor, "micro": micro}
        self._send(
            connection, {"QMP": {"version": {"qemu": qemu, "package": ""}, "capabilities": []}}
        )
        text = ""
        while chunk := connection.recv(65536):
            text += chunk.decode()
            while text.strip():
                request, end = json.JSONDecoder().raw_decode(text.lstrip())
                text = text.lstrip()[end:]
                if request["execute"] != self._silent_on:
                    self._answer(connection, request)

    def _send(self, connection: socket.socket, message: dict[str, Any]) -> None:
        connection.sendall(json.dumps(message).encode() + b"\r\n")

    def _answer(self, connection: socket.socket, request: dict[str, Any]) -> None:
        command, arguments = request["execute"], request.get("arguments", {})
        if command != "qmp_capabilities":
            self.executed.append((command, arguments))
        reply: dict[str, Any] = {"id": request["id"]} if "id" in request else {}
        try:
            if command in self._refuses:
                raise Refused(self._refuses[command])
            handler: Callable[..., Any] | None = getattr(
                self, "_do_" + command.replace("-", "_"), None
            )
            if handler is None:
                raise Refused(f"The command {command} has not been found")
            reply["return"] = handler(**{k.replace("-", "_"): v for k, v in arguments.items()})
        except Refused as error:
            reply["error"] = {"class": "GenericError", "desc": str(error)}
        self._send(connection, reply)

    def _do_qmp_capabilities(self, **_: Any) -> dict[str, Any]:
        return {}

    def _do_query_version(self) -> dict[str, Any]:
        return {"qemu": dict(zip(("major", "minor", "micro"), self._version, strict=True))}

    def _do_query_qmp_schema(self) -> list[dict[str, Any]]:
        return schema(self._methods, stays=self._version >= (9, 1))

    def _do_query_migrate_capabilities(self) -> list[dict[str, Any]]:
        return [{"capability": name, "state": on} for name, on in self.capabilities.items()]

    def _do_query_migrate_parameters(self) -> dict[str, Any]:
        return dict(self.parameters)

    def _do_query_status(self) -> dict[str, Any]:
        return {"status": self.run_state, "running": self.run_state == "running"}

    def _do_query_yank(self) -> list[dict[str, Any]]:
        self.holds, held = max(self.holds - 1, 0), self.holds > 0
        return [{"type": "chardev", "id": "compat_monitor0"}, *[{"type": "migration"}] * held]

    def _do_query_kvm(self) -> dict[str, Any]:
        return {"enabled": True, "present": True}

    def _do_query_cpus_fast(self) -> list[dict[str, Any]]:
        return [{"thread-id": self._thread.native_id}] * self._cpus

    def _do_query_uuid(self) -> dict[str, Any]:
        return {"UUID": self._uuid}

    def _do_qom_get(self, path: str, property: str) -> str:
        assert path == "/machine"
        return {"type": f"{self._machine}-machine", "memory-backend": "/objects/pc.ram"}[property]

    def _do_query_memory_size_summary(self) -> dict[str, Any]:
        return {"base-memory": self._memory, "plugged-memory": sum(self._dimms.values())}

    def _do_query_memory_devices(self) -> list[dict[str, Any]]:
        return [
            {"type": "dimm", "data": {"memdev": f"/objects/{name}", "size": size}}
            for name, size in self._dimms.items()
        ]

    def _do_query_migrate(self) -> dict[str, Any]:
        step = next(self._steps, None)
        if step is not None:
            if step.vanish:
                self.close()
                raise OSError
            self.run_state = step.run_state or self.run_state
            self._last = {"status": step.status, "ram": RAM, **step.extra}
            if step.status == "completed" and self.peer is not None:
                self.peer.run_state = "running"
        return self._last

    def _do_migrate_set_capabilities(self, capabilities: list[dict[str, Any]]) -> dict[str, Any]:
        for item in capabilities:
            if item["capability"] not in self.capabilities:
                raise Refused(f"Parameter 'capability' does not accept {item['capability']}")
            self.capabilities[item["capability"]] = item["state"]
        return {}

    def _do_migrate_set_parameters(self, **parameters: Any) -> dict[str, Any]:
        self.parameters |= {name.replace("_", "-"): value for name, value in parameters.items()}
        return {}

    def _do_migrate_incoming(self, **_: Any) -> dict[str, Any]:
        self._steps = iter(self.arrives)
        self._last = {"socket-address": [{"type": "inet", "host": "127.0.0.1", "port": "4455"}]}
        return {}

    def _do_migrate(self, **_: Any) -> dict[str, Any]:
        self._steps = iter(self._script)
        self.migrating.set()
        return {}

    def _do_migrate_cancel(self) -> dict[str, Any]:
        self._steps = iter(self._on_cancel)
        return {}

    def _do_migrate_continue(self, **_: Any) -> dict[str, Any]:
        return {}

    def _do_quit(self) -> dict[str, Any]:
        self.close()
        raise OSError

    def _do_stop(self) -> dict[str, Any]:
        self.run_state = "paused"
        return {}
