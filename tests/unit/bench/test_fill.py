"""The data that guests are filled with: the ratio it claims, the same every time, never twice."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from ramferry.bench.fill import CHUNK, EXTENT, LEAST_DATA, LOW_MEMORY, Bytes, data_files, fill
from ramferry.errors import HostError, UsageError
from ramferry.vocabulary import PACKET_BYTES

MIB = 1024 * 1024
PAGE = 4096


@pytest.fixture(scope="module")
def ram() -> Bytes:
    filled = np.full(64 * MIB, 0xEE, np.uint8)
    fill(filled)
    return filled


def pages_of(ram: Bytes) -> Bytes:
    return ram[LOW_MEMORY:].reshape(-1, PAGE)


def test_low_memory_is_left_alone(ram: Bytes) -> None:
    assert (ram[:LOW_MEMORY] == 0xEE).all()


def test_a_quarter_are_zero_pages(ram: Bytes) -> None:
    share = 1 - pages_of(ram).any(axis=1).mean()
    assert 0.20 < share < 0.30


def test_normal_pages_have_the_ratio_of_a_zlib_channel(ram: Bytes) -> None:
    normal = pages_of(ram)[pages_of(ram).any(axis=1)].reshape(-1)
    stream = zlib.compressobj(1)
    sent = 0
    for begin in range(0, len(normal), PACKET_BYTES):
        sent += len(stream.compress(normal[begin : begin + PACKET_BYTES]))
        sent += len(stream.flush(zlib.Z_SYNC_FLUSH))
    assert len(normal) / sent == pytest.approx(2.65, abs=0.1)


def test_no_normal_page_comes_twice(ram: Bytes) -> None:
    normal = pages_of(ram)[pages_of(ram).any(axis=1)]
    assert len({page.tobytes() for page in normal}) == len(normal)


def test_the_seed_decides_and_the_length_does_not(ram: Bytes) -> None:
    smaller = np.zeros(8 * MIB + 3 * EXTENT, np.uint8)
    fill(smaller)
    assert (smaller[LOW_MEMORY:] == ram[LOW_MEMORY : len(smaller)]).all()
    fill(smaller, seed=2)
    assert not (smaller[LOW_MEMORY:] == ram[LOW_MEMORY : len(smaller)]).all()


def test_old_contents_are_gone() -> None:
    once, again = np.zeros(4 * CHUNK, np.uint8), np.full(4 * CHUNK, 0xFF, np.uint8)
    fill(once, low=0)
    fill(again, low=0)
    assert (once == again).all()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, ...]:
    rng = np.random.default_rng(7)
    for name, size in (("a", LEAST_DATA - 5), ("b", 0), ("c", 3 * PAGE + 5)):
        (tmp_path / name).write_bytes(rng.bytes(size))
    return data_files(str(tmp_path))


def test_files_fill_ram_in_order_and_over_again(files: tuple[Path, ...]) -> None:
    data = np.frombuffer(b"".join(path.read_bytes() for path in files), np.uint8)
    ram = np.zeros(40 * MIB, np.uint8)
    fill(ram, files=files)
    body = ram[LOW_MEMORY:]
    period = len(data) - PAGE + 1
    while not (body[period : period + PAGE] == data[:PAGE]).all():
        period += 1
    assert period <= len(data)
    assert (body[:period] == data[:period]).all()
    assert (body[period : 2 * period] == data[:period]).all()
    assert (body[2 * period :] == data[: len(body) - 2 * period]).all()
    assert not ram[:LOW_MEMORY].any()


def test_repeated_files_make_no_page_twice(files: tuple[Path, ...]) -> None:
    ram = np.zeros(100 * MIB, np.uint8)
    fill(ram, files=files)
    pages = pages_of(ram)
    assert len({page.tobytes() for page in pages}) == len(pages)


@pytest.mark.parametrize("from_files", [True, False])
def test_filling_can_be_ended(files: tuple[Path, ...], from_files: bool) -> None:
    """A guest of 64 GiB takes half a minute."""
    ram = np.zeros(40 * MIB, np.uint8)
    looks = iter(range(3))

    def heed() -> None:
        if next(looks) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(ram, files=files if from_files else (), heed=heed)
    assert ram[LOW_MEMORY : 2 * LOW_MEMORY].any()
    assert not ram[-MIB:].any()


def test_too_little_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x" * 1024)
    with pytest.raises(UsageError, match=r"hold 0\.0 MiB together: give at least 16 MiB"):
        fill(np.zeros(4 * MIB, np.uint8), files=data_files(str(tmp_path)))


def test_data_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("folder/z", "folder/y", "x"):
        (tmp_path / name).write_bytes(b"1")
    found = data_files(f"{tmp_path}/x:{tmp_path}/folder")
    assert [path.name for path in found] == ["x", "y", "z"]
    assert data_files("") == ()
    with pytest.raises(UsageError, match=r"RAMFERRY_DATA names .*/none, but there is no file"):
        data_files(f"{tmp_path}/none")


def test_a_file_that_went_away(files: tuple[Path, ...]) -> None:
    files[0].unlink()
    with pytest.raises(HostError, match=r"cannot read .*/a: No such file"):
        fill(np.zeros(4 * MIB, np.uint8), files=files)


def test_random_bytes_fill_a_share_of_the_end(ram: Bytes) -> None:
    half = np.zeros(16 * MIB, np.uint8)
    fill(half, random_share=0.5)
    assert (half[LOW_MEMORY : 8 * MIB] == ram[LOW_MEMORY : 8 * MIB]).all()
    rest = half[8 * MIB :]
    assert len(zlib.compress(rest.tobytes(), 1)) > len(rest)
    assert len({page.tobytes() for page in rest.reshape(-1, PAGE)}) == len(rest) // PAGE
    fill(half, random_share=1.0)
    assert len(zlib.compress(half[LOW_MEMORY:].tobytes(), 1)) > len(half) - LOW_MEMORY
