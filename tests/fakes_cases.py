"""A fault as a record: an edit of a good migration, and how it must end."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fakes_relay import RelayThread, Stage
from fakes_wire import Guest, Script

FAILED, PROTOCOL, TIMEOUT = 5, 7, 9
"""Exit codes."""


@dataclass(frozen=True)
class Case:
    """An edit of a good migration, and how it must end."""

    name: str
    edit: Callable[[Script], object]
    sentence: str
    """A pattern that the whole sentence must match."""
    exit_code: int = PROTOCOL
    guest: Guest = field(default_factory=Guest)


def check(case: Case, folder: Path) -> None:
    """Both sides end with the case's sentence, and the same relay carries the next migration."""
    script = Script(case.guest)
    case.edit(script)
    stage = Stage(folder, method="zstd")
    with RelayThread(stage.settings) as relay:
        result = stage.fail(relay, script)
        assert re.fullmatch(case.sentence, result.error), result.error
        assert result.exit_code == case.exit_code
        stage.carry(relay, Script(Guest()), 2)
