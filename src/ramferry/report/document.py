"""Results as a JSON document: the same records as the table, by the names of ``metrics``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import IO, Any

from ramferry import __version__
from ramferry.errors import HostError
from ramferry.metrics import MigrationResult

FORMAT = 1
"""Raised when a field changes its meaning or goes; fields may be added without it."""

OF_WIRE = ("wire_bytes", "mbps", "ratio")
"""null where nobody counted the wire's bytes."""


def document(
    results: Sequence[MigrationResult], about: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """The document of one command: ``about`` says what ran where, as the caller knows it."""
    return {
        "format": FORMAT,
        "ramferry": __version__,
        **(about or {}),
        "results": [row(result) for result in results],
    }


def row(result: MigrationResult) -> dict[str, Any]:
    """One result, with null for what is not known."""
    fields = asdict(result)
    if not result.wire_bytes:
        fields |= dict.fromkeys(OF_WIRE)
    return fields


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
