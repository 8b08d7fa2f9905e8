"""Who works for a session: a device that was proven, or the CPU; and the sentence that says why."""

from __future__ import annotations

import threading

from ramferry.errors import MethodUnavailable, UsageError
from ramferry.hardware.diagnosis.offload import judge_offload
from ramferry.metrics.host import Verdict
from ramferry.qatzip.base import Backend
from ramferry.qatzip.device import Tuning
from ramferry.qatzip.hardware import HardwareBackend
from ramferry.qatzip.library import Library, load
from ramferry.qatzip.proof import prove
from ramferry.qatzip.software import SoftwareBackend
from ramferry.vocabulary import ACCELERATORS, GZIP_EXT, OFF, REQUIRE

_lock = threading.Lock()
_answer: list[Library | str] = []
"""The proven library, or why there is none; empty before anyone asked."""


def choose(
    policy: str, level: int, format: str, member_size: int, tuning: Tuning | None = None
) -> tuple[Backend, str]:
    """Make the backend of one session, and say in a sentence which it is and why.

    :param policy: one of ACCELERATORS.
    :param tuning: how a device is used; its buffers hold a member each.
    :raise UsageError: it is none of them.
    :raise MethodUnavailable: hardware is required and cannot be had.
    """
    if policy not in ACCELERATORS:
        raise UsageError(f"accelerator must be one of {', '.join(ACCELERATORS)}, not {policy!r}")
    tuning = tuning or Tuning()
    found = _find(policy, format, member_size, tuning.buffer_size)
    if isinstance(found, Library):
        return HardwareBackend(
            found, level, tuning
        ), "QATzip works in hardware: a device did a test job"
    if policy == REQUIRE:
        raise MethodUnavailable(f"QATzip in hardware is required, but {found}")
    software = SoftwareBackend(level, format, member_size)
    return software, f"QATzip works in software ({software.name}): {found}"


def _find(policy: str, format: str, member_size: int, buffer_size: int) -> Library | str:
    """The proven library, or why it is not used."""
    if policy == OFF:
        return "the accelerator is off"
    if format != GZIP_EXT or member_size != buffer_size:
        return f"a device has {GZIP_EXT} with members of {buffer_size} bytes only"
    with _lock:
        if not _answer:
            _answer.append(_proven())
        return _answer[0]


def _proven() -> Library | str:
    """Do the job that proves a device, once in a process."""
    proof = prove()
    finding = judge_offload(proof)
    if finding.verdict is Verdict.OK:
        return load()
    return proof.trouble or finding.sentence
