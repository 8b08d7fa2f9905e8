"""Lines of a process on the far host, however its bytes come."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest

from ramferry.control.hosts import far_protocol as far
from ramferry.control.hosts.far_child import FarChild, FarLines
from ramferry.control.hosts.far_link import FarLink
from ramferry.errors import PeerUnreachable


def test_lines_in_pieces() -> None:
    lines = FarLines()
    for piece in (b"on", b"e\ntwo\nth", b"ree", None):
        lines.take(piece)
    assert list(lines) == ["one\n", "two\n", "three"]


def test_an_endless_line_is_no_end_of_memory() -> None:
    lines = FarLines()
    for _ in range(20):
        lines.take(bytes(65536).replace(b"\0", b"x"))
    lines.take(None)
    assert max(map(len, lines)) <= (1 << 20) + 65536


def test_bytes_that_are_no_text() -> None:
    lines = FarLines()
    lines.take(b"\xff\n")
    lines.take(None)
    assert list(lines) == ["\\xff\n"]


def test_where_the_connection_is_lost_it_has_ended_and_says_so() -> None:
    to_near, to_far = os.pipe(), os.pipe()
    reading, writing = os.fdopen(to_near[0], "rb"), os.fdopen(to_far[1], "wb")
    link = FarLink("beta", writing, reading)
    asked = []

    def answer() -> None:
        asked.append(os.read(to_far[0], 65536))
        os.write(to_near[1], far.line(far.Answer(3, 4711)))  # to its third number: Start

    far_half = threading.Thread(target=answer)
    far_half.start()
    try:
        child = FarChild(link, ("relay",), b"secret")
        assert child.pid == 4711
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.01)
        assert b'"arguments":["relay"]' in asked[0]
    finally:
        far_half.join()
        os.close(to_near[1])
        link.join(5.0)
        link.close()
        reading.close()
        os.close(to_far[0])
    assert child.wait(5.0) == PeerUnreachable.exit_code
    assert "the connection by ssh to beta has ended" in "".join(child.stderr)
