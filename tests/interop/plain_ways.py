"""The ways on which one plain stream of a QEMU goes to another host: plain TCP, ssh, a pipe with a
compressor, and pairs of relays. Each is a context manager that gives both migration URIs."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from migrating import until
from sshing import FAR, ROOT, TwoHosts

from ramferry.bench.qemu import Qemu

PORT = 4444
CHANNELS = 4
SECONDS = 30.0
Incoming = Callable[[str], None]
"""Has the destination wait at a migration URI."""
Way = Callable[[TwoHosts, Qemu, Incoming], contextlib.AbstractContextManager[str]]
"""Opens a way to a destination, whose folder is the place of sockets; gives the URI for the
source."""

PIPE = """\
import os, socket, sys
role, host, port = sys.argv[1:]
if role == "listen":
    server = socket.create_server((host, int(port)))
    peer, _ = server.accept()
    source, sink = peer.fileno(), 1
else:
    peer = socket.create_connection((host, int(port)))
    source, sink = 0, peer.fileno()
while os.splice(source, sink, 1 << 20):
    pass
"""
"""Joins a pipe and a TCP connection, without a copy in Python."""


def compressors() -> dict[str, tuple[str, str]]:
    """The command lines that compress and decompress, of the compressors that are here."""
    lines = {
        "gzip -1": ("gzip -1 -c", "gzip -dc"),
        "pigz -1": ("pigz -1 -c", "pigz -dc"),
        "zstd -1": ("zstd -1 -q -c", "zstd -dc -q"),
    }
    return {name: both for name, both in lines.items() if shutil.which(name.split()[0])}


def ways() -> dict[str, tuple[Way, bool]]:
    """Every way by its name, and whether it has a return path."""
    found: dict[str, tuple[Way, bool]] = {"plain TCP": (_tcp, True), "ssh -C": (_ssh, True)}
    for name, both in compressors().items():
        found[f"{name} in a pipe"] = (_piped(*both), False)
    for method in ("zstd", "qatzip"):
        found[f"relays, {method} 1, {CHANNELS} connections"] = (_relayed(method), True)
    return found


@contextlib.contextmanager
def _tcp(hosts: TwoHosts, destination: Qemu, incoming: Incoming) -> Iterator[str]:
    del hosts, destination
    incoming(f"tcp:{FAR}:{PORT}")
    yield f"tcp:{FAR}:{PORT}"


@contextlib.contextmanager
def _ssh(hosts: TwoHosts, destination: Qemu, incoming: Incoming) -> Iterator[str]:
    folder = Path(str(destination.folder))
    incoming(f"unix:{folder}/in")
    options = ("-o", "ExitOnForwardFailure=yes", "-L", f"{folder}/out:{folder}/in")
    client = hosts.folder / "bin/ssh"
    with _running(hosts, False, folder / "ssh.log", client, "-C", "-N", *options, "far"):
        until("ssh listens", (folder / "out").exists, SECONDS)
        yield f"unix:{folder}/out"


def _piped(compress: str, decompress: str) -> Way:
    @contextlib.contextmanager
    def opened(hosts: TwoHosts, destination: Qemu, incoming: Incoming) -> Iterator[str]:
        helper = Path(str(destination.folder)) / "pipe.py"
        helper.write_text(PIPE)
        python = f"{shutil.which('python3')} {helper}"
        incoming(f"exec:{python} listen {FAR} {PORT} | {decompress}")
        listening = ("ip", "netns", "exec", hosts.namespaces[1], "cat", "/proc/net/tcp")
        wanted = f":{PORT:04X} 00000000:0000 0A"

        def listens() -> bool:
            return wanted in subprocess.run(listening, capture_output=True, text=True).stdout  # noqa: PLW1510

        until("the pipe's far end", listens, SECONDS)
        yield f"exec:{compress} | {python} connect {FAR} {PORT}"

    return opened


def _relayed(method: str) -> Way:
    @contextlib.contextmanager
    def opened(hosts: TwoHosts, destination: Qemu, incoming: Incoming) -> Iterator[str]:
        folder = Path(str(destination.folder))
        incoming(f"unix:{folder}/in")
        between, ramferry = f"relay:{FAR}:{PORT}", hosts.installed
        far = (ramferry, "relay", between, f"unix:{folder}/in", "--method", "none")
        near = (ramferry, "relay", f"unix:{folder}/out", between, "--method", method)
        near += ("--channels", str(CHANNELS))
        near += () if method == "none" else ("--level", "1")
        both = ("--insecure", "--once")
        with (
            _running(hosts, True, folder / "far.log", *far, *both, awaited="listening on"),
            _running(hosts, False, folder / "near.log", *near, *both, awaited="listening on"),
        ):
            yield f"unix:{folder}/out"

    return opened


@contextlib.contextmanager
def _running(
    hosts: TwoHosts, far: bool, log: Path, *command: Any, awaited: str = ""
) -> Iterator[None]:
    """A process on one of the hosts, for as long as the way is open.

    :param awaited: what it says once it is ready.
    """
    with log.open("w") as output:
        process = hosts.start(far, ROOT, *command, stdout=output, stderr=output)
    try:
        until(
            f"{command[0]} is ready",
            lambda: awaited in log.read_text() or process.poll() is not None,
            SECONDS,
        )
        assert process.poll() is None, log.read_text()
        yield
    except AssertionError as error:
        raise AssertionError(f"{error}; {log.read_text()}") from error
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(SECONDS)
