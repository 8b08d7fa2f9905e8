"""What only encrypted connections have: records, an end that was said, two threads at once."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Callable, Iterator

import pytest

from connecting import SETTLE, Aside, fill, joined, read_to_end, taken, tls, until
from ramferry.errors import HostError
from ramferry.native import openssl
from ramferry.transport import tls_engine
from ramferry.transport.tls import Tls, records
from ramferry.transport.tls_engine import RECORD
from ramferry.transport.tls_reasons import CUT


@pytest.fixture(params=["tls", "tls-portable"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Tls, Tls]]:
    with joined(request.param) as (near, far):
        assert isinstance(near, Tls)
        assert isinstance(far, Tls)
        yield near, far


def raw_fin(end: Tls) -> None:
    """What anybody on the way can forge: the end of the stream of TCP."""
    socket.socket.shutdown(end._sock, socket.SHUT_WR)


# --- ends


@pytest.mark.parametrize("cut", [raw_fin, Tls.cut, Tls.reset, Tls.close])
def test_an_end_that_was_not_said_is_a_cut(
    pair: tuple[Tls, Tls], cut: Callable[[Tls], None]
) -> None:
    near, far = pair
    far.send([b"abc"])
    until(lambda: near.unread() > 3)
    cut(far)
    if cut is not Tls.reset:  # which may overtake what was sent
        assert taken(near, 3) == b"abc"
    with pytest.raises(ConnectionResetError) as caught:
        read_to_end(near)
    assert caught.value.errno == errno.ECONNRESET
    assert caught.value.strerror == CUT


def test_a_cut_in_a_view_is_told_after_what_came(pair: tuple[Tls, Tls]) -> None:
    near, far = pair
    far.send([b"abc"])
    raw_fin(far)
    view = memoryview(bytearray(6))
    until(near.hung_up)
    assert near.receive_some(view, whole=True) == 3
    with pytest.raises(ConnectionResetError):
        near.receive_some(view, whole=True)
    assert near.receive_some(view) == 0


def test_a_cut_before_the_least_is_no_end(pair: tuple[Tls, Tls]) -> None:
    near, far = pair
    far.send([b"abc"])
    raw_fin(far)
    with pytest.raises(ConnectionResetError):
        near.receive(memoryview(bytearray(8)), 5)


def test_what_was_changed_on_the_way_is_told(pair: tuple[Tls, Tls]) -> None:
    near, far = pair
    # a record of TLS 1.3 with data in it, of 32 bytes that nobody encrypted
    socket.socket.send(far._sock, bytes.fromhex("1703030020") + bytes(32))
    with pytest.raises(OSError, match="what came was changed on the way") as caught:
        taken(near, 1)
    assert caught.value.errno == errno.EPROTO


def test_plaintext_in_the_stream_is_told(pair: tuple[Tls, Tls]) -> None:
    near, far = pair
    socket.socket.send(far._sock, b"QEVM" + bytes(100))
    with pytest.raises(OSError) as caught:  # noqa: PT011
        taken(near, 1)
    assert caught.value.errno == errno.EPROTO


def test_an_end_that_was_said_loses_nothing_that_comes_meanwhile(pair: tuple[Tls, Tls]) -> None:
    near, far = pair
    for _ in range(3):
        far.send([os.urandom(20_000)])
    far.send([b"last"])
    until(lambda: near.unread() > 60_000)
    near.finish()
    assert len(taken(near, 60_000)) == 60_000
    assert taken(near, 4) == b"last"
    far.send([b"answer"])
    assert taken(near, 6) == b"answer"
    assert taken(far, 1) == b""
    far.finish()
    assert taken(near, 1) == b""


def test_no_end_is_said_in_the_middle_of_a_record(pair: tuple[Tls, Tls]) -> None:
    near, far = pair
    count = fill(near)
    near.finish()
    assert taken(far, count) == bytes(count)
    with pytest.raises(ConnectionResetError):
        taken(far, 1)


def test_a_record_that_was_begun_is_continued_or_nothing_is_sent(pair: tuple[Tls, Tls]) -> None:
    near, _ = pair
    fill(near)
    assert near._held == bytes(RECORD)
    for send in (lambda: near.send([b"other"]), lambda: near.send_some(b"other" * RECORD)):
        with pytest.raises(ValueError, match="a record was begun with other bytes"):
            send()


# --- threads


def test_two_threads_use_one_end_at_once(pair: tuple[Tls, Tls]) -> None:
    """Both ways full of data at once, in pieces of all sizes, through small buffers."""
    sizes = [1, 7, 1344, RECORD - 1, RECORD, RECORD + 1, 100_000, 524_288]
    data = [os.urandom(3 << 20) for _ in pair]
    for end in pair:
        end.set_buffers(send=256 << 10, receive=256 << 10)

    def send(end: Tls, whole: bytes) -> None:
        at = turn = 0
        while at < len(whole):
            size = sizes[turn % len(sizes)]
            turn += 1
            end.send([whole[at : at + size // 2], whole[at + size // 2 : at + size]])
            at += size

    def receive(end: Tls) -> bytes:
        got, view = bytearray(), memoryview(bytearray(200_000))
        while len(got) < 3 << 20:
            left = (3 << 20) - len(got)
            count = end.receive_some(view[:left], whole=bool(len(got) % 2))
            assert count
            got += view[:count]
        return bytes(got)

    senders = [
        Aside(lambda end=end, whole=whole: send(end, whole))  # type: ignore[misc]
        for end, whole in zip(pair, data, strict=True)
    ]
    receivers = [Aside(lambda end=end: receive(end)) for end in pair]  # type: ignore[misc]
    for sender in senders:
        sender.result()
    assert [one.result() for one in receivers] == data[::-1]


def test_a_thread_that_receives_holds_up_none_that_sends(pair: tuple[Tls, Tls]) -> None:
    near, far = pair
    waiting = Aside(lambda: near.receive(memoryview(bytearray(1))))
    for _ in range(50):
        near.send([b"abc"])
        assert taken(far, 3) == b"abc"
    assert waiting.is_alive()
    far.send([b"!"])
    assert waiting.result() == 1


def test_a_thread_that_waits_on_a_connection_that_is_closed_finds_it_closed(
    pair: tuple[Tls, Tls],
) -> None:
    """As a relay's does on a source that another process holds: OpenSSL's part is gone by then."""
    near, far = pair
    waiting = [
        Aside(lambda: near.receive(memoryview(bytearray(1)))),
        Aside(lambda: near.send([bytes(64 << 20)])),
    ]
    until(lambda: far.unread() > 0)
    near.close()
    for one in waiting:
        with pytest.raises(OSError, match=r"Bad file descriptor|Broken pipe"):
            one.result()
    assert near._engine.pending() == 0
    near.close()


# --- records


def test_a_small_part_is_joined_with_the_next_one_up_to_a_record() -> None:
    header, payload = os.urandom(1344), os.urandom(524_288)
    first, rest = records([header, payload])
    assert len(first) == RECORD
    assert bytes(first) + bytes(rest) == header + payload
    assert isinstance(rest, memoryview)
    assert rest.obj is payload


@pytest.mark.parametrize(
    ("sizes", "pieces"),
    [
        ([], []),
        ([0], []),
        ([5], [5]),
        ([RECORD], [RECORD]),
        ([RECORD - 1, 1], [RECORD]),
        ([RECORD - 1, 2], [RECORD, 1]),
        ([3 * RECORD], [3 * RECORD]),
        ([4, 3 * RECORD, 4], [RECORD, 2 * RECORD + 4, 4]),
        ([4, RECORD, 4], [RECORD, 8]),
        ([1] * 20_000, [RECORD, 20_000 - RECORD]),
    ],
)
def test_pieces_of_parts(sizes: list[int], pieces: list[int]) -> None:
    parts = [os.urandom(size) for size in sizes]
    found = list(records(list(parts)))
    assert [len(one) for one in found] == pieces
    assert b"".join(map(bytes, found)) == b"".join(parts)


# --- OpenSSL past Python


def test_all_records_that_have_come_are_received_in_one_call() -> None:
    near, far = tls()
    with contextlib.closing(near), contextlib.closing(far):
        far.settle(SETTLE)
        near.settle(SETTLE)
        data = os.urandom(6 * RECORD)
        far.send([data])
        until(lambda: near.unread() > len(data))
        view = memoryview(bytearray(len(data)))
        assert near.receive_some(view) == len(data)
        assert view == data


@pytest.mark.parametrize("broken", ["elsewhere", "inside", "hidden"])
def test_a_python_that_keeps_openssl_elsewhere_is_served_by_ssl_alone(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    openssl._library.cache_clear()
    if broken == "elsewhere":
        monkeypatch.setattr(openssl, "_HANDLE_AT", openssl._HANDLE_AT + 8)
    elif broken == "inside":
        import _ssl

        monkeypatch.delattr(_ssl, "__file__")
    else:

        def hidden(*_: object, **__: object) -> None:
            raise HostError("no such function")

        monkeypatch.setattr(openssl.CLibrary, "function", hidden)
    for end in tls(engine=tls_engine.Engine):
        end.close()
    openssl._library.cache_clear()


def test_what_openssl_made_is_freed_once() -> None:
    near, far = tls()
    assert isinstance(near, Tls)
    native = near._engine
    assert isinstance(native, tls_engine.NativeEngine)
    near.close()
    near.close()
    far.close()
    assert not native._native._free.alive


_SEGMENTS_AT = 156
"""Where Linux' ``tcp_info`` has how many segments with bytes were sent."""


def segments(end: Tls) -> int:
    info = end._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SEGMENTS_AT + 4)
    return int.from_bytes(info[_SEGMENTS_AT:], sys.byteorder)


def test_records_go_to_the_kernel_together() -> None:
    with joined("tls") as (near, far):
        assert isinstance(near, Tls)
        before = segments(near)
        near.send([bytes(3 * RECORD)])
        assert taken(far, 3 * RECORD) == bytes(3 * RECORD)
        assert segments(near) - before < 3  # one of 64 KiB over the loopback
