"""TLS's handshake over the loopback: who is let in, and who is refused in which words."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from certificates import HOUR, authority
from connecting import SETTLE, Aside, one_accepted, taken, until
from leftovers import no_thread_left
from ports import port_of_nobody
from ramferry.errors import PeerUnreachable, RamferryError
from ramferry.transport import hall, handshake, plain
from ramferry.transport.address import Address, TcpAddress, moved, parse_address, place_of
from ramferry.transport.connection import Connection
from ramferry.transport.credentials import Credentials, Pair
from ramferry.transport.dialing import connect
from ramferry.transport.listening import Listener
from ramferry.transport.one_time import Authority
from ramferry.transport.security import Security

DAY = timedelta(days=1)
TRUSTED = authority()
STRANGE = authority()
SERVER = TRUSTED.server("127.0.0.1")
CLIENT = TRUSTED.client("client", "Example")
LISTENS = Security(Credentials(TRUSTED.certificate, server=SERVER))
CONNECTS = Security(Credentials(TRUSTED.certificate, client=CLIENT))
KINDS = ("tls", "relay")


def listens(pair: Pair = SERVER, trusted: Authority = TRUSTED, **policy: object) -> Security:
    return Security(Credentials(trusted.certificate, server=pair), **policy)  # type: ignore[arg-type]


def connects(pair: Pair = CLIENT, trusted: Authority = TRUSTED) -> Security:
    return Security(Credentials(trusted.certificate, client=pair))


@dataclass
class Door:
    """A listener at which connections are to fail."""

    listener: Listener
    notes: list[str]

    @property
    def address(self) -> Address:
        return self.listener.address

    def told(self) -> str:
        """The one sentence that the side that listens says."""
        until(lambda: bool(self.notes))
        assert self.listener.accept() is None
        (note,) = self.notes
        return note


@contextlib.contextmanager
def door(kind: str, security: Security = LISTENS) -> Iterator[Door]:
    notes: list[str] = []
    address = parse_address(f"{kind}:127.0.0.1:0")
    with Listener(address, security=security, note=notes.append) as listener:
        yield Door(listener, notes)


def refused(address: Address, security: Security) -> str:
    """What the side that connects says, in the handshake or, if the other side refuses it after
    that, as TLS 1.3 does, of what it receives first."""
    try:
        connection = connect(address, security)
    except PeerUnreachable as error:
        return str(error).removeprefix(f"no TLS with {address}: ")
    with contextlib.closing(connection):
        connection.settle(SETTLE)
        with pytest.raises(OSError) as caught:  # noqa: PT011 what it says is the caller's to judge
            taken(connection, 1)
        return str(caught.value.strerror)


@pytest.mark.parametrize("kind", KINDS)
def test_both_sides_are_let_in(kind: str) -> None:
    with door(kind) as open_door, contextlib.closing(connect(open_door.address, CONNECTS)) as near:
        accepted = one_accepted(open_door.listener)
        with contextlib.closing(accepted.connection) as far:
            assert accepted.origin == "127.0.0.1"
            for end in (near, far):
                end.settle(SETTLE)
            near.send([b"question"])
            assert taken(far, 8) == b"question"
            far.send([b"answer"])
            assert taken(near, 6) == b"answer"
        assert not open_door.notes


def of_another_day(since: timedelta, until_: timedelta) -> Authority:
    other = authority(since, until_)
    other._key, other._subject = TRUSTED._key, TRUSTED._subject
    return other


OLD, NEW = of_another_day(-2 * DAY, -DAY), of_another_day(DAY, 2 * DAY)
NOT_KNOWN = "its certificate is from another authority than those in this side's ca-cert.pem"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("pair", "here", "there"),
    [
        (
            OLD.server("127.0.0.1"),
            "its certificate has expired",
            "it says that this side's certificate has expired, or is not valid yet",
        ),
        (
            NEW.server("127.0.0.1"),
            "its certificate is not valid yet; is the clock of either host right?",
            "it does not accept this side's certificate",
        ),
        (
            TRUSTED.server("beta.example.com"),
            "its certificate is for another name than 127.0.0.1",
            "it does not accept this side's certificate",
        ),
        (
            STRANGE.server("127.0.0.1"),
            NOT_KNOWN,
            "it does not know the authority of this side's certificate",
        ),
        (
            TRUSTED.client("127.0.0.1"),
            "its certificate is not for this use: a side that listens needs one for a server, a "
            "side that connects one for a client",
            "this side's certificate is not for this use",
        ),
    ],
    ids=["yesterday", "tomorrow", "another name", "unknown authority", "a client's"],
)
def test_a_side_that_listens_with_a_wrong_certificate(
    kind: str, pair: Pair, here: str, there: str
) -> None:
    with door(kind, listens(pair)) as closed:
        assert refused(closed.address, CONNECTS) == here
        assert closed.told() == f"refused a connection of 127.0.0.1: {there}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("pair", "here", "there"),
    [
        (
            OLD.client("client"),
            "it says that this side's certificate has expired, or is not valid yet",
            "its certificate has expired",
        ),
        (
            NEW.client("client"),
            "it does not accept this side's certificate",
            "its certificate is not valid yet; is the clock of either host right?",
        ),
        (
            STRANGE.client("client"),
            "it does not know the authority of this side's certificate",
            NOT_KNOWN,
        ),
        (
            TRUSTED.server("client"),
            "this side's certificate is not for this use",
            "its certificate is not for this use: a side that listens needs one for a server, a "
            "side that connects one for a client",
        ),
    ],
    ids=["yesterday", "tomorrow", "unknown authority", "a server's"],
)
def test_a_side_that_connects_with_a_wrong_certificate(
    kind: str, pair: Pair, here: str, there: str
) -> None:
    with door(kind) as closed:
        assert refused(closed.address, connects(pair)) == here
        assert closed.told() == f"refused a connection of 127.0.0.1: {there}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_side_that_connects_without_a_certificate(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ssl

    def bare(*_: object) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=TRUSTED.certificate.decode())
        context.sslsocket_class = handshake.WireSocket
        return context

    with door(kind) as closed:
        monkeypatch.setattr(Security, "client", bare)
        assert (
            refused(closed.address, CONNECTS) == "it wants a certificate, and this side showed none"
        )
        assert closed.told() == "refused a connection of 127.0.0.1: it showed no certificate"


@pytest.mark.parametrize("kind", KINDS)
def test_a_revoked_certificate(kind: str) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    serial = x509.load_pem_x509_certificate(CLIENT.certificate).serial_number
    now = TRUSTED._since + HOUR
    one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
    listed = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(TRUSTED._subject)
        .last_update(now)
        .next_update(now + HOUR)
        .add_revoked_certificate(one)
        .sign(TRUSTED._key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    assert LISTENS.credentials is not None
    with door(kind, Security(replace(LISTENS.credentials, revoked=listed))) as closed:
        assert (
            refused(closed.address, CONNECTS) == "it says that this side's certificate was revoked"
        )
        assert closed.told() == "refused a connection of 127.0.0.1: its certificate was revoked"
        with contextlib.closing(connect(closed.address, connects(TRUSTED.client("other")))):
            one_accepted(closed.listener).connection.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_subject_that_is_not_allowed(kind: str) -> None:
    with door(kind, listens(allowed=("CN=other*",))) as closed:
        with contextlib.closing(connect(closed.address, CONNECTS)) as near:
            near.settle(SETTLE)
            assert taken(near, 1) == b""
        assert closed.told() == (
            "refused a connection of 127.0.0.1: --tls-authz does not allow CN=client,O=Example"
        )
    with (
        door(kind, listens(allowed=("CN=other*", "CN=client,*"))) as open_door,
        contextlib.closing(connect(open_door.address, CONNECTS)),
    ):
        one_accepted(open_door.listener).connection.close()


def test_an_old_version_of_tls_is_refused_to_relays() -> None:
    with door("relay") as closed:
        by_qemus = moved(parse_address("tls:a:1"), place_of(closed.address))
        with pytest.MonkeyPatch.context() as patch:
            import ssl

            context = CONNECTS.client(by_qemus)
            old = ssl.TLSVersion.TLSv1_2
            patch.setattr(context, "maximum_version", old)
            assert refused(by_qemus, CONNECTS) == (
                "it speaks no version of TLS that this side speaks"
            )
            context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
        assert closed.told() == (
            "refused a connection of 127.0.0.1: it speaks only versions of TLS that are too old "
            "here"
        )


# --- plaintext at one of the two sides


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("first", "who"),
    [
        (
            b"QEVM\0\0\0\3",
            "as main of a QEMU without tls-creds, or of a relay at tcp:, does",
        ),
        (
            bytes.fromhex("1122334400000001"),
            "as a multifd channel of a QEMU without tls-creds, or of a relay at tcp:, does",
        ),
        (b"RFRY\0\1\1\0", "as a Ramferry without certificates does: give it --tls-creds"),
        (b"GET / HTTP/1.1\r\n\r\n", "by 47455420"),
    ],
)
def test_plaintext_where_tls_is_spoken(kind: str, first: bytes, who: str) -> None:
    with door(kind) as closed:
        place = place_of(closed.address)
        with contextlib.closing(plain.connect(place)) as caller:
            caller.settle(SETTLE)
            caller.send([first, bytes(100_000)])
            # not a reset, which would lose it: TLS's own word for it, and an end
            assert taken(caller, 100) == bytes.fromhex("15030300020246")
        assert closed.told() == (
            f"refused a connection of 127.0.0.1: it began in plaintext, {who}; TLS is spoken here"
        )


def test_a_port_probe_where_tls_is_spoken() -> None:
    with door("tls") as closed:
        plain.connect(place_of(closed.address)).close()
        assert closed.told() == (
            "refused a connection of 127.0.0.1: it closed the connection before TLS's handshake"
        )


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("tls", "if it is a QEMU without tls-creds, or a relay at tcp:, connect by tcp:"),
        (
            "relay",
            "if it is a relay that was started without certificates, give it --tls-creds as well",
        ),
    ],
)
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", handshake.SAID_NOTHING),
        (b"\0\0\0\2{}", "it does not speak TLS: plaintext came in its place"),
        (b"SSH-2.0-x\r\n", "it does not speak TLS: plaintext came in its place"),
    ],
)
@pytest.mark.parametrize("reset", [False, True])
def test_tls_where_plaintext_is_spoken(
    kind: str, advice: str, answer: bytes, told: str, reset: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            sock, _ = server.accept()
            with sock:
                sock.recv(4 if reset else 65536)
                sock.sendall(answer)

        serving = Aside(serve)
        address = moved(parse_address(f"{kind}:a:1"), TcpAddress(*server.getsockname()[:2]))
        if answer and reset:
            serving.join(0)  # a reset overtakes the answer, or does not
        found = refused(address, CONNECTS)
        serving.result()
    assert found.endswith(f"; {advice}")
    if not (answer and reset):
        assert found == f"{told}; {advice}"


# --- time


def test_a_silent_peer_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = socket.create_connection(server.getsockname())
        begun = time.monotonic()
        with pytest.raises(handshake.Failed) as caught:
            handshake.as_client(
                sock,
                CONNECTS.client(parse_address("tls:a:1")),
                "a",
                handshake.Watch(lambda: None),
                0.3,
            )
        assert 0.25 < time.monotonic() - begun < SETTLE
        assert str(caught.value) == "it said nothing within 0 s"
        assert sock.fileno() == -1


def test_a_wait_for_the_other_side_ends_with_its_migration() -> None:
    class Over(RamferryError):
        pass

    def check() -> None:
        raise Over

    with socket.create_server(("127.0.0.1", 0)) as server:
        place = TcpAddress(*server.getsockname()[:2])
        with pytest.raises(Over):
            connect(moved(parse_address("tls:a:1"), place), CONNECTS, check=check)


def test_nobody_there_is_as_without_tls() -> None:
    with port_of_nobody() as free:
        address = parse_address(f"tls:127.0.0.1:{free}")
        refused = f"nobody accepts at {address}: Connection refused"
        with pytest.raises(PeerUnreachable, match=refused):
            connect(address, CONNECTS)


# --- the hall


def test_a_silent_one_keeps_nobody_waiting() -> None:
    with door("tls") as open_door:
        silent = [plain.connect(place_of(open_door.address)) for _ in range(20)]
        with contextlib.closing(connect(open_door.address, CONNECTS)):
            one_accepted(open_door.listener).connection.close()
        for one in silent:
            one.close()


def test_one_of_too_many_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hall, "MOST_OF_ONE", 3)
    with door("tls") as open_door:
        silent = [plain.connect(place_of(open_door.address)) for _ in range(4)]
        assert open_door.told() == (
            "refused a connection of 127.0.0.1: it was in TLS's handshake while too many others "
            "came"
        )
        until(lambda: sum(one.hung_up() for one in silent) == 1)
        with contextlib.closing(connect(open_door.address, CONNECTS)):
            one_accepted(open_door.listener).connection.close()
        for one in silent:
            one.close()


def test_a_listener_that_closes_ends_every_handshake_and_leaves_no_thread() -> None:
    with no_thread_left(), door("tls") as open_door:
        place = place_of(open_door.address)
        waiting = [plain.connect(place) for _ in range(3)]
        done = connect(open_door.address, CONNECTS)
        select.select(open_door.listener.filenos(), [], [], SETTLE)
    for one in (*waiting, done):
        until(one.hung_up)
        one.close()


def test_many_at_once_are_all_handed_out() -> None:
    count = 24
    with door("relay") as open_door:
        near: list[Connection] = []
        callers = [
            Aside(lambda: near.append(connect(open_door.address, CONNECTS))) for _ in range(count)
        ]
        far = [one_accepted(open_door.listener).connection for _ in range(count)]
        for caller in callers:
            caller.result()
        for end in (*near, *far):
            end.close()
        assert open_door.listener.accept() is None
        assert not select.select(open_door.listener.filenos(), [], [], 0)[0]


def test_a_lack_of_descriptors_is_told_and_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hall, "_BACK_OFF", 0.05)
    with door("tls") as open_door:
        listener, fail = open_door.listener, threading.Event()
        assert listener._hall is not None
        accept = listener._hall.accept

        def failing() -> object:
            if not fail.is_set():
                fail.set()
                raise OSError(24, "Too many open files")
            return accept()

        listener._hall.accept = failing  # type: ignore[assignment]
        with contextlib.closing(connect(open_door.address, CONNECTS)):
            select.select(listener.filenos(), [], [], SETTLE)
            with pytest.raises(OSError, match="Too many open files"):
                listener.accept()
            one_accepted(listener).connection.close()


def test_a_handshake_that_ends_after_its_hall_was_closed_is_nobodys() -> None:
    """Its thread may have stood for longer than ``close`` waits."""
    here, there = socket.socketpair()
    with here, there:
        made = hall.Hall((), lambda: None, ssl.create_default_context(), lambda _: "", print)
        made.close()
        made._hand_out((plain.Plain(here), "there"))  # type: ignore[arg-type]
        assert here.fileno() == -1
        made._hand_out(OSError("too many open files"))
