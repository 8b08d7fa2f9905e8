"""The configuration at the main channel's beginning: machine type and what both ends share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ramferry.wire.events import Configuration, ConfigurationSubsection
from ramferry.wire.grammar import MAX_CAPABILITIES, MAX_MACHINE_NAME
from ramferry.wire.source import ByteSource, Parse

_PREFIX: Final = "configuration/"
_VERSION: Final = 1
_UUID_SIZE: Final = 16
PAGE_BITS: Final = range(10, 17)
"""Target page sizes of 1 to 64 KiB, as powers of two."""

CAPABILITIES: Final = "capabilities"
TARGET_PAGE_BITS: Final = "target-page-bits"


def read_configuration(source: ByteSource, start: int) -> Parse[Configuration]:
    """Read the machine name; the section type at ``start`` has been read.

    :raise RemoteProtocolError: the name is empty or too long.
    """
    length = yield from source.uint(4)
    if not 1 <= length <= MAX_MACHINE_NAME:
        source.fail(f"a machine name of 1 to {MAX_MACHINE_NAME} bytes", f"{length} bytes")
    name = (yield from source.take(length)).decode("utf-8", "backslashreplace")
    return Configuration(start, source.offset, name)


def read_subsection(source: ByteSource, start: int) -> Parse[ConfigurationSubsection]:
    """Read one subsection, whose section type, at ``start``, has been read already.

    :raise RemoteProtocolError: the subsection is unknown, and so its length too, or its content is
        invalid.
    """
    idstr = yield from source.text("subsection name")
    version = yield from source.uint(4)
    name = idstr.removeprefix(_PREFIX)
    read = _READERS.get(name)
    if read is None or name == idstr or version != _VERSION:
        known = ", ".join(_PREFIX + name for name in _READERS)
        source.fail(f"one of {known}, version {_VERSION}", f"{idstr}, version {version}")
    value = yield from read(source)
    return ConfigurationSubsection(start, source.offset, name, value)


def _page_bits(source: ByteSource) -> Parse[int]:
    bits = yield from source.uint(4)
    if bits not in PAGE_BITS:
        source.fail(f"{PAGE_BITS.start} to {PAGE_BITS.stop - 1} target page bits", str(bits))
    return bits


def _capabilities(source: ByteSource) -> Parse[tuple[str, ...]]:
    count = yield from source.uint(4)
    if count > MAX_CAPABILITIES:
        source.fail(f"at most {MAX_CAPABILITIES} capabilities", str(count))
    names: list[str] = []
    for _ in range(count):
        names.append((yield from source.text("capability name")))
    return tuple(names)


def _uuid(source: ByteSource) -> Parse[bytes]:
    return (yield from source.take(_UUID_SIZE))


_READERS: Final[
    Mapping[str, Callable[[ByteSource], Parse[int] | Parse[tuple[str, ...]] | Parse[bytes]]]
] = {TARGET_PAGE_BITS: _page_bits, CAPABILITIES: _capabilities, "uuid": _uuid}
