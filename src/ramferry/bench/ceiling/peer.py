"""A plain writer or reader of one multifd channel, in a process of its own.

Run by its path (``command_line``), so that it loads nothing but what it needs: dozens of them start
within a second, and share no library with the relay, whose memory is measured. Its socket is its
standard input. It says "ready" on standard output, and at its end one number.
"""

import os
import socket
import sys
import time

_PIECE = 1 << 20


def command_line(role: str, *arguments: object) -> list[str]:
    """The command line of a peer.

    :param role: ``read``; or ``write``, with the ``arguments`` of ``write``.
    """
    return [sys.executable, "-I", "-S", __file__, role, *map(str, arguments)]


def write(sock: socket.socket, packet: str, header: str, closing: str, go: str, span: str) -> int:
    """Send the same packet until the time is over, then the closing bytes; return how many.

    :param packet: the file that holds header and payload.
    :param header: how many of its bytes are the header.
    :param closing: the file with what is sent at last.
    :param go: number of the pipe that ends when it is time to begin.
    :param span: seconds.
    """
    raw, cut = memoryview(_content(packet)), int(header)
    parts, last = [raw[:cut], raw[cut:]], _content(closing)
    _ready()
    os.read(int(go), 1)
    count, until = 0, time.monotonic() + float(span)
    while time.monotonic() < until:
        sent = sock.sendmsg(parts)
        if sent < len(raw):
            sock.sendall(raw[sent:])
        count += 1
    sock.sendall(last)
    return count


def read(sock: socket.socket) -> int:
    """Read all there is and keep nothing; return how many bytes it was."""
    buffer, count = bytearray(_PIECE), 0
    _ready()
    while got := sock.recv_into(buffer):
        count += got
    return count


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _ready() -> None:
    print("ready", flush=True)


if __name__ == "__main__":
    own = socket.socket(fileno=0)
    print(write(own, *sys.argv[2:]) if sys.argv[1] == "write" else read(own), flush=True)
