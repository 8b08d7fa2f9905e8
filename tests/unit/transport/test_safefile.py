"""SafeFile: complete under its name or absent, also where files cannot be without a name."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ramferry.errors import HostError, UsageError
from ramferry.transport import safefile
from ramferry.transport.safefile import SafeFile

real_open, real_link = os.open, os.link


@pytest.fixture
def like(tmp_path: Path) -> os.stat_result:
    """The status of an input of mode 604 with an mtime of one second after the epoch."""
    path = tmp_path / "input"
    path.write_bytes(b"input")
    path.chmod(0o604)
    os.utime(path, (1, 1))
    return path.stat()


@pytest.fixture(params=["nameless", "named", "linkless", "without /proc"], autouse=True)
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Four kinds of file system: each test passes on all."""
    kind: str = request.param

    def open_(path: str, flags: int, *rest: int, **options: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return real_open(path, flags, *rest, **options)

    def link(*_names: str, **_options: int) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if kind in ("named", "linkless"):
        monkeypatch.setattr(os, "open", open_)
    if kind == "linkless":
        monkeypatch.setattr(os, "link", link)
    if kind == "without /proc":
        monkeypatch.setattr(safefile, "_OPEN_FILES", "/nonexistent")
    return kind


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_nothing_is_seen_before_the_commit(
    tmp_path: Path, like: os.stat_result, file_system: str
) -> None:
    target = tmp_path / "out"
    with SafeFile(target, replace=False, like=like) as safe:
        os.write(safe.fd, b"data")
        hidden = [name for name in names(tmp_path) if name != "input"]
        assert len(hidden) == (0 if file_system == "nameless" else 1)
        assert all(name.startswith(".ramferry-") for name in hidden)
        safe.commit()
    assert names(tmp_path) == ["input", "out"]
    assert target.read_bytes() == b"data"
    assert (target.stat().st_mode & 0o777, target.stat().st_mtime) == (0o604, 1)


def test_without_a_commit_nothing_stays(tmp_path: Path, like: os.stat_result) -> None:
    with SafeFile(tmp_path / "out", replace=False, like=like) as safe:
        os.write(safe.fd, b"half")
    with (
        pytest.raises(KeyboardInterrupt),
        SafeFile(tmp_path / "out", replace=False, like=like) as safe,
    ):
        raise KeyboardInterrupt
    assert names(tmp_path) == ["input"]


def test_replacing_is_all_or_nothing(tmp_path: Path, like: os.stat_result) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")
    with SafeFile(target, replace=True, like=like) as safe:
        os.write(safe.fd, b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"old"
    with SafeFile(target, replace=True, like=like) as safe:
        os.write(safe.fd, b"new")
        safe.commit()
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["input", "out"]


def test_a_file_that_appears_meanwhile_is_not_replaced(
    tmp_path: Path, like: os.stat_result
) -> None:
    target = tmp_path / "out"
    with SafeFile(target, replace=False, like=like) as safe:
        os.write(safe.fd, b"ours")
        target.write_bytes(b"theirs")
        with pytest.raises(UsageError, match="out exists: --force replaces it"):
            safe.commit()
    assert target.read_bytes() == b"theirs"
    assert names(tmp_path) == ["input", "out"]


def test_a_disk_that_fails_at_the_end_leaves_nothing(
    tmp_path: Path, like: os.stat_result, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with (
        SafeFile(tmp_path / "out", replace=False, like=like) as safe,
        pytest.raises(HostError, match=r"cannot write .*out: Input/output error"),
    ):
        safe.commit()
    assert names(tmp_path) == ["input"]


def test_no_descriptor_stays_open(tmp_path: Path, like: os.stat_result) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with SafeFile(tmp_path / "out", replace=False, like=like) as safe:
        safe.commit()
    with pytest.raises(HostError), SafeFile(tmp_path / "no" / "out", replace=False, like=like):
        pass
    assert len(os.listdir("/proc/self/fd")) == before
