"""QATzip's formats, usable alone: ``compress``, ``decompress`` and a ``Session`` for many calls.

>>> result = compress(b"a page of a guest's memory" * 100)
>>> bytes(decompress(result.data).data[:6]), result.backend
(b'a page', 'isa-l')

Nothing here loads QATzip's own library: ``software.py`` does the work with ISA-L, libdeflate and
zlib, and every result names the backend that ran. Files and pipes of any size go through
``ramferry.qatzip.stream``. All errors are ``UsageError`` and ``CorruptDataError``.
"""

from ramferry.qatzip.base import FORMATS, LEVELS, MAX_SIZE, MEMBER_SIZE, Buffer, Result, Totals
from ramferry.qatzip.session import Session, compress, decompress

__all__ = [
    "FORMATS",
    "LEVELS",
    "MAX_SIZE",
    "MEMBER_SIZE",
    "Buffer",
    "Result",
    "Session",
    "Totals",
    "compress",
    "decompress",
]
