"""``ramferry``, and ``python -m ramferry``: signals are answered before the rest is imported."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from ramferry import interruption, standard


def main() -> NoReturn:
    """Run the command line; never returns."""
    interruption.begin()
    standard.occupy()
    # NumPy's linear algebra, which nothing here uses, would start a thread for each core at its
    # import, each of which spins for 10 ms
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        # 0.05 s, and up to 0.6 s for a command's own imports
        from ramferry.cli import main as run

        run()
    except KeyboardInterrupt as interrupt:
        standard.say(interruption.sentence(interrupt))
        sys.exit(interruption.EXIT_CODE)
    finally:
        interruption.ignore()


if __name__ == "__main__":
    main()
