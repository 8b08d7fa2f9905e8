"""The hardware backend against a stand-in for libqatzip that behaves as a device does, or fails."""

from __future__ import annotations

import random
import threading
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ramferry.errors import CorruptDataError
from ramferry.qatzip import Session
from ramferry.qatzip.hardware import CALL_BYTES, PATIENCE, HardwareBackend, describe
from standins import StandIn

NOISE = random.Random(11).randbytes(4 * 1024 * 1024)
PACKET = memoryview(NOISE[: 512 * 1024])


@pytest.fixture
def standin(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


@pytest.fixture
def backend(standin: StandIn) -> HardwareBackend:
    return HardwareBackend(standin.library, 1)


def compressed(backend: HardwareBackend, data: bytes | memoryview) -> bytes:
    return b"".join(backend.compress_parts(memoryview(data)))


def by_software(payload: bytes) -> bytes:
    return bytes(Session(accelerator="off").decompress(payload).data)


def test_a_packet_goes_through_the_device_both_ways(
    standin: StandIn, backend: HardwareBackend
) -> None:
    payload = compressed(backend, PACKET)
    assert by_software(payload) == PACKET
    assert [payload[8], payload[9]] == [0, 255]
    out = bytearray(len(PACKET))
    backend.decompress_into(memoryview(payload), memoryview(out))
    assert out == PACKET
    assert (standin.count("compressed"), standin.count("inflated")) == (1, 1)
    assert (backend.used, backend.name) == ("qat", "qat")
    assert backend.shares == {"qat": 2 * len(PACKET)}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.sampled_from([0, 1, 1023, 1024, 65535, 65536, 65537, 66560, CALL_BYTES, CALL_BYTES + 1])
    | st.integers(0, len(NOISE))
)
def test_every_size_comes_back(backend: HardwareBackend, size: int) -> None:
    data = NOISE[:size]
    payload = compressed(backend, data)
    assert by_software(payload) == data
    assert backend.decompress(memoryview(payload), size) == data


def test_what_is_too_short_for_a_device_is_the_cpus(
    standin: StandIn, backend: HardwareBackend
) -> None:
    payload = compressed(backend, NOISE[: 65536 + 1023])
    assert by_software(payload) == NOISE[: 65536 + 1023]
    assert backend.shares == {"qat": 65536, "isa-l": 1023}
    compressed(backend, b"short")
    assert (standin.count("calls"), backend.used) == (1, "isa-l")


def test_parameters_reach_the_library(standin: StandIn) -> None:
    payload = compressed(HardwareBackend(standin.library, 7), PACKET)
    assert int.from_bytes(payload[16:20], "little") == 65536
    expected = {
        "level": 7, "sw_backup": 0, "hw_buff_sz": 65536, "polling": 0, "huffman": 0,
        "threshold": 1024, "format": 2, "algorithm": 8,
    }  # fmt: skip
    assert {name: standin.count(name) for name in expected} == expected


@pytest.mark.parametrize("code", [-5, -2, -100, 14])
def test_a_failed_call_is_done_by_the_cpu_and_the_session_is_rebuilt(
    standin: StandIn, backend: HardwareBackend, code: int
) -> None:
    standin.set(call_code=code, times=1)
    assert by_software(compressed(backend, PACKET)) == PACKET
    assert (backend.used, backend.lost) == ("isa-l", False)
    assert backend.trouble.startswith(f"qzCompress returned {code} (")
    assert by_software(compressed(backend, PACKET)) == PACKET
    assert backend.used == "qat"
    assert backend.name == "isa-l 50 % / qat 50 %"
    assert (standin.count("setups"), standin.count("teardowns")) == (2, 1)
    assert standin.count("after_error") == 0


def test_a_device_that_fails_again_and_again_is_given_up(
    standin: StandIn, backend: HardwareBackend
) -> None:
    standin.set(call_code=-5)
    for _ in range(PATIENCE + 2):
        assert by_software(compressed(backend, PACKET)) == PACKET
    assert backend.lost
    assert standin.count("calls") == PATIENCE


@pytest.mark.parametrize("code", [13, -103])
def test_busy_instances_are_asked_again_for_ever(
    standin: StandIn, backend: HardwareBackend, code: int
) -> None:
    standin.set(call_code=code, times=PATIENCE + 1)
    for _ in range(PATIENCE + 1):
        compressed(backend, PACKET)
    assert (backend.lost, backend.used) == (False, "isa-l")
    compressed(backend, PACKET)
    assert backend.used == "qat"


def test_a_device_that_is_lost_hands_over_to_the_cpu(
    standin: StandIn, backend: HardwareBackend
) -> None:
    standin.set(lost_after=3)
    for _ in range(6):
        assert by_software(compressed(backend, PACKET)) == PACKET
    assert (backend.lost, standin.count("calls")) == (True, 4)
    assert backend.shares == {"qat": 3 * len(PACKET), "isa-l": 3 * len(PACKET)}
    out = bytearray(len(PACKET))
    backend.decompress_into(memoryview(compressed(backend, PACKET)), memoryview(out))
    assert out == PACKET


@pytest.mark.parametrize("name", ["init_code", "setup_code"])
def test_a_session_that_cannot_be_set_up_is_the_cpus(
    standin: StandIn, backend: HardwareBackend, name: str
) -> None:
    standin.set(**{name: -101})
    assert by_software(compressed(backend, PACKET)) == PACKET
    assert (backend.lost, standin.count("calls")) == (True, 0)
    assert "-101 (no device" in backend.trouble


