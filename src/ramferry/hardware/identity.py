"""The user for whom permissions are judged: whoever runs the relay, or the QEMU."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ramferry.errors import UsageError
from ramferry.hardware.root import Root, natural


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, and whether this process runs as it (so that its own limits are that user's)."""

    name: str
    uid: int
    gids: frozenset[int]
    own: bool
    enrolled: frozenset[str] = frozenset()
    """Groups that /etc/group gives the user: those that a session has from its next login on."""


def current(root: Root) -> Identity:
    """The user that runs this process."""
    uid = os.geteuid()
    name, gids = root.user_name(uid), frozenset({os.getegid(), *os.getgroups()})
    return Identity(name, uid, gids, True, frozenset(_enrolled(root, name)))


def named(root: Root, name: str) -> Identity:
    """A user of the root's /etc/passwd with the groups that /etc/group gives it.

    :raise UsageError: there is none of that name.
    """
    rows = [row for row in root.table("/etc/passwd", 4) if row[0] == name]
    gid = natural(rows[0][3]) if rows else None
    if gid is None:
        raise UsageError(f"there is no user {name} in /etc/passwd")
    groups = _enrolled(root, name)
    gids = frozenset({gid, *groups.values()})
    return Identity(name, int(rows[0][2]), gids, False, frozenset(groups))


def _enrolled(root: Root, name: str) -> dict[str, int]:
    """The groups whose line in /etc/group names the user, with their numbers."""
    rows = (row for row in root.table("/etc/group", 4) if name in row[3].split(","))
    return {row[0]: int(row[2]) for row in rows}
