"""What it means that ssh ended before a far half spoke: from its exit code and its words. Pure."""

from __future__ import annotations

import re
import shlex
from typing import Final

from ramferry import __version__
from ramferry.control.hosts.ssh_uri import SshUri
from ramferry.errors import PeerUnreachable, RamferryError

_SSH_FAILED: Final = 255
"""Exit code of ssh if it could not connect; every other one is the remote command's."""
_NOT_FOUND: Final = 127
"""Exit code of a shell that finds no such command."""
_NOT_RUN: Final = 126
"""Exit code of a shell that cannot run a file."""

_OWN: Final = (
    (
        re.compile(r"REMOTE HOST IDENTIFICATION HAS CHANGED|POSSIBLE DNS SPOOFING"),
        "its host key is another than the one in known_hosts: somebody may be in between; ask that"
        " host's administrator before you remove the old key (`ssh-keygen -R {known}`)",
    ),
    (
        re.compile(r"REVOKED HOST KEY"),
        "its host key is revoked in known_hosts: somebody may be in between; ask that host's"
        " administrator",
    ),
    (
        re.compile(r"Host key verification failed"),
        "its host key is not in known_hosts yet: run `{ssh}` once, compare the fingerprint, and try"
        " again",
    ),
    (
        re.compile(r"Permission denied \("),
        "{line}: it takes none of the keys that ssh offers, and a password can be asked for at a"
        " terminal only; see that `{ssh}` works without a question (ssh-add, IdentityFile)",
    ),
    (
        re.compile(r"Too many authentication failures"),
        "{line}: name one key for it in ssh's configuration (IdentityFile, IdentitiesOnly)",
    ),
)
"""What ssh says of itself, and what to do."""

_ABSENT: Final = "{name} finds no `{command}`: {line}; {install}"
_NOT_EXECUTABLE: Final = "{name} cannot run `{command}`: {line}; {install}"
_THERE: Final = (
    (
        re.compile(r"No such command 'far'"),
        f"the Ramferry on {{name}} is older than this one: install Ramferry {__version__} there",
    ),
    (
        re.compile(r"bad interpreter|[Pp]ython[0-9.]*: (command )?not found"),
        "{name} has no Python that `{command}` could run with: {line}; {install}",
    ),
    (
        re.compile(r"No module named '?ramferry"),
        "{name} has no Ramferry for its Python: {line}; {install}",
    ),
    (
        re.compile(r"No module named|SyntaxError|ImportError"),
        "`{command}` does not run on {name}, whose Python is too old or lacks what Ramferry needs:"
        " {line}; {install}",
    ),
)
"""What the far host says, and what it means."""
_INSTALL: Final = (
    f"install Ramferry {__version__} there (Python 3.11 or later; `pip install .` in its checkout),"
    " or say with --remote-command where it is"
)


def why_no_far_half(uri: SshUri, command: str, code: int | None, words: list[str]) -> RamferryError:
    """The error of a far half that did not speak.

    :param command: what ssh was told to run there.
    :param code: ssh's exit code; None if it was ended because nothing came.
    :param words: lines of its standard error, and of what came in place of a far half's.
    """
    line = _telling(words)
    said = "\n".join(words)
    filled = {
        "name": uri.login,
        "command": command,
        "line": line,
        "install": _INSTALL,
        "known": _known_as(uri, said),
        "ssh": " ".join(["ssh", *(word for word in uri.words if word != "--")]),
    }
    if code == _SSH_FAILED:
        for pattern, meaning in _OWN:
            if pattern.search(said):
                return PeerUnreachable(
                    f"ssh cannot log in at {uri.login}: {meaning.format(**filled)}"
                )
        return PeerUnreachable(
            f"ssh cannot connect to {uri.login}: {line or 'it does not say why'}"
        )
    for pattern, meaning in _THERE:
        if pattern.search(said):
            return PeerUnreachable(meaning.format(**filled))
    if code in (_NOT_FOUND, _NOT_RUN):
        told = _ABSENT if code == _NOT_FOUND else _NOT_EXECUTABLE
        return PeerUnreachable(told.format(**filled))
    how = "says nothing" if code is None else f"ends with exit code {code}"
    more = f"; it says: {line}" if line else ""
    return PeerUnreachable(f"Ramferry does not answer on {uri.login}: `{command}` {how}{more}")


def of_another_version(uri: SshUri, version: str, protocol: int) -> RamferryError:
    """The error of a far half with another protocol."""
    return PeerUnreachable(
        f"the Ramferry on {uri.login} is version {version} (protocol {protocol}), this one"
        f" {__version__}: install the same on both hosts"
    )


def _known_as(uri: SshUri, said: str) -> str:
    """The host's name in known_hosts, which may be another than the one that ``uri`` calls it."""
    named = re.search(r"ost key for (\S+) has changed", said)
    name = f"[{uri.host}]:{uri.port}" if uri.port else uri.host
    return shlex.quote(named[1] if named else name)


def _telling(words: list[str]) -> str:
    """The line that says most: ssh's and Python's last one."""
    lines = [word.strip().rstrip(".") for word in words if word.strip()]
    return lines[-1][:300] if lines else ""
