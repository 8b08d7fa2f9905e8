"""A plain writer or reader of one multifd channel, in a process of its own.

Run by its path (``command_line``), so that it loads nothing but what it needs: dozens of them start
within a second, and share no library with the relay, whose memory is measured. Its socket is its
standard input; its last argument is a folder with certificates if it is to speak TLS, else empty.
It says a line on standard output once it is ready, and one with a number at its end.
"""

import mmap
import os
import socket
import ssl
import sys
import time

_PIECE = 1 << 20
_OWN = 32 * _PIECE
"""More than a core's caches hold."""
_RECORD = 16384
"""Bytes of a full TLS record."""
_HEAD, _EXTRA = 5, 17
"""Bytes of a record of TLS 1.3 before what is encrypted, and those that are encrypted in addition:
its kind and its tag."""
_CLOSE_NOTIFY = 2


def command_line(role: str, *arguments: object) -> list[str]:
    """The command line of a peer.

    :param role: ``read`` or ``write``, with the ``arguments`` of that function.
    """
    return [sys.executable, "-I", "-S", __file__, role, *map(str, arguments)]


def write(
    sock: socket.socket,
    opening: str,
    header: str,
    payloads: str,
    size: str,
    closing: str,
    go: str,
    span: str,
    tls: str,
) -> int:
    """Send the opening bytes, packets until the time is over, then the closing bytes; return how
    many packets.

    :param opening: the file with what is sent at first.
    :param header: the file with the header of every packet.
    :param payloads: number of a file of payloads side by side, the guest's memory.
    :param size: bytes of a payload.
    :param closing: the file with what is sent at last.
    :param go: number of the pipe that ends when it is time to begin.
    :param span: seconds.
    """
    head, last, each = _content(header), _content(closing), int(size)
    pages = memoryview(mmap.mmap(int(payloads), 0, prot=mmap.PROT_READ))
    places = [pages[at : at + each] for at in range(0, len(pages) - each + 1, each)]
    secured = _client(sock, tls) if tls else None
    (secured or sock).sendall(_content(opening))
    _say("ready")
    os.read(int(go), 1)
    # every channel begins somewhere else, as in a guest
    count, place, until = 0, os.getpid() % len(places), time.monotonic() + float(span)
    while time.monotonic() < until:
        place = (place + 1) % len(places)
        if secured:
            _send_records(secured, head, places[place])
        else:
            _send(sock, head, places[place])
        count += 1
    (secured or sock).sendall(last)
    return count


def _send(sock: socket.socket, head: bytes, payload: memoryview) -> None:
    sent = sock.sendmsg([head, payload])
    if sent < len(head) + len(payload):
        sock.sendall(payload[sent - len(head) :])


def _send_records(sock: ssl.SSLSocket, head: bytes, payload: memoryview) -> None:
    """Each ``write`` is one call of OpenSSL, which makes the records; all but the last are full."""
    joined = _RECORD - len(head)
    sock.write(head + payload[:joined])
    if len(payload) > joined:
        sock.write(payload[joined:])


def read(sock: socket.socket, first: str, memory: str, tls: str) -> int:
    """Say the first bytes in hexadecimal, then read all there is into a guest's memory, over and
    over; return how many bytes that was.

    With TLS the bytes are read as they come and not decrypted, into memory of this process, and
    counted by the heads of their records: so it costs no more than without.

    :param first: how many bytes come first.
    :param memory: number of the file that is the memory.
    """
    # the guest's memory is every reader's, and heads that are looked at must be no other's
    ram = memoryview(mmap.mmap(-1, _OWN) if tls else mmap.mmap(int(memory), 0))
    place = os.getpid() * _PIECE % len(ram)
    records = _Records()
    if tls:
        secured = _server(sock, tls)
        _say(_exactly(secured, int(first)).hex())
        count = len(secured.read(secured.pending())) if secured.pending() else 0
        sock = socket.socket(fileno=os.dup(secured.fileno()))
    else:
        _say(_exactly(sock, int(first)).hex())
        count = 0
    while got := sock.recv_into(ram[place : place + _PIECE]):
        if tls:
            records.feed(ram[place : place + got])
        else:
            count += got
        place = (place + got) % len(ram)
    return count + records.count - (_CLOSE_NOTIFY if tls else 0)


class _Records:
    """Counts the bytes that records hold, those of close_notify included."""

    def __init__(self) -> None:
        self.count = 0
        self._left = 0
        """Bytes until the next record begins."""
        self._head = b""

    def feed(self, data: memoryview) -> None:
        at, end = self._left, len(data)
        while at < end:
            part = data[at : at + _HEAD - len(self._head)]
            self._head += part
            at += len(part)
            if len(self._head) < _HEAD:
                break
            size = int.from_bytes(self._head[3:], "big")
            self.count += size - _EXTRA
            self._head = b""
            at += size
        self._left = at - end


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (got := sock.recv(count - len(data))):
        data += got
    return data


# --- TLS: what it costs is measured, and certificates are the relay's to check


def _client(sock: socket.socket, folder: str) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(f"{folder}/client-cert.pem", f"{folder}/client-key.pem")
    return context.wrap_socket(sock)


def _server(sock: socket.socket, folder: str) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    context.load_cert_chain(f"{folder}/server-cert.pem", f"{folder}/server-key.pem")
    return context.wrap_socket(sock, server_side=True)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    own = socket.socket(fileno=0)
    done = write if sys.argv[1] == "write" else read
    _say(str(done(own, *sys.argv[2:])))
