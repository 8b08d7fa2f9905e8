"""Temporary folders: gone at the end, and what a killed process left goes at the next start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from ramferry.transport import tempfolder
from ramferry.transport.tempfolder import TempFolder, places_for_sockets, sweep


def test_it_is_the_owners_alone_and_goes_with_what_is_in_it(tmp_path: Path) -> None:
    with TempFolder(tmp_path) as folder:
        assert folder.path.parent == tmp_path
        assert folder.path.stat().st_mode & 0o777 == 0o700
        (folder.path / "below").mkdir()
        (folder.path / "below" / "file").touch()
    assert not list(tmp_path.iterdir())


def test_where_tmpdir_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with TempFolder() as folder:
        assert folder.path.parent == tmp_path


def test_sockets_fit_where_tmpdir_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = 107 - 24 - len(f"/ramferry.{os.getpid()}.12345678/")
    fits = Path("/" + "x" * (longest - 1))
    monkeypatch.setattr(tempfile, "tempdir", str(fits))
    assert places_for_sockets()[0] == fits
    monkeypatch.setattr(tempfile, "tempdir", f"{fits}x")
    assert places_for_sockets() == (Path("/run"), Path("/dev/shm"), Path("/tmp"))
    monkeypatch.setattr(tempfolder, "SHORT_PLACES", (Path("/nowhere"), Path("/tmp")))
    with TempFolder.for_sockets() as folder, socket.socket(socket.AF_UNIX) as listener:
        assert folder.path.parent == Path("/tmp")
        listener.bind(str(folder.path / "destination-relay"))


def test_nowhere(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        TempFolder(tmp_path / "missing")


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    line = (
        "import sys, pathlib; from ramferry.transport.tempfolder import TempFolder; "
        "f = TempFolder(pathlib.Path(sys.argv[1])); "
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
            with TempFolder(tmp_path) as folder:
                assert left.exists()
                assert folder.path != left
        finally:
            process.send_signal(signal.SIGKILL)
    assert left.exists()
    with TempFolder(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder.path]


def test_a_folder_whose_lock_another_process_shares_stays(tmp_path: Path) -> None:
    folder = TempFolder(tmp_path)
    line = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, pass_fds=tempfolder.held()) as process:
        # as where this process is killed
        tempfolder._held.discard(folder.descriptor)
        os.close(folder.descriptor)
        sweep(tmp_path)
        assert folder.path.exists()
        process.kill()
    sweep(tmp_path)
    assert not folder.path.exists()
    assert folder.descriptor not in tempfolder.held()


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
    own, taken = tempfile.mkdtemp, []

    def stolen(**options: Any) -> str:
        path = own(**options)
        if not taken:
            taken.append(path)
            sweep(tmp_path)
        return path

    monkeypatch.setattr(tempfile, "mkdtemp", stolen)
    with TempFolder(tmp_path) as folder:
        assert taken != [str(folder.path)]
        assert folder.path.is_dir()
