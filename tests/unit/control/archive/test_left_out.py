"""Which blocks a QEMU may leave pages of out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ramferry.control.archive.left_out import may_leave_out
from ramferry.errors import MethodUnavailable


class Asked:
    """A QEMU with these devices, as 7.2 and 10.0 answer."""

    def __init__(self, dimms: list[dict[str, Any]] | None, balloons: dict[str, bool]) -> None:
        self._dimms = dimms
        self._balloons = balloons

    def execute(self, command: str, arguments: Mapping[str, object] | None = None) -> Any:
        path = str((arguments or {}).get("path"))
        if command == "query-memory-devices":
            if self._dimms is None:
                raise MethodUnavailable("there is no such command")
            return self._dimms
        if command == "qom-list":
            return [{"name": "type", "type": "string"}] + [
                {"name": name.rsplit("/", 1)[1], "type": "child<virtio-balloon-pci>"}
                for name in self._balloons
                if name.rsplit("/", 1)[0] == path
            ]
        assert (arguments or {})["property"] == "free-page-hint"
        return self._balloons[path]


BLOCKS = ("pc.ram", "vm0", "0000:00:02.0/vm0", "d0")
MEM = {"type": "virtio-mem", "data": {"memdev": "/objects/vm0", "id": "vmem0"}}
DIMM = {"type": "dimm", "data": {"memdev": "/objects/d0", "id": "dimm0"}}


@pytest.mark.parametrize(
    ("dimms", "balloons", "blocks"),
    [
        ([], {}, []),
        (None, {}, []),
        ([MEM, DIMM], {}, ["vm0", "0000:00:02.0/vm0"]),
        ([], {"/machine/peripheral/ball": False}, []),
        ([], {"/machine/peripheral-anon/device[0]": True}, list(BLOCKS)),
    ],
)
def test_blocks(
    dimms: list[dict[str, Any]] | None, balloons: dict[str, bool], blocks: list[str]
) -> None:
    leaves_out = may_leave_out(Asked(dimms, balloons))  # type: ignore[arg-type]
    assert [block for block in BLOCKS if leaves_out(block)] == blocks
