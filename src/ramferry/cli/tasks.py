"""Compressing and decompressing one file, for commands that may be asked for either."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ramferry.errors import CorruptDataError, UsageError
from ramferry.qatzip import Totals, stream

SUFFIXES = {"gzip-ext": ".gz", "gzip": ".gz", "raw": ".deflate", "4B": ".4b", "zlib": ".zz"}
"""What ``compress`` appends to a file's name in each format, and ``decompress`` takes away."""
_BY_SUFFIX = {suffix: format for format, suffix in SUFFIXES.items()} | {".tgz": "gzip"}


class Task(Protocol):
    """What one command does with one file."""

    compresses: bool

    def target(self, source: Path, force: bool) -> Path:
        """Name the output of ``source``; raises UsageError where it has none."""

    def run(
        self, source: str, reader: stream.Reader, writer: stream.Writer, progress: stream.Progress
    ) -> Totals:
        """Do the work; ``source`` is the input's name, for errors and for what it tells."""


class Compress:
    """Compresses; a :class:`Task`."""

    compresses = True

    def __init__(self, level: int, format: str, member_size: int, accelerator: str) -> None:
        self._level = level
        self._format = format
        self._member_size = member_size
        self._accelerator = accelerator

    def target(self, source: Path, force: bool) -> Path:
        """Append the format's suffix."""
        suffix = SUFFIXES[self._format]
        if source.suffix == suffix and not force:
            raise UsageError(f"{source} has the suffix {suffix} already: --force compresses it")
        return source.with_name(source.name + suffix)

    def run(
        self, source: str, reader: stream.Reader, writer: stream.Writer, progress: stream.Progress
    ) -> Totals:
        """See ``Task``."""
        del source
        return stream.compress(
            reader,
            writer,
            self._level,
            format=self._format,
            member_size=self._member_size,
            accelerator=self._accelerator,
            progress=progress,
        )


class Decompress:
    """Decompresses; a :class:`Task`."""

    compresses = False

    def __init__(self, format: str | None, accelerator: str) -> None:
        """:param format: None: the one that a file's suffix says."""
        self._format = format
        self._accelerator = accelerator

    def target(self, source: Path, force: bool) -> Path:
        """Take the suffix away; .tgz becomes .tar."""
        del force
        if source.suffix == ".tgz":
            return source.with_suffix(".tar")
        if source.suffix not in _BY_SUFFIX:
            known = ", ".join(_BY_SUFFIX)
            raise UsageError(f"{source} has none of the suffixes {known}: name the --output")
        return source.with_suffix("")

    def run(
        self, source: str, reader: stream.Reader, writer: stream.Writer, progress: stream.Progress
    ) -> Totals:
        """See ``Task``; gzip where there is no suffix."""
        format = self._format or _BY_SUFFIX.get(Path(source).suffix, "gzip")
        try:
            totals = stream.decompress(
                reader, writer, format=format, accelerator=self._accelerator, progress=progress
            )
            if totals.bytes_in == 0:
                raise CorruptDataError("compressed data", "nothing")
        except CorruptDataError as error:
            raise error.at(source) from None
        return totals
