"""Two network namespaces of this host that stand for two hosts, with a link between them.

Only addresses of the network are apart: paths of sockets, QMP's among them, lead to either side.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path("/run/netns")
"""Where iproute2 gives namespaces their names."""


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Where the two sides of a migration run."""

    source: str = ""
    """Name of a namespace; empty: the one we are in."""
    destination: str = ""
    address: str = "127.0.0.1"
    """The IP address at which the source's side finds the destination's."""


HERE: Final = Namespaces()
"""Both sides in the namespace we are in."""


def launcher(namespace: str) -> list[str]:
    """What stands before a command that is to run in ``namespace``; it keeps its process id."""
    return ["nsenter", f"--net={FOLDER / namespace}", "--"] if namespace else []
