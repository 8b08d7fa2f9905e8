"""What ``ramferry decompress`` does; its options are in ``cli.decompress``."""

from __future__ import annotations

from ramferry.cli.file_options import Options
from ramferry.cli.files import run_all
from ramferry.cli.tasks import Decompress


def run(
    files: tuple[str, ...],
    options: Options,
    level: int | None,
    format: str | None,
    decompress: bool,
    accelerator: str,
) -> None:
    """Run it, with the values of its options."""
    del level, decompress
    run_all(files, options, Decompress(format, accelerator))
