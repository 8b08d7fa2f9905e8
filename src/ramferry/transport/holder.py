"""The process that holds a source's connections, so that its guest stands still without the relay.

Run by its path, with nothing but what it needs, because it stands by through the whole migration
and nearly always ends unused. Its standard input is a UNIX socket of packets to the relay; the
first byte of a packet says what it is (``Word``). Until ``ARM`` it holds nothing: if the relay dies
before ram's END was let go, its connections end, and the source's guest goes on. If the relay dies
after that, this process becomes ``flows.peer.heir``, which finds out what is right.
"""

import os
import select
import signal
import socket
import sys

PACKET = 32 * 1024
"""Most bytes of a packet."""
MOST_DESCRIPTORS = 250
"""Most descriptors of a packet; Linux takes 253."""
HEIR = "ramferry.flows.peer.heir"
WILL, ARM, ARMED, TELLING, LEFT, DONE = b"w", b"a", b"A", b"t", b"l", b"d"
"""``WILL``: a part of what the heir has to know. ``ARM``: descriptors; ``ARMED``, after the last of
them, is answered. ``TELLING``: the source is about to hear that its guest was taken over. ``LEFT``:
nobody knows how it ended; hold. ``DONE``: the source knows, or its connections ended."""


def command_line() -> list[str]:
    """The command line of this process."""
    return [sys.executable, "-I", "-S", __file__]


def wait_for_the_end(descriptor: int) -> None:
    """Hold until the far side of a connection has closed it, or a person ends this process."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    poll = select.poll()
    poll.register(descriptor, select.POLLRDHUP)
    poll.poll()


def stand_by(relay: socket.socket) -> None:
    """Do what the relay says, and what is right if it dies."""
    will, held, word = [], [], b""
    last = b""
    while word not in (LEFT, DONE):
        data, descriptors, *_ = socket.recv_fds(relay, PACKET, MOST_DESCRIPTORS)
        if not data:
            break
        word = data[:1]
        held += descriptors
        if word == WILL:
            will.append(data[1:])
        elif word == ARMED:
            relay.send(ARMED)
        last = word
    if word == LEFT:
        wait_for_the_end(held[0])
    elif word != DONE and last in (ARMED, TELLING):
        _become_heir(b"".join(will), held, told=last == TELLING)


def _become_heir(will: bytes, held: list[int], *, told: bool) -> None:
    # in memory: what it holds is secret, and may be more than a pipe takes
    secret = os.memfd_create("will")
    os.write(secret, will)
    os.lseek(secret, 0, os.SEEK_SET)
    for descriptor in (secret, *held):
        os.set_inheritable(descriptor, True)
    numbers = map(str, (secret, *held))
    os.execv(sys.executable, [sys.executable, "-m", HEIR, "told" if told else "ask", *numbers])


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # whoever ends the relay by one of them is told by the relay what that means
        signal.signal(number, signal.SIG_IGN)
    stand_by(socket.socket(fileno=0))
