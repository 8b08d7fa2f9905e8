"""Who works for a session: a device that was proven, or the CPU; and the sentence that says why."""

from __future__ import annotations

import threading

from ramferry.errors import MethodUnavailable, UsageError
from ramferry.metrics.evidence import Offload
from ramferry.qatzip.base import Backend
from ramferry.qatzip.hardware import HardwareBackend
from ramferry.qatzip.library import NO_DEVICE, Library, device_present, load
from ramferry.qatzip.proof import prove
from ramferry.qatzip.software import SoftwareBackend
from ramferry.vocabulary import ACCELERATORS, GZIP_EXT, MEMBER_SIZE, MEMBERS_OF_64K, OFF, REQUIRE

_lock = threading.Lock()
_answer: list[Library | str] = []
"""The proven library, or why there is none; empty before anyone asked."""


def choose(policy: str, level: int, format: str, member_size: int) -> tuple[Backend, str]:
    """Make the backend of one session, and say in a sentence which it is and why.

    :param policy: one of ACCELERATORS.
    :raise UsageError: it is none of them.
    :raise MethodUnavailable: hardware is required and cannot be had.
    """
    if policy not in ACCELERATORS:
        raise UsageError(f"accelerator must be one of {', '.join(ACCELERATORS)}, not {policy!r}")
    found = _find(policy, format, member_size)
    if isinstance(found, Library):
        backend = HardwareBackend(found, level)
        return backend, "QATzip works in hardware: a device did a test job"
    if policy == REQUIRE:
        raise MethodUnavailable(f"QATzip in hardware is required, but {found}")
    software = SoftwareBackend(level, format, member_size)
    return software, f"QATzip works in software ({software.name}): {found}"


def may_accelerate(policy: str) -> bool:
    """Whether a device may work for sessions of other processes here, such as relays.

    Asks the driver only. A test job would take VFs, which those processes need for themselves.

    :param policy: theirs, one of ACCELERATORS.
    """
    return policy == REQUIRE or (policy != OFF and device_present())


def _find(policy: str, format: str, member_size: int) -> Library | str:
    """The proven library, or why it is not used."""
    if policy == OFF:
        return "the accelerator is off"
    if format != GZIP_EXT or member_size != MEMBER_SIZE:
        # without a device that is no cause
        seen = policy == REQUIRE or device_present()
        return _why_unfit(format, member_size) if seen else NO_DEVICE
    with _lock:
        if not _answer:
            _answer.append(_proven())
        return _answer[0]


def _why_unfit(format: str, member_size: int) -> str:
    """Why a device is not used for members of another size, or for another format."""
    if format != GZIP_EXT:
        return f"a device has format {GZIP_EXT} only"
    if member_size < MEMBER_SIZE:
        return f"a device has members of {MEMBER_SIZE} bytes only"
    return (
        "no device makes members as large as a packet, which suit a far end that inflates in"
        f" software (--member-size {MEMBERS_OF_64K} keeps to a device's)"
    )


def _proven() -> Library | str:
    """Do the job that proves a device, once in a process."""
    proof = prove()
    return load() if proof.verdict is Offload.DEVICE else proof.trouble
