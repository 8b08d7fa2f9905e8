"""A relay in a process of its own that carries one migration after the other, seen from outside."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from fakes_relay import until

START = 60.0
"""Seconds that a relay may take to listen, or to end, beside whatever else the machine does."""
TELLS = "listening on "


class RelayProcess:
    """``ramferry relay`` with any options, until ``end``."""

    def __init__(self, log: Path, listen: str, connect: str, *options: str) -> None:
        """Start it, and wait until it listens: it has all that it needs for itself then.

        :param log: where its standard error goes.
        """
        self.log = log
        line = [sys.executable, "-m", "ramferry", "relay", listen, connect, *options]
        with log.open("wb") as errors:
            self.process = subprocess.Popen(line, stderr=errors)
        try:
            until(self._told, START, f"a relay that listens at {listen}")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _told(self) -> bool:
        said = self.log.read_text()
        assert self.process.poll() is None, f"the relay ended: {said}"
        return TELLS in said and said.endswith("\n")

    @property
    def uri(self) -> str:
        """Where it listens, with the port that it was given; it must speak text, not JSON."""
        return self.log.read_text().partition(TELLS)[2].split()[0]

    def resident(self) -> int:
        """Bytes of its memory that are resident."""
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        """How many descriptors it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_seconds(self) -> float:
        """CPU time of all its threads, to the nanosecond: /proc has it in ticks of 10 ms."""
        # clock_getcpuclockid(3), which Python does not have: the id's complement, 2 for all of it
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def end(self) -> None:
        """Ask it to end, and wait for it."""
        self.process.terminate()
        self.process.wait(START)


def scrape(path: Path) -> str:
    """What a relay answers at its ``--metrics unix:PATH``."""
    with socket.socket(socket.AF_UNIX) as asker:
        asker.settimeout(START)
        asker.connect(str(path))
        asker.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        with asker.makefile() as answer:
            return answer.read()
