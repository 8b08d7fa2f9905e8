"""Addresses by ssh: ``ssh://[USER@]HOST[:PORT]/QMP-PATH``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from ramferry.errors import UsageError
from ramferry.transport.address import MOST_PORT

SSH: Final = "ssh://"
"""The prefix of an address by ssh."""
_FORM: Final = re.compile(
    r"ssh://(?:(?P<user>[^@/]+)@)?(?:\[(?P<literal>[0-9A-Fa-f:.%]+)\]|(?P<host>[^@/:\[\]]+))"
    r"(?::(?P<port>[0-9]+))?(?P<path>/.*)?"
)
_NAME: Final = re.compile(r"[A-Za-z0-9_.%][A-Za-z0-9_.%+-]*")
"""A user or a host: what could be an option of ssh's, or a word of a shell's, is none."""


@dataclass(frozen=True, slots=True)
class SshUri:
    """A host that ``ssh`` knows, and a path there."""

    host: str
    user: str = ""
    """Empty: the one of ssh's configuration."""
    port: int = 0
    """0: the one of ssh's configuration."""
    path: str = ""
    """Of a QMP socket there, absolute; empty if only the host is named."""

    def __str__(self) -> str:
        return f"{self.login}{self.path}"

    @property
    def login(self) -> str:
        """The address without the path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        return f"{SSH}{user}{host}{f':{self.port}' if self.port else ''}"

    @property
    def words(self) -> list[str]:
        """The words of a command line of ssh's that name it."""
        line = ["-p", str(self.port)] if self.port else []
        line += ["-l", self.user] if self.user else []
        return [*line, "--", self.host]


def is_ssh(uri: str) -> bool:
    """Whether an address is meant to be one by ssh."""
    return uri.startswith(SSH)


def parse_ssh(uri: str) -> SshUri:
    """Read ``ssh://[USER@]HOST[:PORT]/QMP-PATH``; escapes (``%20``) are undone in the path.

    :raise UsageError: it is none, or has no path.
    """
    found = _read(uri)
    if len(found.path) < 2:
        raise UsageError(
            f"{uri!r} does not say where the QMP socket is: write ssh://[USER@]HOST[:PORT]/QMP-PATH"
        )
    return found


def parse_ssh_host(uri: str) -> SshUri:
    """Read ``ssh://[USER@]HOST[:PORT]``.

    :raise UsageError: it is none, or has a path.
    """
    found = _read(uri)
    if found.path.strip("/"):
        raise UsageError(f"{uri!r} has a path, but a host alone is wanted: write {found.login}")
    return SshUri(found.host, found.user, found.port)


def _read(uri: str) -> SshUri:
    match = _FORM.fullmatch(uri)
    if match is None:
        raise UsageError(f"{uri!r} is no address: write ssh://[USER@]HOST[:PORT]/QMP-PATH")
    user, host = match["user"] or "", match["literal"] or match["host"]
    for name in filter(None, (user, match["host"])):
        if _NAME.fullmatch(name) is None:
            raise UsageError(f"{uri!r} is no address: {name!r} can be no user or host")
    port = int(match["port"] or 0)
    if match["port"] is not None and not 0 < port <= MOST_PORT:
        raise UsageError(f"{uri!r} is no address: the port must be 1 to {MOST_PORT}")
    path = unquote(match["path"] or "")
    if "\0" in path or "\n" in path:
        raise UsageError(f"{uri!r} has a path that no socket can have")
    return SshUri(host, user, port, path)
