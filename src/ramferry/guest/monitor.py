"""The built-in guest's QMP server: connections, greeting, commands in, replies and events out.

More than one client may be connected; each has a thread of its own, and hears every event.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from ramferry.guest.commands import VERSION, execute
from ramferry.guest.errors import MonitorError
from ramferry.guest.vm import Vm
from ramferry.transport.address import Address
from ramferry.transport.monitor_socket import MonitorClient, MonitorServer

MAX_REQUEST: Final = 1 << 20
"""Bytes of a request; whoever sends more is no monitor's client."""
_NEGOTIATE: Final = "qmp_capabilities"
_MEMBERS: Final = ("execute", "arguments", "id")
_DECODER: Final = json.JSONDecoder()


class Monitor:
    """Listens until it is closed; a context manager that does so."""

    def __init__(self, vm: Vm, address: Address) -> None:
        """
        :raise UsageError: other hosts can reach it, and the guest's settings do not allow that.
        :raise HostError: the address is in use, or this process may not use it.
        """
        self._vm = vm
        self._server = MonitorServer(address, self._serve, vm.settings.security)
        self.address = self._server.address
        """Where it listens, port included."""
        for sentence in vm.settings.security.consented_monitor(self.address):
            vm.note(sentence)

    def close(self) -> None:
        """End every connection, once what was asked on it is answered: ``quit`` ends the guest."""
        self._server.close()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _serve(self, connection: MonitorClient) -> None:
        client = _Client(self._vm, connection)
        try:
            client.run()
        finally:
            client.end()


class _Client:
    """One connection."""

    def __init__(self, vm: Vm, connection: MonitorClient) -> None:
        self._vm = vm
        self._connection = connection
        self._negotiated = False
        self._hears = False
        """Whether events are told: from the reply to the negotiation on, which comes first."""
        self._sending = threading.Lock()
        self.end = vm.events.listen(self._tell)

    def run(self) -> None:
        """Serve it to its end."""
        self._send({"QMP": {"version": VERSION, "capabilities": []}})
        text = ""
        while data := self._connection.receive():
            text += data.decode("utf-8", "replace")
            text = self._requests(text.lstrip())
            if len(text) > MAX_REQUEST:
                self._send(_error(MonitorError(f"a request of more than {MAX_REQUEST} bytes")))
                return

    def _requests(self, text: str) -> str:
        """Answer what is whole; what is left."""
        while text:
            try:
                request, end = _DECODER.raw_decode(text)
            except json.JSONDecodeError as error:
                line, newline, rest = text.partition("\n")
                if not newline or error.pos >= len(line):
                    return text  # more is to come
                self._send(_error(MonitorError(f"JSON parse error, {error.msg}")))
                text = rest.lstrip()
                continue
            except (ValueError, RecursionError) as error:
                # more digits, or more lists in lists, than Python reads; QEMU's words
                what = "nesting depth" if isinstance(error, RecursionError) else "token size"
                self._send(_error(MonitorError(f"JSON {what} limit exceeded")))
                text = text.partition("\n")[2].lstrip()
                continue
            self._send(self._answer(request))
            text = text[end:].lstrip()
        return text

    def _answer(self, request: object) -> dict[str, Any]:
        reply: dict[str, Any] = {}
        try:
            if not isinstance(request, dict):
                raise MonitorError("QMP input must be a JSON object")
            if "id" in request:
                reply["id"] = request["id"]
            return reply | {"return": self._execute(request)}
        except MonitorError as error:
            return reply | _error(error)

    def _execute(self, request: Mapping[str, Any]) -> Any:
        for member in request:
            if member not in _MEMBERS:
                raise MonitorError(f"QMP input member '{member}' is unexpected")
        if "execute" not in request:
            raise MonitorError("QMP input lacks member 'execute'")
        name, arguments = request["execute"], request.get("arguments", {})
        if not isinstance(name, str):
            raise MonitorError("QMP input member 'execute' must be a string")
        if not isinstance(arguments, dict):
            raise MonitorError("QMP input member 'arguments' must be an object")
        if name == _NEGOTIATE:
            return self._negotiate()
        if not self._negotiated:
            raise MonitorError(
                f"Expecting capabilities negotiation with '{_NEGOTIATE}'", "CommandNotFound"
            )
        return execute(self._vm, name, arguments)

    def _negotiate(self) -> dict[str, Any]:
        if self._negotiated:
            raise MonitorError(
                "Capabilities negotiation is already complete, command ignored", "CommandNotFound"
            )
        self._negotiated = True
        return {}

    def _tell(self, event: str, data: Mapping[str, object]) -> None:
        if not self._negotiated:
            return
        seconds, fraction = divmod(time.time(), 1)
        stamp = {"seconds": int(seconds), "microseconds": int(fraction * 1e6)}
        message = {"event": event, "timestamp": stamp} | ({"data": data} if data else {})
        with suppress(OSError), self._sending:  # its own thread notices
            if self._hears:
                self._connection.send(_line(message))

    def _send(self, reply: Mapping[str, Any]) -> None:
        with self._sending:
            self._connection.send(_line(reply))
            self._hears = self._negotiated


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\r\n"


def _error(error: MonitorError) -> dict[str, Any]:
    return {"error": {"class": error.kind, "desc": str(error)}}
