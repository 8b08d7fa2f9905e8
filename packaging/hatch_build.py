"""Puts the manual pages into the wheel and the sdist, where `make man` has written them.

An sdist carries them to where they are looked for, so that a wheel made from it has them too.
Whoever installs from a checkout without them has none: they are made by Ramferry's own commands,
which an isolated build cannot import.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGES = "build/man"


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """hatchling looks for this name."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See ``BuildHookInterface``; ``version`` is "editable" where the checkout is installed."""
        pages = Path(self.root, PAGES)
        if version == "editable" or not pages.is_dir():
            return
        if self.target_name == "sdist":
            build_data["force_include"][str(pages)] = PAGES
        else:
            build_data["shared_data"][str(pages)] = "share/man/man1"
