"""Libraries that only some commands need: what installs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from ramferry.errors import HostError

EXTRAS: Final[Mapping[str, str]] = {
    "jinja2": "report",
    "plotly": "report",
    "prometheus_client": "metrics",
    "psutil": "bench",
}
"""Package that is imported → the extra of Ramferry's that brings it, as in ``pyproject.toml``."""


@contextmanager
def telling_extras() -> Iterator[None]:
    """Turn a library's absence into a sentence, if an extra brings that library.

    :raise HostError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise
        install = f"pip install 'ramferry[{EXTRAS[library]}]'"
        raise HostError(f"this needs {library}, which is not installed: {install}") from error
