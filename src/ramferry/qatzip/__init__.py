"""QATzip's formats, usable alone: ``compress``, ``decompress`` and a ``Session`` for many calls.

>>> result = compress(b"a page of a guest's memory" * 100)
>>> bytes(decompress(result.data).data[:6]), result.backend
(b'a page', 'isa-l')

Where a QAT device is there and a test job proved it, QATzip's own library compresses and inflates
gzip-ext on it (``hardware.py``); everything else is ISA-L's, libdeflate's and zlib's
(``software.py``), and every result names the backends that ran. Files and pipes of any size go
through ``ramferry.qatzip.stream``. All errors are ``UsageError``, ``CorruptDataError`` and
``MethodUnavailable``.
"""

from ramferry.qatzip.base import LEVELS, MAX_SIZE, Result, Totals
from ramferry.qatzip.session import Session, compress, decompress
from ramferry.vocabulary import ACCELERATORS, FORMATS, MEMBER_SIZE, Buffer

__all__ = [
    "ACCELERATORS",
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
