"""A probe of the link: both ends, whom it never connects to, and whom it does not listen to."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest

from fakes_clock import stopping
from ports import port_of_two, port_taken_by_udp
from ramferry.control.link import far, near
from ramferry.control.link.far import LinkAnswer
from ramferry.control.link.near import ANSWERS, ASKS, Header, parse_header, probe_link
from ramferry.errors import Cancelled, HostError, PeerUnreachable
from ramferry.transport import probe, throughput
from ramferry.transport.address import TcpAddress

NONCE = bytes(range(16))
RAW = b"RFProbe1\x02\x08" + NONCE


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "SETTLE_SECONDS", 0.02)
    monkeypatch.setattr(throughput, "COUNTED_SECONDS", 0.1)
    monkeypatch.setattr(near, "ANSWER_SECONDS", 5.0)


@pytest.fixture
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that every try is waited out."""
    monkeypatch.setattr(near, "ANSWER_SECONDS", 0.2)


@pytest.fixture
def answer() -> Iterator[LinkAnswer]:
    with LinkAnswer(TcpAddress("127.0.0.1", 0)) as found:
        yield found


def address_of(answer: LinkAnswer) -> TcpAddress:
    assert isinstance(answer.address, TcpAddress)
    return answer.address


def test_a_header_on_the_wire() -> None:
    assert Header(ASKS, 2, 8, NONCE).packed() == RAW
    assert parse_header(RAW) == Header(b"RFProbe1", 2, 8, NONCE)
    for other in (RAW[:-1], RAW + b"\0", b"QEVM" + RAW[4:], ANSWERS + RAW[8:], b""):
        assert parse_header(other) is None


@pytest.mark.parametrize("channels", [1, 3, 99])
def test_both_ends_say_the_same(answer: LinkAnswer, channels: int) -> None:
    with ThreadPoolExecutor() as pool:
        served = pool.submit(answer.wait, 30, threading.Event())
        found = probe_link(address_of(answer), channels, threading.Event())
        sender, flow = served.result(30)
    assert found.connections == min(channels, near.MOST_CONNECTIONS)
    assert (found.rate, found.all_bytes) == (flow.rate, flow.all_bytes)
    assert found.all_bytes > 0
    assert (sender, found.near, found.far) == ("127.0.0.1",) * 3
    sentence = str(found)
    assert f"{found.connections} connections from 127.0.0.1 to 127.0.0.1" in sentence
    assert socket.gethostname() in sentence


@pytest.mark.usefixtures("nobody_answers")
def test_where_nobody_answers_by_udp_nothing_is_connected() -> None:
    """A QEMU that waits for its guest ends when a connection comes and goes."""
    with socket.create_server(("127.0.0.1", 0)) as qemu:
        qemu.setblocking(False)
        place = TcpAddress("127.0.0.1", qemu.getsockname()[1])
        with pytest.raises(PeerUnreachable, match=r"no probe answers .* would end a QEMU that"):
            probe_link(place, 8, threading.Event())
        with pytest.raises(BlockingIOError):
            qemu.accept()


@pytest.mark.usefixtures("nobody_answers")
def test_an_echo_is_no_answer() -> None:
    with port_of_two() as (other, echo), ThreadPoolExecutor() as pool:
        other.setblocking(False)
        echo.settimeout(10)

        def back() -> None:
            for _ in range(near.TRIES):
                echo.sendto(*echo.recvfrom(100))

        echoed = pool.submit(back)
        with pytest.raises(PeerUnreachable, match="no probe answers"):
            probe_link(TcpAddress("127.0.0.1", other.getsockname()[1]), 8, threading.Event())
        echoed.result(10)
        with pytest.raises(BlockingIOError):
            other.accept()


def test_who_did_not_ask_is_not_served(answer: LinkAnswer) -> None:
    place = ("127.0.0.1", address_of(answer).port)
    with ThreadPoolExecutor() as pool:
        served = pool.submit(answer.wait, 30, threading.Event())
        for first in (RAW, b"QEVM" + bytes(22)):
            with socket.create_connection(place, 10) as stranger:
                stranger.sendall(first)
                assert stranger.recv(1) == b""
        with socket.create_connection(place, 10) as scan:
            scan.shutdown(socket.SHUT_WR)
            assert scan.recv(1) == b""
        probe_link(address_of(answer), 2, threading.Event())
        assert served.result(30)[1].all_bytes > 0


