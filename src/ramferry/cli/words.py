"""Words that a shell is offered for arguments that are addresses or files.

Nothing is asked of anybody: paths come from folders, hosts from the user's ssh configuration.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Completer = Callable[[click.Context, click.Parameter, str], Any]
"""What click asks for words: it gets what is typed of one so far."""

RELAY_AT: Final = ("tcp:", "unix:", "tls:", "relay:", "relay:unix:")
"""What a migration's address at a relay, or at a built-in guest, begins with."""
AT_A_PATH: Final = ("qmp:", "unix:", "relay:unix:")
"""Schemes behind which there is a unix socket's path."""
MOST_HOSTS: Final = 200
"""A generated ssh configuration can have thousands, and nobody reads them."""


def addresses(*schemes: str, files: bool = False) -> Completer:
    """A completer of addresses.

    :param schemes: what one can begin with, as ``qmp:``, ``ssh://``.
    :param files: whether it can be a file as well.
    """

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        from click.shell_completion import CompletionItem

        del ctx, param
        words = [one for one in schemes if one.startswith(incomplete) and one != incomplete]
        for scheme in schemes:
            if incomplete.startswith(scheme):
                begun = incomplete.removeprefix(scheme)
                words += [scheme + found for found in _behind(scheme, begun)]
        if not words and files:
            return [CompletionItem(incomplete, type="file")]
        return [CompletionItem(word) for word in words]

    return complete


def file_names(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Have the shell complete a file's name, as click does for its own types of paths."""
    from click.shell_completion import CompletionItem

    del ctx, param
    return [CompletionItem(incomplete, type="file")]


def _behind(scheme: str, begun: str) -> Iterator[str]:
    if scheme in AT_A_PATH:
        yield from _sockets(begun)
    elif scheme == "ssh://" and "/" not in begun:
        yield from (f"{host}/" for host in _hosts() if host.startswith(begun))


def _sockets(begun: str) -> Iterator[str]:
    """Sockets and folders whose path begins so; a folder's ends with a slash."""
    folder, name = os.path.split(begun)
    try:
        entries = sorted(os.scandir(folder or "."), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        hidden = entry.name.startswith(".") and not name.startswith(".")
        if hidden or not entry.name.startswith(name):
            continue
        path = os.path.join(folder, entry.name)
        if entry.is_dir():
            yield f"{path}/"
        elif _is_socket(path):
            yield path


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _hosts() -> list[str]:
    """The names in the user's ssh configuration, but patterns."""
    try:
        lines = (Path.home() / ".ssh/config").read_text(errors="replace").splitlines()
    except (OSError, RuntimeError):
        return []
    words = [line.split() for line in lines]
    names = [name for line in words if line and line[0].lower() == "host" for name in line[1:]]
    return [name for name in names if not set("*?!") & set(name)][:MOST_HOSTS]
