"""Starts a far half by the user's own ``ssh``, up to its first line.

The user's configuration, keys, agent and known_hosts apply. ssh stays in this process's group, so
that it may ask at the terminal; a shell in front of it has it ignore what a terminal sends to the
whole group, since the migration is ended in order before its ssh. Its connection is one of its own,
and no session within a shared one (ControlMaster) that the user has: only so do the intervals below
hold, and nothing of it is left behind.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from ramferry.control.hosts import far_protocol as far
from ramferry.control.hosts.ssh_uri import SshUri
from ramferry.control.hosts.ssh_words import of_another_version, why_no_far_half
from ramferry.errors import HostError
from ramferry.patience import Patience

HELLO_SECONDS: Final = 20.0
"""How long ssh and the far half may take if nobody can be asked anything: 0.7 s on a 2-core
EPYC."""
PROMPT_SECONDS: Final = 150.0
"""The same if ssh may ask at a terminal: sshd waits 120 s for a login."""
CONNECT_SECONDS: Final = 10
END_SECONDS: Final = 3.0
"""How long ssh may take to end by itself."""
LEAVE_SECONDS: Final = 10.0
"""The same where the far half hears that it is to end: ssh ends after it, and what it has started
there is to be gone then, also on a host that is slow. It takes 0.5 s on a 2-core EPYC."""

_MOST_BEFORE: Final = 65536
"""Bytes that a login shell may print before the far half's first line."""
_KEPT_LINES: Final = 20
_LOOK: Final = 0.25
_IGNORING: Final = 'trap "" INT HUP QUIT; exec "$@"'

_OPTIONS: Final = {
    "ClearAllForwardings": "yes",  # those of the configuration are for other sessions
    "ConnectTimeout": str(CONNECT_SECONDS),
    "EscapeChar": "none",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "LogLevel": "ERROR",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    # a link that is dead ends ssh within 8 s; a far half that stands still does not, since it is
    # sshd that answers
    "ServerAliveCountMax": "3",
    "ServerAliveInterval": "2",
}


@dataclass(frozen=True, slots=True)
class SshSettings:
    """How a far half is reached."""

    remote_command: str = "ramferry"
    """What a shell there runs; it is not quoted."""
    data_address: str = ""
    """The far host's address for data; empty: the one that ssh connected to."""
    ports: tuple[int, int] = (0, 0)
    """First and last port that a relay there may listen at; 0 for any."""
    through_ssh: bool = False
    """Whether data go through the ssh connection."""


class SshProcess:
    """One ``ssh`` with a far half at its end."""

    def __init__(self, uri: SshUri, settings: SshSettings, control: Path | None = None) -> None:
        """Start it, and wait for the far half's first line.

        :param control: a path for ssh's control socket, by which forwardings are added; None: none
            are.
        :raise HostError: there is no ``ssh`` here.
        :raise PeerUnreachable: there is no far half, for the reason in the sentence.
        """
        self._uri = uri
        self._command = f"{settings.remote_command} far"
        if control is not None:
            control.unlink(missing_ok=True)  # of an ssh that was killed
        self.process = _start(uri, self._command, control)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.to_far: IO[bytes] = self.process.stdin
        self.from_far: IO[bytes] = self.process.stdout
        self._words: deque[str] = deque(maxlen=_KEPT_LINES)
        self._reader = threading.Thread(
            target=self._read_words, args=(self.process.stderr,), daemon=True
        )
        self._reader.start()
        try:
            self.hello = self._greeting()
        except BaseException:
            self.process.terminate()
            self.end()
            for stream in (self.to_far, self.from_far):
                with suppress(OSError):  # nobody reads what is left in its buffer
                    stream.close()
            raise

    def end(self, patience: float = END_SECONDS) -> None:
        """End it, after what it reads was closed; the far half ends with it.

        :param patience: seconds that it may take by itself.
        """
        for stop in (self.process.terminate, self.process.kill):
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                stop()
        self.process.wait()
        self._reader.join(END_SECONDS)

    def words(self) -> str:
        """The last that it said to people; empty if nothing."""
        return self._words[-1].strip() if self._words else ""

    def _greeting(self) -> far.Hello:
        """Read up to the far half's first line."""
        patience = Patience(PROMPT_SECONDS if _may_ask() else HELLO_SECONDS)
        come, before = b"", 0
        while not patience.over and before < _MOST_BEFORE:
            if not select.select([self.from_far], [], [], min(_LOOK, patience.left))[0]:
                continue
            # byte by byte, since what follows the line is for another reader
            piece = os.read(self.from_far.fileno(), 1)
            if not piece:
                break
            come += piece
            before += 1
            if piece == b"\n":
                if (found := _hello(come)) is not None:
                    return self._checked(found)
                self._words.append(come.decode(errors="replace"))
                come = b""
        raise self._silent(come)

    def _checked(self, found: far.Hello) -> far.Hello:
        if found.ramferry_far != far.PROTOCOL:
            raise of_another_version(self._uri, found.version, found.ramferry_far)
        return found

    def _silent(self, come: bytes) -> Exception:
        self.to_far.close()
        try:
            code: int | None = self.process.wait(_LOOK)
        except subprocess.TimeoutExpired:
            code = None
        self._reader.join(_LOOK)
        words = [*self._words, *([come.decode(errors="replace")] if come else [])]
        return why_no_far_half(self._uri, self._command, code, words)

    def _read_words(self, stream: IO[bytes]) -> None:
        with stream:
            for line in iter(lambda: stream.readline(_MOST_BEFORE), b""):
                if line.strip():
                    self._words.append(line.decode(errors="replace"))


def control_line(uri: SshUri, control: Path, *request: str) -> list[str]:
    """The command line that asks a running ssh, through its control socket."""
    ssh = shutil.which("ssh") or "ssh"
    return [ssh, "-S", str(control), "-O", *request, *uri.words]


def _start(uri: SshUri, command: str, control: Path | None) -> subprocess.Popen[bytes]:
    ssh = shutil.which("ssh")
    if ssh is None:
        raise HostError(f"{uri} needs an ssh, and there is none on the PATH: install OpenSSH's")
    options = dict(_OPTIONS)
    options |= {"ControlMaster": "yes" if control else "no", "ControlPath": str(control or "none")}
    options |= {"ControlPersist": "no", "BatchMode": "no" if _may_ask() else "yes"}
    line = [ssh, "-T", *(f"-o{name}={value}" for name, value in options.items())]
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", _IGNORING, "ssh", *line, *uri.words, command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=-1,
        )
    except OSError as error:
        raise HostError(f"cannot start ssh: {error.strerror}") from error


def _may_ask() -> bool:
    """Whether ssh can ask for a password or about a host key: at a terminal, or by a program that
    the user named for it."""
    if os.environ.get("SSH_ASKPASS"):
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _hello(line: bytes) -> far.Hello | None:
    try:
        return far.hello.decode(line)
    except (ValueError, RecursionError):  # bytes that are no text are the former
        return None
