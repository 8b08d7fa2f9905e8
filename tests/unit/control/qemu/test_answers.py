"""QMP answers of other shapes than QEMU's are refused where they come in."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ramferry.control.qemu.answers import checked


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("query-version", {"qemu": {"major": 1e999, "minor": 0, "micro": 0}}),
        ("query-version", []),
        ("query-status", {}),
        ("query-status", {"status": 7}),
        ("query-migrate", []),
        ("query-migrate", {"ram": {"transferred": "many"}}),
        ("query-migrate", {"blocked-reasons": "none"}),
        ("query-migrate", {"total-time": None}),
        ("query-uuid", {"UUID": 7}),
        ("query-cpus-fast", {"thread-id": 7}),
        ("query-qmp-schema", [{"name": "x", "members": [7]}]),
        ("query-memory-devices", [{"type": "dimm"}]),
    ],
)
def test_another_shape(command: str, answer: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        checked(command, answer)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("query-migrate", {}),
        ("query-migrate", {"status": "active", "ram": {"mbps": 1.5, "transferred": 2**64 - 1}}),
        ("query-status", {"status": "running", "new-in-11": [None]}),
        ("query-memory-devices", [{"type": "sgx-epc", "data": {"size": 1, "id": None}}]),
        ("qom-get", None),
        ("no-such-command", [7]),
    ],
)
def test_what_is_not_read_may_be_anything(command: str, answer: Any) -> None:
    assert checked(command, answer) is answer
