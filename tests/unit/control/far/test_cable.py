"""Whether the near host acknowledges: lines of /proc/net/tcp, and this process's own connection."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ramferry.control.far import cable as cable_module
from ramferry.control.far.cable import Cable, ends_of

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
LINE = "   0: 020200C0:0016 010200C0:C001 01 00000200:00000000 01:00000010 {} 0 0 99 2\n"
SIX = (
    "   1: 0000000000000000FFFF0000020200C0:0016 0000000000000000FFFF0000010200C0:C001 01"
    " 00000200:00000000 01:00000010 {} 0 0 99 2\n"
)
ENDS = ("192.0.2.2", 22, "192.0.2.1", 0xC001)


def table(path: Path, line: str, count: int) -> None:
    path.write_text(HEAD + line.format(f"{count:08X}"))


@pytest.mark.parametrize("line", [LINE, SIX], ids=["tcp", "tcp6"])
def test_bytes_that_are_sent_again_for_long_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    path = tmp_path / "tcp"
    monkeypatch.setattr(cable_module, "_TABLES", (tmp_path / "none", path))
    monkeypatch.setattr(cable_module, "CUT_SECONDS", 0.0)
    cable = Cable(ENDS)
    table(path, line, 0)
    assert not cable.cut()
    table(path, line, 3)
    assert cable.cut()
    table(path, line, 0)
    assert not cable.cut()


def test_not_before_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tcp"
    monkeypatch.setattr(cable_module, "_TABLES", (path,))
    table(path, LINE, 9)
    cable = Cable(ENDS)
    assert not cable.cut()
    assert not cable.cut()


@pytest.mark.parametrize(
    "ends",
    [None, ("192.0.2.2", 22, "192.0.2.1", 1), ("no address", 22, "192.0.2.1", 0xC001)],
    ids=["not known", "another connection", "no address"],
)
def test_what_is_not_in_the_table_is_not_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: cable_module.Ends | None
) -> None:
    path = tmp_path / "tcp"
    monkeypatch.setattr(cable_module, "_TABLES", (path,))
    monkeypatch.setattr(cable_module, "CUT_SECONDS", 0.0)
    table(path, LINE, 9)
    assert not Cable(ends).cut()


def test_a_connection_of_this_kernels_is_found() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as mine,
        Path("/proc/net/tcp").open() as lines,
        Path("/proc/net/tcp6").open() as lines_of_6,
    ):
        (host, port), (other, other_port) = mine.getsockname(), mine.getpeername()
        wanted = cable_module._as_written((host, port, other, other_port))
        assert cable_module.repeats(lines, wanted) == 0
        assert cable_module.repeats(lines_of_6, wanted) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1 49153 192.0.2.2 22", ENDS),
        ("", None),
        ("192.0.2.1 x 192.0.2.2 22", None),
        ("a b c", None),
    ],
)
def test_what_sshd_says(text: str, expected: cable_module.Ends | None) -> None:
    assert ends_of({"SSH_CONNECTION": text}) == expected
    assert ends_of({}) is None
