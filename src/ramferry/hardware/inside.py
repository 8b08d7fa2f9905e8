"""Where a path inside another root really is: of a copied system tree, or of a container."""

from __future__ import annotations

import errno
import os
from typing import Final

from ramferry.errors import kernel_error

LINKS_LIMIT: Final = 40
"""Links followed in one path, as in Linux."""


def resolve_inside(root: str, path: str) -> str:
    """The place of ``path`` below ``root``, without links: each is followed as after ``chroot``.

    What does not exist is not followed; whoever opens it says so.

    :param path: absolute, as seen inside.
    :raise OSError: its links lead round in a circle.
    """
    done: list[str] = []
    todo = path.split("/")[::-1]
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del done[-1:]
            continue
        try:
            target = os.readlink("/".join((root, *done, part)))
        except OSError:
            done.append(part)
            continue
        links += 1
        if links > LINKS_LIMIT:
            raise kernel_error(errno.ELOOP)
        if target.startswith("/"):
            done.clear()
        todo += target.split("/")[::-1]
    return "/".join((root, *done))
