"""What ``ramferry compress`` does; its options are in ``cli.compress``."""

from __future__ import annotations

from ramferry.cli.file_options import Options
from ramferry.cli.files import run_all
from ramferry.cli.tasks import Compress, Decompress, Task
from ramferry.qatzip import LEVELS
from ramferry.vocabulary import FORMATS


def run(
    files: tuple[str, ...],
    options: Options,
    level: int | None,
    format: str | None,
    member_size: int,
    decompress: bool,
    accelerator: str,
) -> None:
    """Run it, with the values of its options."""
    task: Task = Decompress(format, accelerator)
    if not (decompress or options.discard):
        task = Compress(level or LEVELS[0], format or FORMATS[0], member_size, accelerator)
    run_all(files, options, task)
