"""The job that proves a device: 128 KiB compressed, looked at and inflated through libqatzip.

libqatzip falls back to software without a word, so that only its output tells: hardware writes a
member for each 64 KiB with XFL 0; its software path, at level 1, one member for all with XFL 4. If
the counters of the devices' firmware can be read, they must have risen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ramferry.errors import CorruptDataError, MethodUnavailable
from ramferry.hardware.firmware import firmware_requests
from ramferry.hardware.root import Root
from ramferry.metrics.evidence import Offload, OffloadProof
from ramferry.qatzip import members
from ramferry.qatzip.device import DeviceError, DeviceSession
from ramferry.qatzip.hardware import HARDWARE_XFL
from ramferry.qatzip.library import Library, load
from ramferry.qatzip.software import SoftwareBackend
from ramferry.vocabulary import GZIP_EXT, MEMBER_SIZE

PROOF_BYTES: Final = 128 * 1024
PROOF_LEVEL: Final = 1
_JOB: Final = f"{PROOF_BYTES // 1024} KiB at level {PROOF_LEVEL}"


def prove(load_library: Callable[[], Library] = load, root: Root | None = None) -> OffloadProof:
    """Have ``PROOF_BYTES`` compressed and inflated with no software to fall back on.

    :param root: where the counters are read, this host's by default; only root may read them.
    :return: ``verdict`` says who did it, ``trouble`` why it was not the device.
    """
    root = root or Root()
    before = _requests(root)
    try:
        xfl = _xfl_of_sample(load_library())
    except (MethodUnavailable, DeviceError) as error:
        return proof_of((), trouble=str(error))
    return proof_of(xfl, before, _requests(root))


def proof_of(
    xfl: tuple[int, ...], before: int | None = None, after: int | None = None, *, trouble: str = ""
) -> OffloadProof:
    """Judge what the job showed.

    :param xfl: of each member that came out.
    :param before: requests that the firmware had counted before the job; None if unknown.
    :param after: and after it.
    :param trouble: why nothing came out.
    """
    verdict = Offload.DEVICE
    if trouble:
        verdict = Offload.FAILED
    elif xfl != (HARDWARE_XFL,) * -(-PROOF_BYTES // MEMBER_SIZE):
        verdict = Offload.SOFTWARE
        trouble = f"QATzip compressed {_JOB} in software: the device did not do it"
    elif before is not None and after is not None and after <= before:
        verdict = Offload.UNCOUNTED
        trouble = f"{_JOB} look compressed by the device, but its firmware counted no request"
    return OffloadProof(PROOF_BYTES, PROOF_LEVEL, xfl, verdict, before, after, trouble)


def _requests(root: Root) -> int | None:
    counters = firmware_requests(root)
    return sum(counters.values()) if counters else None


def _xfl_of_sample(library: Library) -> tuple[int, ...]:
    """XFL of each member that came out, once they inflate to what went in."""
    sample = b"".join(b"page %d of a guest. " % page for page in range(PROOF_BYTES // 16))
    sample = sample[:PROOF_BYTES]
    session = DeviceSession(library, PROOF_LEVEL)
    made = session.compress(memoryview(sample))
    out = bytearray(PROOF_BYTES)
    try:
        judge = SoftwareBackend(PROOF_LEVEL, GZIP_EXT, MEMBER_SIZE)
        judge.decompress_into(made, memoryview(out))
    except CorruptDataError as error:
        raise DeviceError(f"what came out does not inflate: {error}") from None
    chain = members.walk(made)
    if chain is None or out != sample:
        raise DeviceError("what came out does not inflate to what went in")
    xfl = tuple(member.xfl for member in chain)
    if set(xfl) == {HARDWARE_XFL}:
        _inflate_too(session, made, sample)
    return xfl


def _inflate_too(session: DeviceSession, made: memoryview, sample: bytes) -> None:
    """A device that only compresses is no use to the receiving side, nor for a relay's checks."""
    out = bytearray(len(sample))
    session.decompress(made, memoryview(out))
    if out != sample:
        raise DeviceError("the device inflates it to something else")
