"""A link of a given rate between two network namespaces: veth, held back by tc's token bucket.

Two namespaces stand for two hosts. Whatever a process in one sends to the other passes the qdisc
``tbf`` of its end. This needs root, ``ip``, ``tc`` and ``nsenter``. Deleting a namespace also
deletes its end of the link and its qdisc, so nothing else must be undone. The names of the
namespaces hold the id of this process; by it the next run finds what a killed run left behind.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from typing import Final, Self

from ramferry.control.hosts.host import NAMESPACES, Hosts, Namespace
from ramferry.errors import HostError

COMMANDS: Final = {"ip": "iproute2", "tc": "iproute2", "nsenter": "util-linux"}
"""The commands that are needed, each with the package that brings it."""
PREFIX: Final = "ramferry-bench"
NAME: Final = re.compile(rf"{PREFIX}-(\d+)-(?:source|destination)")
DEVICE: Final = "link0"
ADDRESSES: Final = ("192.0.2.1", "192.0.2.2")
"""Addresses of source and destination, from the block for documentation (RFC 5737), to which no
route leads but the link."""
QUEUE: Final = "20ms"
"""What may wait at an end of the link, about as much as in a switch."""
LEAST_BURST: Final = 128 << 10
"""Bytes: two packets of 64 KiB, which veth carries unsegmented."""
BURST_SECONDS: Final = 0.002
"""Seconds' worth of the rate that may pass at once: one timer tick."""
COMMAND_SECONDS: Final = 20.0


def why_not() -> str:
    """Why no link can be shaped here; empty if it is worth a try."""
    missing = [f"{one} ({of})" for one, of in COMMANDS.items() if _path(one) is None]
    if missing:
        return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not here"
    if os.geteuid() != 0:
        return "network namespaces and tc take root"
    return ""


class ShapedLink:
    """A context manager that makes the link, and removes it whatever happens."""

    def __init__(self, rate: float) -> None:
        """
        :param rate: bytes a second in each direction, headers included.
        """
        self.rate = rate
        """What it has unless it is reshaped, in bytes a second."""
        ours = f"{PREFIX}-{os.getpid()}"
        names = (f"{ours}-source", f"{ours}-destination")
        self._namespaces = [
            Namespace(name, address) for name, address in zip(names, ADDRESSES, strict=True)
        ]
        self.hosts = Hosts(*self._namespaces)

    def __enter__(self) -> Self:
        """Make the link.

        :raise HostError: this host cannot; the sentence says which step failed.
        """
        if reason := why_not():
            raise HostError(f"the link cannot be shaped: {reason}")
        sweep()
        try:
            self._make()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for namespace in self._namespaces:
            _delete(namespace.name)

    def _make(self) -> None:
        source, destination = (namespace.name for namespace in self._namespaces)
        for name in (source, destination):
            _run("ip", "netns", "add", name)
        _run(
            *("ip", "link", "add", DEVICE, "netns", source, "type", "veth"),
            *("peer", "name", DEVICE, "netns", destination),
        )
        for name, address in zip((source, destination), ADDRESSES, strict=True):
            _run("ip", "-n", name, "address", "add", f"{address}/30", "dev", DEVICE)
            for device in ("lo", DEVICE):
                _run("ip", "-n", name, "link", "set", device, "up")
            _shape("add", name, self.rate)

    def reshape(self, rate: float) -> None:
        """Let the link have another rate from now on, in both directions.

        :param rate: bytes a second.
        :raise HostError: tc refuses.
        """
        for namespace in self._namespaces:
            _shape("change", namespace.name, rate)


def _shape(verb: str, namespace: str, rate: float) -> None:
    burst = max(LEAST_BURST, int(rate * BURST_SECONDS))
    _run(
        *("tc", "-n", namespace, "qdisc", verb, "dev", DEVICE, "root", "tbf"),
        *("rate", f"{round(rate * 8)}bit", "burst", f"{burst}b", "latency", QUEUE),
    )


def sweep() -> list[str]:
    """Delete the namespaces that killed runs left behind, and return their names."""
    if not NAMESPACES.is_dir():
        return []
    found = {path.name: NAME.fullmatch(path.name) for path in NAMESPACES.iterdir()}
    dead = sorted(name for name, match in found.items() if match and not _lives(int(match[1])))
    for name in dead:
        _delete(name)
    return dead


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return pid != os.getpid()  # ours are not made yet: an earlier process had our number


def _delete(name: str) -> None:
    if (NAMESPACES / name).exists():
        with suppress(HostError):  # of a run that ends for another reason: the next one sweeps
            _run("ip", "netns", "delete", name)


def _path(command: str) -> str | None:
    """Find a command, also in the folders that are only on the PATH of root."""
    return shutil.which(command) or shutil.which(command, path="/usr/sbin:/sbin")


def _run(command: str, *arguments: str) -> None:
    try:
        subprocess.run(
            [_path(command) or command, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=True,
            process_group=0,  # a Ctrl-C is for us: half a link would be left
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        line = " ".join([command, *arguments[:4]])
        raise HostError(f"the link cannot be shaped: `{line} …` says {said}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"the link cannot be shaped: {command}: {error}") from error
