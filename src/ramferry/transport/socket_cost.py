"""What it costs this host to move bytes through a socket: copies by the kernel, in and out."""

from __future__ import annotations

import socket
import threading
import time


def cpu_of_copy(packets: int, size: int) -> float:
    """CPU seconds of both ends while one thread sends ``packets`` of ``size`` bytes to another."""
    here, there = socket.socketpair()
    spent: list[float] = []
    with here, there:
        taker = threading.Thread(target=lambda: spent.append(_take(there, size)))
        taker.start()
        packet, begun = bytes(size), time.thread_time()
        for _ in range(packets):
            here.sendall(packet)
        sent = time.thread_time() - begun
        here.shutdown(socket.SHUT_WR)
        taker.join()
    return sent + spent[0]


def _take(sock: socket.socket, size: int) -> float:
    buffer, begun = bytearray(size), time.thread_time()
    while sock.recv_into(buffer, 0, socket.MSG_WAITALL):
        pass
    return time.thread_time() - begun