def test_success_with_a_bad_status_is_no_success(
    standin: StandIn, backend: HardwareBackend
) -> None:
    standin.set(stat=11, times=1)
    assert by_software(compressed(backend, PACKET)) == PACKET
    assert (backend.used, backend.lost) == ("isa-l", True)
    assert backend.trouble == "after qzCompress hw_session_stat is 11 (no device)"


def test_the_librarys_own_software_is_found_out(standin: StandIn, backend: HardwareBackend) -> None:
    standin.set(software=1)
    assert by_software(compressed(backend, PACKET)) == PACKET
    assert (backend.shares, backend.lost) == ({"isa-l": len(PACKET)}, True)


@pytest.mark.parametrize("where", [2, 3])
def test_output_that_is_not_of_the_input_is_thrown_away(
    standin: StandIn, backend: HardwareBackend, where: int
) -> None:
    standin.set(corrupt=where, times=1)
    assert by_software(compressed(backend, PACKET)) == PACKET
    assert (backend.used, standin.count("teardowns")) == ("isa-l", 1)
    assert backend.trouble == "what the device wrote is not what it was given"


def test_a_short_consumption_is_noticed(standin: StandIn, backend: HardwareBackend) -> None:
    standin.set(short=65536, times=1)
    assert by_software(compressed(backend, PACKET)) == PACKET
    assert backend.trouble == "qzCompress did 458752 of 524288 bytes"


@pytest.mark.parametrize(
    "fault", [{"call_code": -5}, {"corrupt": 1}, {"short": 9}, {"short_out": 1}, {"stat": 11}]
)
def test_inflating_goes_on_in_software(
    standin: StandIn, backend: HardwareBackend, fault: dict[str, int]
) -> None:
    payload = memoryview(compressed(backend, PACKET))
    standin.set(**fault, times=1)
    out = bytearray(len(PACKET))
    backend.decompress_into(payload, memoryview(out))
    assert (out, backend.used) == (PACKET, "isa-l")
    assert backend.trouble


def test_damaged_data_is_judged_by_the_cpu_and_the_session_goes_on(
    standin: StandIn, backend: HardwareBackend
) -> None:
    good = compressed(backend, PACKET)
    damaged = bytearray(good)
    damaged[1000] ^= 1
    out = memoryview(bytearray(len(PACKET)))
    with pytest.raises(CorruptDataError):
        backend.decompress_into(memoryview(damaged), out)
    backend.decompress_into(memoryview(good), out)
    assert (backend.used, standin.count("after_error")) == ("qat", 0)


@pytest.mark.parametrize("change", [b"\0", b"\x1f\x8b"])
def test_trailing_bytes_are_an_error(backend: HardwareBackend, change: bytes) -> None:
    payload = memoryview(compressed(backend, PACKET) + change)
    with pytest.raises(CorruptDataError):
        backend.decompress_into(payload, memoryview(bytearray(len(PACKET))))


def test_what_a_device_does_not_take_is_inflated_in_software(
    standin: StandIn, backend: HardwareBackend
) -> None:
    engine = zlib.compressobj(1, zlib.DEFLATED, 31)
    plain = engine.compress(PACKET) + engine.flush()
    large = Session(accelerator="off", member_size=1 << 19).compress(PACKET).data
    for payload in (plain, large):
        out = bytearray(len(PACKET))
        backend.decompress_into(memoryview(payload), memoryview(out))
        assert out == PACKET
    assert standin.count("calls") == 0


def test_more_than_was_allowed_is_refused(backend: HardwareBackend) -> None:
    payload = memoryview(compressed(backend, PACKET))
    with pytest.raises(CorruptDataError):
        backend.decompress(payload, len(PACKET) - 1)


@pytest.mark.parametrize("unpinned", [0, 1])
def test_buffers_are_the_devices_or_plain(standin: StandIn, unpinned: int) -> None:
    standin.set(unpinned=unpinned)
    backend = HardwareBackend(standin.library, 1)
    pages = backend.buffer(len(PACKET))
    pages[:] = PACKET
    assert by_software(compressed(backend, pages)) == PACKET
    assert backend.used == "qat"
    assert standin.count("mallocs") == (0 if unpinned else 2)
    del pages, backend
    assert standin.count("frees") == standin.count("mallocs")
    assert standin.count("teardowns") == standin.count("setups") == 1


def test_threads_have_sessions_of_their_own(standin: StandIn) -> None:
    wrong: list[int] = []

    def work(index: int) -> None:
        backend = HardwareBackend(standin.library, 1)
        data = NOISE[index : index + 300_000]
        for _ in range(10):
            if by_software(compressed(backend, data)) != data or backend.used != "qat":
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert (standin.count("shared"), standin.count("setups")) == (0, 4)


@pytest.mark.parametrize(
    ("shares", "text"),
    [
        ({}, ""),
        ({"qat": 0}, "qat"),
        ({"qat": 5}, "qat"),
        ({"isa-l": 7, "qat": 93}, "qat 93 % / isa-l 7 %"),
        ({"isa-l": 1, "qat": 10**9}, "qat 99 % / isa-l 1 %"),
        ({"isa-l": 0, "qat": 10}, "qat"),
        ({"isa-l": 620, "qat": 379, "libdeflate": 1}, "isa-l 61 % / qat 38 % / libdeflate 1 %"),
        ({"isa-l": 455, "qat": 455, "libdeflate": 90}, "isa-l 45 % / qat 46 % / libdeflate 9 %"),
    ],
)
def test_shares_in_words(shares: dict[str, int], text: str) -> None:
    assert describe(shares) == text
