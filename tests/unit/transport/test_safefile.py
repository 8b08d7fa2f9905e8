"""SafeFile: complete under its name or absent, also where files cannot be without a name."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from leftovers import no_descriptor_left
from ramferry.errors import HostError, UsageError
from ramferry.transport import safefile
from ramferry.transport.safefile import SafeFile

real_open, real_link, real_fsync = os.open, os.link, os.fsync
SETTLE = 10.0


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
    with no_descriptor_left():
        with SafeFile(tmp_path / "out", replace=False, like=like) as safe:
            safe.commit()
        with pytest.raises(HostError), SafeFile(tmp_path / "no" / "out", replace=False, like=like):
            pass


def test_the_data_and_then_the_name_are_brought_to_disk(
    tmp_path: Path, like: os.stat_result, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    synced: list[tuple[str, bool]] = []

    def fsync(fd: int) -> None:
        kind = "folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "file"
        synced.append((kind, target.exists()))
        real_fsync(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with SafeFile(target, replace=False, like=like) as safe:
        os.write(safe.fd, b"data")
        safe.commit()
        assert safe.committed
    assert synced == [("file", False), ("folder", True)]


@pytest.mark.parametrize(("number", "there"), [(errno.EIO, False), (errno.EINVAL, True)])
def test_a_name_that_may_be_lost_is_taken_away(
    tmp_path: Path,
    like: os.stat_result,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    there: bool,
) -> None:
    """But there are file systems that know no fsync of a folder."""

    def fsync(fd: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            raise OSError(number, os.strerror(number))
        real_fsync(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with SafeFile(tmp_path / "out", replace=False, like=like) as safe:
        if there:
            safe.commit()
        else:
            with pytest.raises(HostError, match="cannot write"):
                safe.commit()
        assert safe.committed is there
    assert names(tmp_path) == (["input", "out"] if there else ["input"])


class Sleeper:
    """Stands in for a call that takes long; it goes on when it is let."""

    def __init__(self, real: Callable[..., None], takes: Callable[..., bool]) -> None:
        self.begun, self.let = threading.Event(), threading.Event()
        self._real, self._takes = real, takes

    def __call__(self, *arguments: int) -> None:
        if self._takes(*arguments):
            self.begun.set()
            assert self.let.wait(SETTLE)
        self._real(*arguments)


def in_thread(work: Callable[[], None]) -> tuple[threading.Thread, list[BaseException]]:
    caught: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, caught


def test_a_file_that_is_left_while_it_goes_to_disk_gets_no_name(
    tmp_path: Path, like: os.stat_result, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a descriptor closed under the thread that uses it: its number might be another's."""
    fsync = Sleeper(real_fsync, lambda _: True)
    monkeypatch.setattr(os, "fsync", fsync)
    with SafeFile(tmp_path / "out", replace=True, like=like) as safe:
        fd = safe.fd
        thread, caught = in_thread(safe.commit)
        assert fsync.begun.wait(SETTLE)
    os.fstat(fd)  # still open
    fsync.let.set()
    thread.join(SETTLE)
    assert [str(error) for error in caught] == [f"cannot write {tmp_path / 'out'}: it was given up"]
    assert (names(tmp_path), safe.fd, safe.committed) == (["input"], -1, False)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    with pytest.raises(HostError, match="given up"), safe.using():
        pass


def test_whoever_leaves_while_it_gets_its_name_knows_that_it_has_it(
    tmp_path: Path, like: os.stat_result, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = Sleeper(real_fsync, lambda fd: os.path.isdir(f"/proc/self/fd/{fd}"))
    monkeypatch.setattr(os, "fsync", fsync)
    with SafeFile(tmp_path / "out", replace=False, like=like) as safe:
        thread, caught = in_thread(safe.commit)
        assert fsync.begun.wait(SETTLE)
        threading.Timer(0.05, fsync.let.set).start()
    assert safe.committed
    assert names(tmp_path) == ["input", "out"]
    thread.join(SETTLE)
    assert caught == []


def test_only_links_to_files_are_replaced(tmp_path: Path, like: os.stat_result) -> None:
    link = tmp_path / "link"
    for target in ("/dev/null", str(tmp_path)):
        link.symlink_to(target)
        with pytest.raises(UsageError, match="is not a regular file"):
            SafeFile(link, replace=True, like=like)
        link.unlink()
    for target in ("input", "nothing"):
        link.symlink_to(target)
        with SafeFile(link, replace=True, like=None) as safe:
            safe.commit()
        assert not link.is_symlink()
        link.unlink()
