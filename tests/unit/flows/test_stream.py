"""A tunnel: whole streams by every method, its pieces, its ends, and peers that send nonsense."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from functools import partial
from unittest import mock

import pytest

from connecting import Aside, Pair, fill, read_to_end, session, taken, tcp, tunnel, unix, until
from leftovers import no_thread_left, threads, threads_end
from ramferry.codec import METHODS, create_encoder
from ramferry.errors import CorruptDataError, RemoteProtocolError
from ramferry.flows.peer.stream import Tunnel
from ramferry.flows.peer.stream_out import StreamOut
from ramferry.flows.session.session import Session
from ramferry.transport.plain import Plain
from ramferry.vocabulary import PACKET_BYTES
from ramferry.wire.relay_packing import PagesAt
from ramferry.wire.relay_stream import HEAD_SIZE, MOST, Direction, PieceHead, PieceKind, Seal

PAGE = 4096
TOKEN = bytes(range(16))
ONWARD = Seal(TOKEN, Direction.ONWARD, payloads=True)


@contextlib.contextmanager
def joined(
    count: int, method: str = "zstd", make: Callable[[], Pair] = unix
) -> Iterator[tuple[Tunnel, Tunnel]]:
    near, far = tunnel(make, count, method)
    assert isinstance(near, Tunnel)
    assert isinstance(far, Tunnel)
    with contextlib.closing(near), contextlib.closing(far):
        near.settle(5)
        far.settle(5)
        yield near, far


def records(chance: random.Random, pages: int) -> bytes:
    """Pages as a plain stream has them: each behind 8 bytes."""
    return b"".join(
        struct.pack(">Q", page * PAGE | 0x28) + chance.randbytes(64) * (PAGE // 64)
        for page in range(pages)
    )


def stream_of(chance: random.Random) -> list[tuple[bytes, list[PagesAt]]]:
    """Pieces of a stream of all sizes, with and without pages."""
    made: list[tuple[bytes, list[PagesAt]]] = []
    for _ in range(12):
        pages = chance.choice([0, 1, 3, 200])
        rest = chance.randbytes(chance.choice([1, 300, 5000, 70_000]))
        runs = [PagesAt(len(rest) + 8, pages, PAGE + 8)] if pages else []
        made.append((rest + records(chance, pages), runs))
    return made


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("method", METHODS)
def test_a_stream_comes_whole_and_in_order_by_every_method(method: str, count: int) -> None:
    parts = stream_of(random.Random(count))
    whole = b"".join(data for data, _ in parts)
    with joined(count, method) as (near, far):

        def send() -> None:
            for data, runs in parts:
                near.send_pages(memoryview(data), runs)
            near.finish()

        sender = Aside(send)
        got = bytearray()
        while piece := far.receive_piece():
            for part in piece:
                got += part
        sender.result()
        assert got == whole
        assert far.receive_piece() == []


@pytest.mark.parametrize("method", ["none", "zlib", "zstd", "qatzip"])
def test_both_ends_count_the_same(method: str) -> None:
    sessions: list[Session] = []

    def kept(method: str) -> Session:
        sessions.append(session(method))
        return sessions[-1]

    pairs = [unix() for _ in range(2)]
    ends = []
    for way, connections in zip(Direction, zip(*pairs, strict=True), strict=True):
        end = Tunnel(connections, TOKEN, way, method=method, verify=True)
        end.start(kept(method))
        ends.append(end)
    near, far = ends
    with contextlib.closing(near), contextlib.closing(far):
        data = records(random.Random(1), 500)
        sender = Aside(lambda: near.send_pages(memoryview(data), [PagesAt(8, 500, PAGE + 8)]))
        assert taken(far, len(data)) == data
        sender.result()
        far.send([b"answer"])
        assert taken(near, 6) == b"answer"
        until(lambda: near.unsent() == 0)
        out, came = (one.tally for one in sessions)
        assert [one.name for one in out.channels] == ["stream 0", "stream 1"]
        assert not any(one.pages for one in (*out.channels, *came.channels))  # main counts them
        assert (out.bytes_in, came.bytes_out) == (0, 0)
        assert out.bytes_out == came.bytes_in > 0
        packets = sum(one.packets for one in out.channels)
        assert sum(one.packets for one in came.channels) == packets > 3
        assert sessions[1].method_in == method if method != "none" else not sessions[1].method_in
        backends = {one.engines.backend for one in sessions if one.engines.backend}
        assert bool(backends) == (method != "none")


def test_zero_pages_and_headers_cost_next_to_nothing() -> None:
    zeros = struct.pack(">QB", 0x22, 0) * 100_000
    pairs = [unix() for _ in range(2)]
    made = session("zstd")
    near = Tunnel([one for one, _ in pairs], TOKEN, Direction.ONWARD, method="zstd", verify=True)
    far = Tunnel([one for _, one in pairs], TOKEN, Direction.BACK, method="zstd", verify=True)
    near.start(made)
    far.start(session("zstd"))
    with contextlib.closing(near), contextlib.closing(far):
        sender = Aside(lambda: near.send([zeros]))
        assert taken(far, len(zeros)) == zeros
        sender.result()
        assert made.tally.bytes_out < len(zeros) / 50


def test_who_leads_nothing_any_more_keeps_nobody_from_working() -> None:
    """A worker that was to take what is gathered, of which the sending thread took it."""
    near, far = socket.socketpair()
    with near, far:
        sender = mock.Mock(encode=lambda piece, _: ([bytes(piece.size)], piece.size))
        sender.fileno = near.fileno
        out = StreamOut([sender, sender], PAGE, packs=False)
        leads, idle = out._workers
        out._idle, out._busy = [idle], 1
        out.send(memoryview(bytes(5000)))
        assert out._offer(leads)[1] is not None  # it waits for more to come
        out._busy = 0
        out.flush()
        assert out.pending == 0
        out.send(memoryview(bytes(30_000)))  # more than the sending thread carries itself
        out.flush()
        assert not idle.turn.locked()


# --- its ends


def test_an_end_comes_behind_everything_and_leaves_the_way_back_open() -> None:
    with joined(4) as (near, far):
        data = random.Random(3).randbytes(3 * PACKET_BYTES)

        def send() -> None:
            near.send([data])
            near.finish()

        sender = Aside(send)
        assert taken(far, len(data) + 1) == data
        sender.result()
        assert far.hung_up()
        far.send([data])
        assert taken(near, len(data)) == data
        far.finish()
        assert taken(near, 1) == b""
        until(lambda: far.unsent() == near.unsent() == 0)


@pytest.mark.parametrize("ending", ["cut", "reset", "finish", "close"])
@pytest.mark.parametrize("index", [0, 2])
def test_the_end_of_any_connection_is_a_reset_at_both_ends(index: int, ending: str) -> None:
    with joined(3, make=tcp) as (near, far):
        near.send([b"before"])
        assert taken(far, 6) == b"before"
        waiting = [Aside(partial(taken, end, 1)) for end in (near, far)]
        struck = near.connections[index]
        if ending == "close":
            struck.cut()
        getattr(struck, ending)()
        for one in waiting:
            with pytest.raises(OSError, match=r"reset|Broken pipe|not connected"):
                one.result()
        for end in (near, far):
            assert end.hung_up()
            with pytest.raises(OSError, match="Broken pipe"):
                end.send([b"more"])


def test_one_that_nobody_takes_from_holds_its_sender_back() -> None:
    with joined(2, "none") as (near, far):
        assert fill(near) < 12 * MOST
        assert near.unsent() > 0
        near.cut()
        far.cut()


def test_a_limit_bounds_what_waits_to_be_sent() -> None:
    with joined(8, "none") as (near, _):
        near.limit(0.0)
        fill(near)
        assert near._out.pending <= 4 * MOST


def test_its_threads_end_with_it() -> None:
    before = threads()
    with joined(3) as (near, far):
        assert len(threads() - before) == 12
        near.finish()
        far.finish()
        threads_end(before)
    with no_thread_left(), joined(3):
        pass


# --- what goes out when


class _Recorded:
    """A connection that notes which threads send on it."""

    def __init__(self, inner: Plain) -> None:
        self._inner = inner
        self.threads: list[str] = []

    def send(self, parts: list[bytes]) -> int:
        self.threads.append(threading.current_thread().name)
        return self._inner.send(list(parts))

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def raw_peer(
    count: int, method: str = "none"
) -> tuple[Tunnel, list[socket.socket], list[_Recorded]]:
    """A tunnel that connected, and the sockets of its peer."""
    pairs = [socket.socketpair() for _ in range(count)]
    recorded = [_Recorded(Plain(one)) for one, _ in pairs]
    near = Tunnel(recorded, TOKEN, Direction.ONWARD, method=method, verify=True)  # type: ignore[arg-type]
    near.start(session(method))
    for _, one in pairs:
        one.settimeout(5)
    return near, [one for _, one in pairs], recorded


def piece_from(sock: socket.socket) -> tuple[PieceHead, bytes]:
    raw = sock.recv(HEAD_SIZE, socket.MSG_WAITALL)
    head = ONWARD.parse(memoryview(raw), PAGE)
    return head, sock.recv(head.payload, socket.MSG_WAITALL) if head.payload else b""


def test_a_small_message_goes_out_in_the_thread_that_sends_it() -> None:
    near, socks, recorded = raw_peer(2)
    with contextlib.closing(near), socks[0], socks[1]:
        until(lambda: len(near._out._idle) == 2)
        for number in range(5):
            near.send([b"ask", b"ing"])
            assert near.unsent() > 0
            came = [one for one in socks if one in _readable(socks)]
            head, payload = piece_from(came[0])
            assert (head.number, payload) == (number, b"asking")
        me = threading.current_thread().name
        assert [name for one in recorded for name in one.threads] == [me] * 5


def _readable(socks: list[socket.socket]) -> list[socket.socket]:
    return select.select(socks, [], [], 5)[0]


def test_what_comes_while_another_piece_is_on_its_way_is_gathered_but_does_not_wait_for_it() -> (
    None
):
    near, socks, _ = raw_peer(2)
    with contextlib.closing(near), socks[0], socks[1]:
        until(lambda: len(near._out._idle) == 2)
        big = bytes(MOST)
        near.send([big])  # more than the socket takes: its worker waits
        until(lambda: near._out._busy == 1)
        for _ in range(100):
            near.send([b"x" * 10])
        first = _readable(socks)
        sizes = []
        other = next(one for one in socks if not _holds(one, MOST))
        got = b""
        while len(got) < 1000:
            head, payload = piece_from(other)
            sizes.append(head.size)
            got += payload
        assert first
        assert got == b"x" * 1000
        assert len(sizes) < 100


def _holds(sock: socket.socket, size: int) -> bool:
    """Whether what waits there is the piece of so many bytes."""
    raw = sock.recv(HEAD_SIZE, socket.MSG_PEEK)
    return len(raw) == HEAD_SIZE and ONWARD.parse(memoryview(raw), PAGE).size == size


# --- nonsense


def sent(number: int, data: bytes, method: str = "none", payload: bytes | None = None) -> bytes:
    """A piece as the connecting side sends it."""
    payload = data if payload is None else payload
    coded = ONWARD.digest(number, payload) if method != "none" else 0
    content = data + bytes(-len(data) % PAGE) if method != "none" else data
    told = ONWARD.digest(number, content)
    head = PieceHead(
        number, len(data), len(payload), method, content_digest=told, payload_digest=coded
    )
    return ONWARD.encode(head) + payload


def end(number: int) -> bytes:
    return ONWARD.encode(PieceHead(number, 0, 0, kind=PieceKind.END))


@contextlib.contextmanager
def acceptor(count: int = 2) -> Iterator[tuple[Tunnel, list[socket.socket]]]:
    pairs = [socket.socketpair() for _ in range(count)]
    far = Tunnel(
        [Plain(one) for one, _ in pairs], TOKEN, Direction.BACK, method="none", verify=True
    )
    far.start(session("none"))
    with contextlib.closing(far), contextlib.ExitStack() as stack:
        for _, one in pairs:
            stack.enter_context(one)
        yield far, [one for _, one in pairs]


def coded(data: bytes) -> bytes:
    return b"".join(create_encoder("zstd", 1).encode(memoryview(data + bytes(-len(data) % PAGE))))


def test_pieces_are_put_in_order() -> None:
    with acceptor() as (far, (one, other)):
        other.sendall(sent(1, b"b") + sent(2, b"c" * 300, "zstd", coded(b"c" * 300)))
        until(lambda: far.unread() == 301)
        one.sendall(sent(0, b"a") + end(4))
        assert taken(far, 302) == b"ab" + b"c" * 300
        other.sendall(sent(3, b"d") + end(4))
        assert taken(far, 2) == b"d"


_FLIPPED = bytearray(sent(0, b"damaged"))
_FLIPPED[-1] ^= 1


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        (bytes(_FLIPPED), b"", "the content of piece 0 as it was sent"),
        (sent(0, b"x" * 300, "zstd", b"rubbish"), b"", "a zstd frame header"),
        (sent(0, b"x" * 9000, "zstd", coded(b"x")), b"", "8192|12288|bytes after inflating"),
        (
            sent(0, b"x" * 300, "zstd", coded(b"y" * 300)),
            b"",
            "piece 0 of the stream as it was sent",
        ),
        (sent(0, b"a") + sent(0, b"a"), b"", "a piece after 0, received piece 0 again"),
        (sent(2, b"a"), sent(2, b"a"), "every piece once, received piece 2 again"),
        (end(2), end(2), "2 pieces, received an end with 2 missing"),
        (end(1), end(2), "the end of"),
        (sent(4, b"a") + end(3), b"", "the end of 3 pieces, received piece 4"),
        (bytes(HEAD_SIZE), b"", "a piece's head as it was sent"),
    ],
)
def test_pieces_that_nobody_sends_end_the_tunnel(
    first: bytes, second: bytes, sentence: str
) -> None:
    with acceptor() as (far, (one, other)):
        one.sendall(first)
        with contextlib.suppress(OSError):  # it may have ended by then
            other.sendall(second)
        with pytest.raises(RemoteProtocolError, match=sentence) as caught:
            read_to_end(far)
        assert caught.value.channel in ("stream 0", "stream 1")
        assert one.recv(1) == other.recv(1) == b""


def test_of_a_damaged_piece_and_what_follows_nothing_is_handed_out() -> None:
    with acceptor(1) as (far, (one,)):
        one.sendall(sent(0, b"good") + sent(1, b"x" * 99, "zstd", coded(b"y" * 99)) + sent(2, b"b"))
        assert taken(far, 4) == b"good"
        with pytest.raises(CorruptDataError):
            taken(far, 1)
        with pytest.raises(CorruptDataError):
            far.receive_piece()


def test_a_payload_larger_than_its_methods_is_refused_before_it_is_received() -> None:
    with acceptor(1) as (far, (one,)):
        head = PieceHead(0, 5, PAGE + 5, "qpl")
        one.sendall(ONWARD.encode(head))
        with pytest.raises(RemoteProtocolError, match=f"a payload of at most {PAGE + 4} bytes"):
            taken(far, 1)


@pytest.mark.parametrize("cut_at", [1, HEAD_SIZE, HEAD_SIZE + 3, len(sent(0, b"whole"))])
def test_a_stream_that_ends_without_its_end_is_cut(cut_at: int) -> None:
    with acceptor(1) as (far, (one,)):
        one.sendall(sent(0, b"whole")[:cut_at])
        one.shutdown(socket.SHUT_WR)
        if cut_at == len(sent(0, b"whole")):
            assert taken(far, 5) == b"whole"
        with pytest.raises(ConnectionResetError):
            taken(far, 1)
