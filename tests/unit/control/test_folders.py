"""Folders that a QEMU's user may use, and nobody else; what a killed process left goes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ramferry.control import folders
from ramferry.control.folders import Folder, Folders, file_owner, sweep
from ramferry.control.plan import Party, Route
from ramferry.errors import HostError, PeerUnreachable
from ramferry.transport.address import MAX_UNIX_PATH

OTHER = 65534
"""A user that is not this one."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root hands a folder to another user")


def party(pid: int | None = os.getpid()) -> Party:
    return cast("Party", SimpleNamespace(uri="qmp:/vm", pid=pid))


@pytest.fixture
def _another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """The QEMU is a process of this host and of another user."""
    monkeypatch.setattr(folders, "file_owner", lambda _: OTHER)


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
    with Folder(party(), (tmp_path,)) as folder:
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
    with Folder(party()) as folder, socket.socket(socket.AF_UNIX) as ours:
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
    with Folder(party()) as folder:
        folder.hand_over()
        (folder.path / "save").symlink_to(secret)
        folder.hand_over()
    assert secret.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("_another_user")
@pytest.mark.parametrize("writes", [True, False])
def test_without_root_another_users_qemu_is_refused(
    monkeypatch: pytest.MonkeyPatch, writes: bool
) -> None:
    with Folder(party()) as folder:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(HostError, match=r"another user \(65534\).*as that user or as root"):
            folder.require(writes=writes)


def test_roots_qemu_passes_anyway_but_its_sockets_are_not_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(folders, "file_owner", lambda _: 0)
    with Folder(party()) as folder:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        folder.require(writes=False)
        folder.hand_over()
        with pytest.raises(HostError, match=r"another user \(0\)"):
            folder.require(writes=True)


def test_a_long_tmpdir_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = tmp_path / ("x" * MAX_UNIX_PATH)
    long.mkdir()
    monkeypatch.setattr(folders.tempfile, "tempdir", str(long))
    with Folder(party()) as folder:
        assert len(f"{folder.path}/destination-relay") <= MAX_UNIX_PATH
        assert not list(long.iterdir())


@as_root
@pytest.mark.usefixtures("_another_user")
def test_a_tmpdir_that_its_user_may_not_enter_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(folders.tempfile, "tempdir", str(tmp_path))
    with Folder(party()) as folder:
        assert folder.path.parent != tmp_path
    with pytest.raises(HostError, match=r"its user \(65534\) may not enter that"):
        Folder(party(), (tmp_path,))


def test_a_place_that_the_qemu_sees_otherwise_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own, look = os.stat, f"/proc/{os.getpid()}/root{tmp_path}"

    def stat(path: Any, **options: Any) -> os.stat_result:
        return own("/" if str(path).startswith(look) else path, **options)

    monkeypatch.setattr(folders.os, "stat", stat)
    with Folder(party(), (tmp_path, folders.IN_MEMORY)) as folder:
        assert folder.path.parent == folders.IN_MEMORY
    with pytest.raises(HostError, match="sees another file system there"):
        Folder(party(), (tmp_path,))
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    line = (
        "import sys, pathlib; from ramferry.control.folders import Folder; "
        "from types import SimpleNamespace as N; "
        "f = Folder(N(uri='', pid=None), (pathlib.Path(sys.argv[1]),)); "
        "(f.path / 'piece').touch(); print(f.path, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", line, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        try:
            with Folder(party(), (tmp_path,)) as folder:
                assert left.exists()
                assert folder.path != left
        finally:
            process.send_signal(signal.SIGKILL)
    assert left.exists()
    with Folder(party(), (tmp_path,)) as folder:
        assert list(tmp_path.iterdir()) == [folder.path]


def test_what_is_not_of_this_kind_stays(tmp_path: Path) -> None:
    for name in ("ramferry.12.abcdefgh", "ramferry.13.abcdefgh", "ramferry-notes"):
        (tmp_path / name).mkdir(0o700)
    (tmp_path / "ramferry.12.abcdefgh" / "kept").mkdir()
    (tmp_path / "ramferry.13.abcdefgh").chmod(0o755)
    (tmp_path / "ramferry.14.abcdefgh").symlink_to(tmp_path / "ramferry-notes")
    (tmp_path / "ramferry.15.abcdefgh").touch()
    sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


def test_another_users_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ramferry.12.abcdefgh").mkdir(0o700)
    with monkeypatch.context() as other:
        other.setattr(os, "geteuid", lambda: os.getuid() + 1)
        sweep(tmp_path)
    assert list(tmp_path.iterdir())
    sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_another_start_takes_for_left_is_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own, taken = folders.tempfile.mkdtemp, []

    def stolen(**options: Any) -> str:
        path = own(**options)
        if not taken:
            taken.append(path)
            sweep(tmp_path)
        return path

    monkeypatch.setattr(folders.tempfile, "mkdtemp", stolen)
    with Folder(party(), (tmp_path,)) as folder:
        assert taken != [str(folder.path)]
        assert folder.path.is_dir()


def test_two_users_have_a_folder_each() -> None:
    route = Route("", "", None, (), "none", "none")
    with Folders(party(), party()) as both:
        paths = Path(both.sockets.source), Path(both.sockets.destination)
        assert paths[0] != paths[1]
        both.require(route)
        both.admit_source()
    assert not any(path.exists() for path in paths)


def test_whose_files_a_process_makes() -> None:
    assert file_owner(os.getpid()) == os.geteuid()
    with pytest.raises(PeerUnreachable, match="has ended"):
        file_owner(1 << 22 | 1)
