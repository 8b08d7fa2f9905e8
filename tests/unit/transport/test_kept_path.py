"""A listening UNIX socket whose path is taken away: by whom, what is said, and who still comes."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from leftovers import no_descriptor_left
from ramferry.transport import kept_path
from ramferry.transport.kept_path import KeptPath

NAME = "unix:relay.sock"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kept_path, "_LOOK_SECONDS", 0.0)
    return tmp_path / "relay.sock"


@pytest.fixture
def kept(path: Path) -> Iterator[KeptPath]:
    with closing(KeptPath(str(path), 8)) as made:
        yield made


def another(path: Path) -> socket.socket:
    """As a QEMU listens: what stands at the path is removed."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    return sock


def caller(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))
    return sock


def readable(kept: KeptPath) -> bool:
    return bool(select.select([kept.fileno()], [], [], 0)[0])


def accepts(kept: KeptPath, place: int = 0) -> bool:
    try:
        sock, _ = kept.sockets[place].accept()
    except BlockingIOError:
        return False
    sock.close()
    return True


def test_as_long_as_it_stands_there_is_nothing_to_say(kept: KeptPath, path: Path) -> None:
    before = path.stat()
    assert kept.keep(NAME) == ""
    assert os.path.samestat(path.stat(), before)


def test_a_path_that_was_removed_is_bound_again(kept: KeptPath, path: Path) -> None:
    path.unlink()
    said = kept.keep(NAME)
    assert NAME in said
    assert "listening there again" in said
    assert kept.keep(NAME) == ""
    with caller(path):
        assert readable(kept)
        assert accepts(kept)
    assert not readable(kept)


def test_who_had_connected_before_is_not_lost(kept: KeptPath, path: Path) -> None:
    with caller(path):
        path.unlink()
        assert kept.keep(NAME)
        assert kept.keep(NAME) == ""
        assert len(kept.sockets) == 2
        assert readable(kept)
        assert not accepts(kept)
        assert accepts(kept, 1)
    assert kept.keep(NAME) == ""
    assert len(kept.sockets) == 1
    assert not readable(kept)


def test_a_live_socket_is_left_alone_and_said_once(kept: KeptPath, path: Path) -> None:
    with another(path) as qemu:
        qemu.setblocking(False)
        said = kept.keep(NAME)
        assert "another process listens there" in said
        assert "until that has changed" in said
        assert kept.keep(NAME) == ""
        with pytest.raises(BlockingIOError):  # not even connected to
            qemu.accept()
        path.unlink()
    assert "listening there again" in kept.keep(NAME)
    with caller(path):
        assert accepts(kept)


def test_a_stale_socket_is_replaced(kept: KeptPath, path: Path) -> None:
    another(path).close()
    assert "listening there again" in kept.keep(NAME)
    with caller(path):
        assert accepts(kept)


def test_a_socket_of_which_the_kernel_does_not_tell_is_connected_to_once(
    kept: KeptPath, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of another network namespace, where perhaps a QEMU waits for its guest."""
    monkeypatch.setattr(kept_path, "_listed_as_listening", lambda *_: False)
    with another(path) as qemu:
        qemu.setblocking(False)
        for _ in range(3):
            kept.keep(NAME)
        qemu.accept()[0].close()
        with pytest.raises(BlockingIOError):
            qemu.accept()


def test_what_is_no_socket_is_left_alone(kept: KeptPath, path: Path) -> None:
    path.unlink()
    path.write_text("precious")
    assert "not a socket" in kept.keep(NAME)
    assert kept.keep(NAME) == ""
    assert path.read_text() == "precious"


def test_a_folder_that_is_gone_is_waited_for(path: Path) -> None:
    folder = path.with_name("run")
    folder.mkdir()
    with closing(KeptPath(str(folder / "sock"), 8)) as kept:
        (folder / "sock").unlink()
        folder.rmdir()
        assert "No such file or directory" in kept.keep(NAME)
        assert kept.keep(NAME) == ""
        folder.mkdir()
        assert "listening there again" in kept.keep(NAME)
        assert (folder / "sock").is_socket()


def test_one_that_was_renamed_is_where_its_owner_wants_it(kept: KeptPath, path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    assert kept.keep(NAME) == ""
    assert not path.exists()
    with caller(elsewhere):
        assert accepts(kept)


def test_permissions_are_those_of_the_old_one(kept: KeptPath, path: Path) -> None:
    path.chmod(0o620)
    path.unlink()
    assert kept.keep(NAME)
    assert path.stat().st_mode & 0o777 == 0o620


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file away")
def test_its_owner_too_whenever_it_got_one(kept: KeptPath, path: Path) -> None:
    """libvirt gives it to QEMU's user when a migration begins."""
    os.chown(path, 64055, 64056)
    with another(path):
        assert kept.keep(NAME)
        path.unlink()
    assert kept.keep(NAME)
    assert (path.stat().st_uid, path.stat().st_gid) == (64055, 64056)


def test_an_owner_that_cannot_be_given_back_is_told(
    kept: KeptPath, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    path.unlink()
    before = os.umask(0o777)
    try:
        said = kept.keep(NAME)
    finally:
        os.umask(before)
    assert "could not get its owner back (Operation not permitted)" in said


def test_the_path_goes_with_it_unless_it_is_anothers(path: Path) -> None:
    first = KeptPath(str(path), 8)
    path.unlink()
    with closing(KeptPath(str(path), 8)):
        first.close()
        caller(path).close()
    assert not path.exists()


def test_nothing_is_left_open(path: Path) -> None:
    with no_descriptor_left():
        kept = KeptPath(str(path), 8)
        path.unlink()
        kept.keep(NAME)
        kept.close()
        with another(path), pytest.raises(OSError, match="another process listens there"):
            KeptPath(str(path), 8)
