"""A relay between writers and readers: all that was written arrives, and what does not is seen."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from ramferry.bench.ceiling import stand, stream
from ramferry.bench.ceiling.children import Child, Children
from ramferry.bench.ceiling.course import Course, run
from ramferry.bench.ceiling.wish import LINKS, Wish
from ramferry.errors import Cancelled, HostError
from ramferry.vocabulary import PACKET_BYTES


def course(
    method_in: str, method_out: str, channels: int = 1, **more: float | str | None
) -> Course:
    wish = Wish(method_in, method_out, channels, 0.05, **more)  # type: ignore[arg-type]
    return run(wish, threading.Event())


@pytest.mark.parametrize("ways", [("none", "none"), ("none", "qatzip"), ("qatzip", "none")])
def test_all_packets_arrive(ways: tuple[str, str]) -> None:
    """The run itself compares the bytes of each channel."""
    found = course(*ways, channels=2)
    first, last = found.first, found.last
    syncs = 2 * 3
    assert 0 < last.packets <= found.packets + syncs
    assert last.packets > first.packets
    assert last.page_bytes % PACKET_BYTES == 0
    assert last.cpu_seconds > first.cpu_seconds
    assert last.voluntary > first.voluntary
    assert found.held is not None
    assert 0 <= found.held <= 1
    assert found.memory > 1 << 20


def test_a_codec_takes_its_time() -> None:
    found = course("none", "qatzip", codec_micros=2000.0)
    spent = found.last.codec_seconds - found.first.codec_seconds
    # the last packet may be at work
    assert spent >= 0.001 * (found.last.packets - found.first.packets - 1)


@pytest.mark.parametrize("ways", [("none", "zstd"), ("qatzip", "none")])
def test_the_methods_own_codecs_work(ways: tuple[str, str]) -> None:
    found = course(*ways, codec_micros=None, cores=1)
    assert found.packets > 0
    assert found.last.codec_seconds > 0


def test_bytes_that_do_not_arrive_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    packet = stream.packet("none", own_codecs=False)
    monkeypatch.setattr(stand.stream, "packet", lambda *_, **__: packet)
    monkeypatch.setattr(stand.stream, "payload_size", lambda _: PACKET_BYTES + 1)
    with pytest.raises(HostError, match=r"\d+ bytes of channel 0 arrived, \d+ were due"):
        course("none", "none")


def test_a_relay_that_cannot_be_is_quoted() -> None:
    with pytest.raises(HostError, match=r"^the relay ended: method 'nonsense' is not one of"):
        course("none", "nonsense")


def test_a_relay_that_fails_gives_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    readers: list[Child] = []
    start = Children.start

    def remember(self: Children, name: str, *arguments: Any, **named: Any) -> Child:
        child = start(self, name, *arguments, **named)
        readers.extend([child] if name.startswith("reader") else [])
        return child

    def kill_a_reader(relay: Child, word: str) -> None:
        del word
        readers[0].process.kill()
        relay.process.wait(20)

    monkeypatch.setattr(Children, "start", remember)
    monkeypatch.setattr(Child, "ask", kill_a_reader)
    with pytest.raises(HostError, match=r"^the relay ended: multifd 0: the destination "):
        course("none", "none")


def test_it_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        run(Wish("none", "none", 1, 0.05), stop)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("method", ["none", "qatzip"])
def test_each_side_goes_by_tcp_or_tls(method: str, link: str) -> None:
    """The run compares the bytes of each channel here, too; those in TLS by their records."""
    ways = ("none", method) if link.endswith("out") else (method, "none")
    found = course(*ways, channels=3, link=link)
    assert found.packets > 0
