"""Folders that a QEMU's user may use, and nobody else."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ramferry.control.hosts import process
from ramferry.control.hosts.folders import Folder
from ramferry.control.hosts.process import Process
from ramferry.errors import HostError
from ramferry.transport.address import MAX_UNIX_PATH
from ramferry.transport.tempfolder import IN_MEMORY

OTHER = 65534
"""A user that is not this one."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root hands a folder to another user")


def folder_of(*parents: Path) -> Folder:
    """One for a QEMU that is this process."""
    return Folder("qmp:/vm", Process(os.getpid()), parents)


@pytest.fixture
def _another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """The QEMU is a process of this host and of another user."""
    monkeypatch.setattr(Process, "user", OTHER)


@contextmanager
def as_other() -> Iterator[None]:
    """Use files as the other user does."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(OTHER)
    os.seteuid(OTHER)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def test_one_of_the_same_user_is_ours_and_gone_at_the_end(tmp_path: Path) -> None:
    with folder_of(tmp_path) as folder:
        folder.require(writes=True)
        folder.hand_over()
        assert folder.path.parent == tmp_path
        assert folder.path.stat().st_mode & 0o777 == 0o700
        assert folder.path.stat().st_uid == os.geteuid()
        (folder.path / "piece").touch()
    assert not list(tmp_path.iterdir())


@as_root
@pytest.mark.usefixtures("_another_user")
def test_another_user_connects_to_ours_and_makes_its_own_and_nobody_else_does() -> None:
    with folder_of() as folder, socket.socket(socket.AF_UNIX) as ours:
        ours.bind(str(folder.path / "save"))
        ours.listen()
        folder.hand_over()
        with (
            as_other(),
            socket.socket(socket.AF_UNIX) as there,
            socket.socket(socket.AF_UNIX) as back,
        ):
            there.bind(str(folder.path / "incoming"))
            back.connect(str(folder.path / "save"))
        facts = folder.path.stat()
        assert (facts.st_uid, facts.st_mode & 0o777) == (OTHER, 0o700)
    assert not folder.path.exists()


@as_root
@pytest.mark.usefixtures("_another_user")
def test_what_its_user_put_in_our_sockets_place_is_not_opened_to_all(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch(0o600)
    with folder_of() as folder:
        folder.hand_over()
        (folder.path / "save").symlink_to(secret)
        folder.hand_over()
    assert secret.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("_another_user")
@pytest.mark.parametrize("writes", [True, False])
def test_without_root_another_users_qemu_is_refused(
    monkeypatch: pytest.MonkeyPatch, writes: bool
) -> None:
    with folder_of() as folder:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(HostError, match=r"another user \(65534\).*as that user or as root"):
            folder.require(writes=writes)


def test_roots_qemu_passes_anyway_but_its_sockets_are_not_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Process, "user", 0)
    with folder_of() as folder:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        folder.require(writes=False)
        folder.hand_over()
        with pytest.raises(HostError, match=r"another user \(0\)"):
            folder.require(writes=True)


def test_a_long_tmpdir_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = tmp_path / ("x" * MAX_UNIX_PATH)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with folder_of() as folder:
        assert len(f"{folder.path}/destination-relay") <= MAX_UNIX_PATH
        assert not list(long.iterdir())


@as_root
@pytest.mark.usefixtures("_another_user")
def test_a_tmpdir_that_its_user_may_not_enter_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with folder_of() as folder:
        assert folder.path.parent != tmp_path
    with pytest.raises(HostError, match=r"the QEMU's user \(65534\) may not enter that"):
        folder_of(tmp_path)


def test_a_place_that_the_qemu_sees_otherwise_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own, look = os.stat, f"/proc/{os.getpid()}/root{tmp_path}"

    def stat(path: Any, **options: Any) -> os.stat_result:
        return own("/" if str(path).startswith(look) else path, **options)

    monkeypatch.setattr(process.os, "stat", stat)
    with folder_of(tmp_path, IN_MEMORY) as folder:
        assert folder.path.parent == IN_MEMORY
    with pytest.raises(HostError, match="sees another file system there"):
        folder_of(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_in_any_of_the_places_goes(tmp_path: Path) -> None:
    """For example guest memory of `plan time`, swept by a `save`."""
    left = IN_MEMORY / "ramferry.0.leftover"
    left.mkdir(0o700)
    (left / "piece").touch()
    with folder_of(tmp_path):
        assert not left.exists()
