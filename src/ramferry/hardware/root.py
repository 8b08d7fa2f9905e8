"""Reading facts from a system root that can be replaced, so that any host can be diagnosed.

Nothing here raises for what a host may hold: what is absent, unreadable or of the wrong kind comes
back as evidence that says so. Every read is bounded and none can block.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from dataclasses import dataclass
from itertools import islice
from typing import Final

from ramferry.errors import UsageError
from ramferry.hardware.inside import resolve_inside
from ramferry.metrics.evidence import Evidence

READ_LIMIT: Final = 256 * 1024
"""Bytes read of one file; /proc/modules, the longest, has some 20 KiB."""

NAMES_LIMIT: Final = 65536
"""Entries taken of one directory."""

ACL: Final = "system.posix_acl_access"
"""The attribute that ``setfacl`` writes (``include/uapi/linux/posix_acl_xattr.h``)."""

_USER, _OWNING, _GROUP, _MASK = 0x02, 0x04, 0x08, 0x10
"""Tags of its entries: a user, the owning group, another group, the most that any is given."""

UNSAFE: Final = frozenset({"rp2srv", "heartbeat"})
"""Never read: rp2srv fails until a ring number is written, and reading the heartbeat may leave a
device hung (Intel's programmer's guide, infrastructure_heartbeat)."""


@dataclass(frozen=True, slots=True)
class Node:
    """A path and who may open it."""

    evidence: Evidence
    """Mode and owner as in ``ls -l``: "crw-rw---- root:qat"."""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    acl: tuple[tuple[int, int, int], ...] = ()
    """Tag, permissions and id of each entry of its access control list, where it has one."""

    @property
    def exists(self) -> bool:
        """True if there is something at that path."""
        return self.evidence.content is not None

    def opens_for(self, uid: int, gids: frozenset[int]) -> bool:
        """Whether that user may read and write it, by its mode and access control list."""
        if not self.exists:
            return False
        if uid == 0:
            return True
        if uid == self.uid:
            return self.mode & 0o600 == 0o600
        if self.acl:
            return self._listed(uid, gids)
        if self.gid in gids:
            return self.mode & 0o060 == 0o060
        return self.mode & 0o006 == 0o006

    def _listed(self, uid: int, gids: frozenset[int]) -> bool:
        """Whether the list opens it, by ``man 5 acl``: the user's own entry decides; without one,
        any of the user's groups' may."""
        mask = next((bits for tag, bits, _ in self.acl if tag == _MASK), 0o7)
        users = [bits for tag, bits, name in self.acl if (tag, name) == (_USER, uid)]
        groups = [bits for tag, bits, name in self.acl if tag == _GROUP and name in gids]
        owning = [bits for tag, bits, _ in self.acl if tag == _OWNING and self.gid in gids]
        entries = users or [*owning, *groups]
        if not entries:
            return self.mode & 0o006 == 0o006
        return any(bits & mask & 0o6 == 0o6 for bits in entries)


class Root:
    """A system's files below ``path``; all arguments are absolute paths inside it."""

    def __init__(self, path: str = "/") -> None:
        """:raise UsageError: ``path`` is no directory, or has none of etc, proc and sys."""
        if not os.path.isdir(path):
            raise UsageError(f"{path} is not a system root: it is no directory")
        if not any(os.path.isdir(os.path.join(path, name)) for name in ("etc", "proc", "sys")):
            raise UsageError(f"{path} is not a system root: it has none of etc, proc and sys")
        self.path = os.path.abspath(path)
        self.replaced = self.path != "/"
        self._users: dict[int, str] | None = None
        self._groups: dict[int, str] | None = None

    def read(self, path: str) -> Evidence:
        """A file's text without the white space at its end; control characters are replaced."""
        try:
            descriptor = os.open(
                self._resolve(path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            )
        except OSError as error:
            return _unread(path, error)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return Evidence(path, trouble="not a regular file")
            return Evidence(path, _printable(_read_all(descriptor)))
        except OSError as error:
            return _unread(path, error)
        finally:
            os.close(descriptor)

    def link(self, path: str) -> Evidence:
        """The last part of what a link points to: sysfs names drivers and groups so."""
        try:
            parent, name = os.path.split(path)
            target = os.readlink(os.path.join(self._resolve(parent), name))
        except OSError as error:
            if error.errno == errno.EINVAL:
                return Evidence(path, trouble="not a link")
            return _unread(path, error)
        return Evidence(path, _printable(os.path.basename(os.fsencode(target.rstrip("/")))))

    def node(self, path: str) -> Node:
        """Mode and owner of whatever is at ``path``."""
        try:
            where = self._resolve(path)
            status = os.stat(where)
            acl = _acl(where)
        except OSError as error:
            return Node(_unread(path, error))
        owner = f"{self.user_name(status.st_uid)}:{self.group_name(status.st_gid)}"
        content = f"{stat.filemode(status.st_mode)}{'+' if acl else ''} {owner}"
        mode = stat.S_IMODE(status.st_mode)
        return Node(Evidence(path, content), mode, status.st_uid, status.st_gid, acl)

    def names(self, path: str) -> tuple[str, ...]:
        """The names in a directory, sorted; empty if it cannot be listed."""
        return self.listing(path)[0]

    def listing(self, path: str) -> tuple[tuple[str, ...], Evidence]:
        """The names in a directory, sorted, and what is to be said where it cannot be listed."""
        try:
            with os.scandir(self._resolve(path)) as entries:
                names = sorted(entry.name for entry in islice(entries, NAMES_LIMIT))
        except OSError as error:
            return (), _unread(path, error)
        return tuple(names), Evidence(path, f"{len(names)} entr{'y' if len(names) == 1 else 'ies'}")

    def exists(self, path: str) -> bool:
        """Whether anything is at ``path``."""
        return self.node(path).exists

    def user_name(self, uid: int) -> str:
        """The name in this root's /etc/passwd; the number where it has none."""
        if self._users is None:
            self._users = {int(user[2]): user[0] for user in self.table("/etc/passwd", 3)}
        return self._users.get(uid, str(uid))

    def group_name(self, gid: int) -> str:
        """The name in this root's /etc/group; the number where it has none."""
        if self._groups is None:
            self._groups = {int(group[2]): group[0] for group in self.table("/etc/group", 3)}
        return self._groups.get(gid, str(gid))

    def table(self, path: str, columns: int) -> list[list[str]]:
        """Rows of a file like /etc/passwd that have that many columns and a number in the third."""
        rows = [line.split(":") for line in (self.read(path).content or "").splitlines()]
        return [row for row in rows if len(row) >= columns and natural(row[2]) is not None]

    def _resolve(self, path: str) -> str:
        """Where ``path`` really is: links are followed inside the root, as ``chroot`` would.

        :raise UsageError: reading it is unsafe; a caller's mistake.
        """
        if UNSAFE.intersection(path.split("/")):
            raise UsageError(f"{path} is not safe to read")
        if not self.replaced:
            return path
        return resolve_inside(self.path, path)


def _acl(where: str) -> tuple[tuple[int, int, int], ...]:
    """The entries of an access control list; none where there is no list."""
    try:
        raw = os.getxattr(where, ACL)
    except OSError:
        return ()  # none is set, or the file system knows of none
    return tuple(struct.iter_unpack("<HHI", raw[4:])) if (len(raw) - 4) % 8 == 0 else ()


def natural(text: str) -> int | None:
    """A decimal number of at most 18 digits; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def number(evidence: Evidence) -> int | None:
    """The number a file holds, decimal or with 0x; None if it holds none."""
    try:
        return int(evidence.content or "", 0)
    except ValueError:
        return None


def only(evidence: Evidence, *words: str) -> Evidence:
    """The same file, with nothing but the lines that begin with one of ``words``."""
    if evidence.content is None:
        return evidence
    lines = evidence.content.splitlines()
    kept = [" ".join(line.split()) for line in lines if line.startswith(words)]
    return Evidence(evidence.path, " | ".join(kept) or f"no line {' or '.join(words)}")


def _read_all(descriptor: int) -> bytes:
    chunks = []
    left = READ_LIMIT
    while left > 0 and (chunk := os.read(descriptor, left)):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)


def _printable(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace").rstrip()
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


def _unread(path: str, error: OSError) -> Evidence:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return Evidence(path)
    return Evidence(path, trouble=error.strerror or str(error))
