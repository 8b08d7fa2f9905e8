"""A monitor's connection with a fault proxy on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from campaign_guests import Peer

from fault_blows import Way
from fault_proxy import Line, Proxy
from ramferry.transport.address import TcpAddress, UnixAddress


class Monitor:
    """A QMP connection's proxy: it can have a command's address lead through another proxy."""

    def __init__(self, peer: Peer, reroute: Callable[[str, str], str]) -> None:
        """:param reroute: is given a command's name and URI, and returns the URI to send."""
        self._reroute = reroute
        path = peer.uri.removeprefix("qmp:")
        self.proxy = Proxy(TcpAddress("127.0.0.1", 0), UnixAddress(path), self._look)
        assert isinstance(self.proxy.address, TcpAddress)
        self.uri = f"qmp:127.0.0.1:{self.proxy.address.port}"

    def _look(self, line: Line, way: Way, data: bytes) -> Iterator[bytes]:
        line.name = "qmp"
        if way == "back":
            yield data
            return
        kept = line.watch if isinstance(line.watch, bytes) else b""
        *lines, rest = (kept + data).split(b"\n")
        for one in lines:
            yield self._changed(one) + b"\n"
        if rest and _whole(rest):
            yield self._changed(rest)
            rest = b""
        line.watch = rest

    def _changed(self, line: bytes) -> bytes:
        if b"uri" not in line:
            return line
        command: dict[str, Any] = json.loads(line)
        uri = command.get("arguments", {}).get("uri")
        if uri is None:
            return line
        command["arguments"]["uri"] = self._reroute(command["execute"], uri)
        return json.dumps(command).encode()


def _whole(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
