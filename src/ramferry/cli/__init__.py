"""The command table: which module holds which command, and how errors become exit codes."""

from __future__ import annotations

import errno
import os
import sys
from typing import NoReturn

import click

from ramferry import __version__, interruption, standard
from ramferry.cli.completion_option import VARIABLE, completion_option
from ramferry.cli.extras import telling_extras
from ramferry.cli.lazy import LazyGroup
from ramferry.errors import HostError, RamferryError, UsageError

COMMANDS = {
    "relay": "one transcoding relay between a migration source and its destination",
    "migrate": "live-migrate a QEMU VM and print the result table",
    "save": "save a QEMU VM's state in one compressed file",
    "restore": "restore a saved state into a waiting QEMU",
    "inspect": "what is in a save file or a recorded migration",
    "compress": "compress files in QATzip formats",
    "decompress": "decompress files in QATzip formats",
    "guest": "a guest with QEMU's monitor, where there is no QEMU",
    "demo": "migrate a real guest with none, zstd and qatzip, and print the table",
    "bench": "compare methods and routes side by side on this machine",
    "report": "what bench measured, as a page with plots, text, Markdown or CSV",
    "doctor": "QAT, IAA and QEMUs of this host: what is wrong, and what mends it",
    "plan": "memory to reserve, which method to take, and how long a migration would take",
}
"""Command name → one line for ``--help``; each lives in ``ramferry.cli.<name>`` as ``command``."""

UNLISTED = ("far",)
"""Commands that another ``ramferry`` calls, and no person."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Errors that are the disk's fault, not the program's. Any other OSError is a bug, and shows its
traceback."""


@click.group(
    cls=LazyGroup,
    modules="ramferry.cli.",
    parts=COMMANDS,
    unlisted=UNLISTED,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, "-V", "--version", message="ramferry %(version)s")
@completion_option
def table() -> None:
    """Carry a running VM's memory between hosts through a thin pipe."""


def main() -> NoReturn:
    """Run the command line; every error becomes one sentence and its class's exit code."""
    try:
        try:
            with telling_extras():
                _answer_a_shell()
                table.main(standalone_mode=False)
        finally:
            # how it ended is about to be told
            interruption.too_late()
    except click.UsageError as error:
        _show(error)
        sys.exit(UsageError.exit_code)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (click.Abort, KeyboardInterrupt) as abort:
        # click has an Abort of its own, raised from what came
        standard.say(interruption.sentence(abort.__cause__ or abort))
        sys.exit(interruption.EXIT_CODE)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        _cannot_write(error)
    except (MemoryError, RuntimeError) as error:
        _lacks_memory(error)
    except RamferryError as error:
        standard.say(f"ramferry: {error}")
        sys.exit(error.exit_code)
    sys.exit(0)


def _answer_a_shell() -> None:
    """Where a shell asks for words, and no person for a command: answer it and end."""
    if instruction := os.environ.get(VARIABLE):
        from ramferry.cli import completion

        completion.answer(table, instruction)


def _lacks_memory(error: MemoryError | RuntimeError) -> NoReturn:
    """:raise RuntimeError: it is another one than Python's for a thread that finds no memory."""
    if isinstance(error, RuntimeError) and "start new thread" not in str(error):
        raise error
    standard.say(f"ramferry: not enough memory: {str(error) or 'none is left'}")
    sys.exit(HostError.exit_code)


def _show(error: click.UsageError) -> None:
    try:
        error.show()
    except OSError:
        standard.mute()


def _cannot_write(error: OSError) -> NoReturn:
    standard.say(f"ramferry: cannot write the output: {error.strerror}")
    # what is left in its buffer would fail again at the end and become the exit code
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - lives as long as the process
    sys.exit(HostError.exit_code)