def test_a_probe_that_breaks_off_is_said(
    answer: LinkAnswer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "SILENCE_SECONDS", 0.2)
    place = ("127.0.0.1", address_of(answer).port)
    header = Header(ASKS, 0, 2, NONCE)
    with (
        ThreadPoolExecutor() as pool,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking,
    ):
        served = pool.submit(answer.wait, 30, threading.Event())
        asking.settimeout(10)
        asking.sendto(header.packed(), place)
        assert asking.recv(100) == ANSWERS + header.packed()[8:]
        with socket.create_connection(place, 10) as talk:
            talk.sendall(header.packed())
            with pytest.raises(PeerUnreachable, match=r"from 127\.0\.0\.1 broke off: no further"):
                served.result(30)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"no JSON",
        b"[]",
        json.dumps({"rate": -1, "bytes": 1, "host": "x"}).encode(),
        json.dumps({"rate": 1, "bytes": 1 << 70, "host": "x"}).encode(),
        b'{"rate": NaN, "bytes": 1, "host": "x"}',
        b'{"rate": 1, "bytes": Infinity, "host": "x"}',
        b'{"rate": ' + b"9" * 400 + b', "bytes": 1, "host": "x"}',
        b'{"rate": 1, "bytes": {}, "host": "x"}',
        b'{"rate": 1, "bytes": 1}',
        b"[" * 5000,
    ],
)
def test_a_far_end_that_makes_no_sense_is_one_sentence(said: bytes) -> None:
    with port_of_two() as (server, datagrams), ThreadPoolExecutor() as pool:
        datagrams.settimeout(10)

        def lie() -> None:
            raw, place = datagrams.recvfrom(100)
            datagrams.sendto(ANSWERS + raw[8:], place)
            with server.accept()[0] as talk, server.accept()[0] as filled:
                talk.sendall(b"!")
                filled.shutdown(socket.SHUT_RDWR)
                talk.sendall(said)

        lied = pool.submit(lie)
        with pytest.raises(PeerUnreachable, match=r"the probe of the link to .* failed: "):
            probe_link(TcpAddress("127.0.0.1", server.getsockname()[1]), 1, threading.Event())
        lied.result(10)


def test_ends_that_are_stopped_or_meet_nobody(answer: LinkAnswer) -> None:
    stop = threading.Event()
    with pytest.raises(PeerUnreachable, match=r"no probe came within 0\.01 s"):
        answer.wait(0.01, stop)
    stop.set()
    with pytest.raises(Cancelled, match="before a probe came"):
        answer.wait(60, stop)
    with pytest.raises(Cancelled, match="the guest was not touched"):
        probe_link(address_of(answer), 1, stop)
    with pytest.raises(PeerUnreachable, match=r"nowhere\.invalid has no address"):
        probe_link(TcpAddress("nowhere.invalid", 1), 1, threading.Event())


def test_a_probe_is_waited_for_by_a_clock_that_stands_still_with_the_process(
    answer: LinkAnswer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_still = stopping(monkeypatch, far)
    stop = Mock()
    stop.is_set.side_effect = lambda: stand_still() or stop.is_set.call_count > 1
    with pytest.raises(Cancelled, match="before a probe came"):
        answer.wait(60, stop)


def test_a_port_that_is_taken(answer: LinkAnswer) -> None:
    with pytest.raises(HostError, match="cannot listen on tcp:127"):
        LinkAnswer(address_of(answer))
    with (
        port_taken_by_udp() as port,
        pytest.raises(HostError, match="by UDP: Address already in use"),
    ):
        LinkAnswer(TcpAddress("127.0.0.1", port))


def test_a_port_that_the_system_chose_and_udp_has_taken_is_another_choice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beside, taken = probe._beside, iter([OSError(98, "Address already in use")] * 2)

    def at_the_third(listening: socket.socket) -> socket.socket:
        for error in taken:
            raise error
        return beside(listening)

    monkeypatch.setattr(probe, "_beside", at_the_third)
    with LinkAnswer(TcpAddress("127.0.0.1", 0)) as answer:
        assert address_of(answer).port
    assert next(taken, None) is None
