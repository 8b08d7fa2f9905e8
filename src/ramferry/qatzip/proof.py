"""The job that proves a device: 128 KiB compressed, looked at and inflated through libqatzip."""

from __future__ import annotations

from collections.abc import Callable

from ramferry.errors import CorruptDataError, MethodUnavailable
from ramferry.hardware.diagnosis.offload import (
    HARDWARE_XFL,
    PROOF_BYTES,
    PROOF_LEVEL,
    firmware_requests,
)
from ramferry.hardware.root import Root
from ramferry.metrics.host import OffloadProof
from ramferry.qatzip import members
from ramferry.qatzip.device import DeviceError, DeviceSession, Tuning
from ramferry.qatzip.library import Library, load
from ramferry.qatzip.software import SoftwareBackend
from ramferry.vocabulary import GZIP_EXT, MEMBER_SIZE


def prove(load_library: Callable[[], Library] = load, root: Root | None = None) -> OffloadProof:
    """Have ``PROOF_BYTES`` compressed and inflated with no software to fall back on.

    :param root: where the counters are read, this host's by default; only root may read them.
    :return: ``trouble`` says why nothing came out.
    """
    root = root or Root()
    before = _requests(root)
    try:
        xfl = _xfl_of_sample(load_library())
    except (MethodUnavailable, DeviceError) as error:
        return OffloadProof(PROOF_BYTES, PROOF_LEVEL, (), trouble=str(error))
    return OffloadProof(PROOF_BYTES, PROOF_LEVEL, xfl, before, _requests(root))


def _requests(root: Root) -> int | None:
    counters = firmware_requests(root)
    return sum(counters.values()) if counters else None


def _xfl_of_sample(library: Library) -> tuple[int, ...]:
    """XFL of each member that came out, once they inflate to what went in."""
    sample = b"".join(b"page %d of a guest. " % page for page in range(PROOF_BYTES // 16))
    sample = sample[:PROOF_BYTES]
    session = DeviceSession(library, PROOF_LEVEL, Tuning())
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
