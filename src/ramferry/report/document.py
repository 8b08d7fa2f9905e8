"""JSON documents of ``--json`` as text; ``metrics.document`` has what each begins with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import IO, Any

from ramferry.errors import HostError
from ramferry.metrics import MigrationResult
from ramferry.metrics.document import VERSION as VERSION
from ramferry.metrics.document import document as document


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
