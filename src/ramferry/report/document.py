"""JSON documents of ``--json``: what each of them begins with, and how it is written.

::

    {"format": "benchmark", "version": 2, "ramferry": "0.1.0", …}

``format`` says what the document holds, ``version`` how that is laid out, and ``ramferry`` which
Ramferry wrote it. The keys that follow are the field names of a record in ``metrics``,
``bench.codecs`` or ``report.benchmark.comparison``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import IO, Any, Final

from ramferry import __version__
from ramferry.errors import HostError
from ramferry.metrics import MigrationResult

VERSION: Final = 2
"""Of every format: raised when a field changes its meaning or goes; fields may be added without it.

Documents of version 1 had the number 1 as their ``format``, or no format at all.
"""


def document(format: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """A document of a format, as "doctor", with ``content`` behind what all of them begin with."""
    return {"format": format, "version": VERSION, "ramferry": __version__, **content}


def migrations(
    results: Sequence[MigrationResult], about: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """The document of a command that migrates: ``about`` says what ran where."""
    rows = [asdict(result) for result in results]
    return document("migrations", {**(about or {}), "results": rows})


def write_document(content: Mapping[str, Any], stream: IO[str]) -> None:
    """Write a document, indented, with a final newline.

    :raise HostError: the file's disk is full, or the like.
    """
    try:
        json.dump(content, stream, indent=2)
        stream.write("\n")
        stream.flush()
    except OSError as error:
        raise HostError(f"cannot write the JSON document: {error.strerror}") from error
