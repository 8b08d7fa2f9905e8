"""A plain writer or reader of one multifd channel, in a process of its own.

Run by its path (``command_line``), so that it loads nothing but what it needs: dozens of them start
within a second, and share no library with the relay, whose memory is measured. Its socket is its
standard input. It says "ready" on standard output, and at its end one number.
"""

import mmap
import os
import socket
import sys
import time

_PIECE = 1 << 20


def command_line(role: str, *arguments: object) -> list[str]:
    """The command line of a peer.

    :param role: ``read`` or ``write``, with the ``arguments`` of that function.
    """
    return [sys.executable, "-I", "-S", __file__, role, *map(str, arguments)]


def write(
    sock: socket.socket, header: str, payloads: str, size: str, closing: str, go: str, span: str
) -> int:
    """Send packets until the time is over, then the closing bytes; return how many.

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
    whole = len(head) + each
    _ready()
    os.read(int(go), 1)
    # every channel begins somewhere else, as in a guest
    count, place, until = 0, os.getpid() % len(places), time.monotonic() + float(span)
    while time.monotonic() < until:
        place = (place + 1) % len(places)
        sent = sock.sendmsg([head, places[place]])
        if sent < whole:
            sock.sendall(places[place][sent - len(head) :])
        count += 1
    sock.sendall(last)
    return count


def read(sock: socket.socket, memory: str) -> int:
    """Read all there is into a guest's memory, over and over; return how many bytes it was.

    :param memory: number of the file that is the memory.
    """
    ram = memoryview(mmap.mmap(int(memory), 0))
    place, count = os.getpid() * _PIECE % len(ram), 0
    _ready()
    while got := sock.recv_into(ram[place : place + _PIECE]):
        count += got
        place = (place + got) % len(ram)
    return count


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _ready() -> None:
    print("ready", flush=True)


if __name__ == "__main__":
    own = socket.socket(fileno=0)
    print(
        write(own, *sys.argv[2:]) if sys.argv[1] == "write" else read(own, sys.argv[2]), flush=True
    )
