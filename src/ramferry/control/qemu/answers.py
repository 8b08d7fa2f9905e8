"""The shapes of the QMP answers that Ramferry reads, checked where they come in.

A QEMU keeps to its schema. What answers at a monitor's address may be something else, and whoever
reads an answer meets one of our errors, not a list in place of an object.
Fields that are not read here may hold anything, and so may the answers of all other commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from ramferry.typed import convert


class _Answer(msgspec.Struct, frozen=True, rename="kebab"):
    """An object whose keys are the fields, with hyphens. A field with a default may be missing."""


class _Numbers(_Answer, frozen=True):
    major: int
    minor: int
    micro: int


class _Version(_Answer, frozen=True):
    qemu: _Numbers
    package: str | UnsetType = UNSET


class _Member(_Answer, frozen=True):
    name: str
    type: str


class _SomeMember(_Answer, frozen=True):
    """Of an object, which has both, of an enumeration or of an alternate."""

    name: str | UnsetType = UNSET
    type: str | UnsetType = UNSET


class _Entry(_Answer, frozen=True):
    name: str
    arg_type: str | UnsetType = UNSET
    members: list[_SomeMember] | UnsetType = UNSET
    values: list[str] | UnsetType = UNSET


class _Capability(_Answer, frozen=True):
    capability: str
    state: bool


class _Status(_Answer, frozen=True):
    status: str


class _Cpu(_Answer, frozen=True):
    thread_id: int


class _Kvm(_Answer, frozen=True):
    enabled: bool


class _Uuid(_Answer, frozen=True, rename=None):
    UUID: str


class _Migration(_Answer, frozen=True):
    status: str | UnsetType = UNSET
    error_desc: str | UnsetType = UNSET
    blocked_reasons: list[str] | UnsetType = UNSET
    socket_address: list[dict[str, Any]] | UnsetType = UNSET
    total_time: int | UnsetType = UNSET
    setup_time: int | UnsetType = UNSET
    downtime: int | UnsetType = UNSET
    expected_downtime: int | UnsetType = UNSET
    ram: dict[str, int | float] | UnsetType = UNSET


class _MemorySize(_Answer, frozen=True):
    base_memory: int
    plugged_memory: int | UnsetType = UNSET


class _Device(_Answer, frozen=True):
    memdev: str | UnsetType = UNSET
    size: int | UnsetType = UNSET
    max_size: int | UnsetType = UNSET


class _MemoryDevice(_Answer, frozen=True):
    type: str
    data: _Device


class _Memdev(_Answer, frozen=True):
    share: bool | UnsetType = UNSET


class _DirtyRate(_Answer, frozen=True):
    status: str
    dirty_rate: int | UnsetType = UNSET


class _Inserted(_Answer, frozen=True):
    ro: bool | UnsetType = UNSET
    node_name: str | UnsetType = UNSET


class _Block(_Answer, frozen=True):
    device: str | UnsetType = UNSET
    qdev: str | UnsetType = UNSET
    inserted: _Inserted | UnsetType = UNSET


class _Node(_Answer, frozen=True):
    file: str
    drv: str


class _Yank(_Answer, frozen=True):
    type: str


_SHAPES: Final[Mapping[str, Any]] = {
    "query-version": _Version,
    "query-qmp-schema": list[_Entry],
    "query-migrate-capabilities": list[_Capability],
    "query-migrate-parameters": dict[str, Any],
    "query-status": _Status,
    "query-cpus-fast": list[_Cpu],
    "query-kvm": _Kvm,
    "query-uuid": _Uuid,
    "query-migrate": _Migration,
    "query-memory-size-summary": _MemorySize,
    "query-memory-devices": list[_MemoryDevice],
    "query-memdev": list[_Memdev],
    "query-dirty-rate": _DirtyRate,
    "query-block": list[_Block],
    "query-named-block-nodes": list[_Node],
    "query-yank": list[_Yank],
    "qom-list": list[_Member],
}


def checked(command: str, answer: Any) -> Any:
    """Return ``answer`` as it is.

    :raise msgspec.ValidationError: it is none that a QEMU gives to ``command``; names the place.
    """
    shape = _SHAPES.get(command)
    if shape is not None:
        convert(answer, shape)
    return answer
