"""A scripted QEMU whose ``migrate`` sends a whole stream, with disks that can be snapshotted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fakes_qmp import RAM, FakeQemu, Refused
from fakes_source import SETTLE, FakeSource
from fakes_wire import Do, Guest, Script
from ramferry.transport.address import UnixAddress

PAUSE = "pause-before-switchover"
UUID = "00112233-4455-6677-8899-aabbccddeeff"


class SavingQemu(FakeQemu):
    """Its guest runs, and stands still from the pause before the switchover on."""

    def __init__(
        self, path: Path, images: tuple[Path, ...] = (), *, channels: int = 2, **options: Any
    ) -> None:
        """:param images: of the guest's disks, whose nodes are "node0", "node1" …"""
        capabilities = {PAUSE: False} | options.pop("capabilities", {})
        self.files = {f"node{number}": str(image) for number, image in enumerate(images)}
        self.at_pause: Callable[[], object] = lambda: None
        """Called while it waits, in the stream's thread."""
        self.edit: Callable[[Script], object] = lambda _: None
        """What goes wrong with the stream."""
        self.busy = False
        """Its guest writes as fast as it is saved, until it is stopped."""
        self.ends: dict[str, Any] = {}
        """What ``query-migrate`` says of a migration that never connected."""
        self.whole = True
        """Whether all of the memory comes."""
        self._went_on = False
        self._rounds = 0
        self._before = ""
        self._channels = channels
        self._stream: FakeSource | None = None
        self._waits, self._let_go, self._cancelled = (threading.Event() for _ in range(3))
        options = {"version": (10, 0, 13), "uuid": UUID, "memory": 1 << 20} | options
        super().__init__(path, capabilities=capabilities, **options)

    def close(self) -> None:
        self._let_go.set()
        if self._stream is not None:
            self._stream.close()
        super().close()

    @property
    def stream_ended(self) -> threading.Event:
        """Its end of the migration has ended."""
        assert self._stream is not None
        return self._stream.ended

    def _converge(self) -> None:
        while self.busy and self.run_state == "running":
            if self._stream is not None and self._stream.ended.wait(0.01):
                return

    def _pause(self) -> None:
        if not self.capabilities[PAUSE]:
            return
        self.at_pause()
        self.run_state = "finish-migrate"
        self._waits.set()
        assert self._let_go.wait(SETTLE)
        self._waits.clear()
        if self._cancelled.is_set():
            raise OSError

    def _do_migrate(self, **arguments: Any) -> dict[str, Any]:
        multifd = self.capabilities["multifd"]
        script = Script(
            Guest(method="none", channels=self._channels, whole=self.whole)
            if multifd
            else Guest(channels=0, mode="section", zeros=3, whole=True)
        )
        script.insert(script.find("end"), Do(self._pause))
        script.insert(script.find("end"), Do(self._converge))
        self.edit(script)
        self._before = self.run_state
        if self.ends:
            return {}
        address = UnixAddress(arguments["uri"].removeprefix("unix:"))
        self._let_go.clear()
        self._stream = FakeSource(address, script)
        return {}

    def _do_qom_list(self, **_: Any) -> list[dict[str, Any]]:
        return []

    def _do_query_uuid(self) -> dict[str, Any]:
        return {"UUID": UUID}

    def _do_migrate_continue(self, **_: Any) -> dict[str, Any]:
        self._let_go.set()
        return {}

    def _do_migrate_cancel(self) -> dict[str, Any]:
        self._cancelled.set()
        self._let_go.set()
        if self._stream is not None:
            self._stream.end()
        return {}

    def _do_query_migrate(self) -> dict[str, Any]:
        if self.ends and self._before:
            return self.ends
        status = self._status()
        if status in ("failed", "cancelled") and self.run_state == "finish-migrate":
            self.run_state = self._before
        if status == "completed" and not self._went_on:
            self.run_state = "postmigrate"
        times = {"total-time": 2000, "downtime": 40} if status == "completed" else {}
        self._rounds += self.busy
        ram = RAM | {"dirty-sync-count": 2 + self._rounds}
        return {"status": status, "ram": ram, **times}

    def _status(self) -> str:
        if self._stream is None:
            return "none"
        if self._waits.is_set():
            return "pre-switchover"
        if self._cancelled.is_set():
            return "cancelled"
        return self._stream.status if self._stream.ended.is_set() else "active"

    def _do_cont(self) -> dict[str, Any]:
        self._went_on = True
        self.run_state = "running"
        return {}

    def _do_query_block(self) -> list[dict[str, Any]]:
        return [
            {
                "device": node.replace("node", "disk"),
                "inserted": {"node-name": node, "drv": "raw", "file": file, "ro": False},
            }
            for node, file in self.files.items()
        ]

    def _do_query_named_block_nodes(self, flat: bool) -> list[dict[str, Any]]:
        assert flat
        return [{"drv": "file", "file": file} for file in self.files.values()]

    def _do_transaction(self, actions: list[dict[str, Any]]) -> dict[str, Any]:
        if self._status() != "pre-switchover":
            raise Refused("the guest runs")
        for action in actions:
            assert action["type"] == "blockdev-snapshot-sync"
            data = action["data"]
            assert Path(data["snapshot-file"]).read_bytes() == b""
            del self.files[data["node-name"]]
            self.files[data["snapshot-node-name"]] = data["snapshot-file"]
        return {}

    def _do_query_memdev(self) -> list[dict[str, Any]]:
        return [{"share": True, "size": 1 << 20}]
