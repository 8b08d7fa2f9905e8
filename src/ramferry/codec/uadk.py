"""Method ``uadk``: pages in zlib format (RFC 1950), as Huawei's accelerator kit has them.

A QEMU that was built with UADK but runs without its hardware sends every page uncompressed, and
accepts only such pages.
"""

from __future__ import annotations

from isal import igzip_lib

from ramferry.codec.paged import PagedDecoder, PagedEncoder


class UadkEncoder(PagedEncoder):
    """Writes each page as one zlib stream."""

    def __init__(self, page_size: int) -> None:
        super().__init__(page_size, igzip_lib.COMP_ZLIB)


class UadkDecoder(PagedDecoder):
    """Reads each page as one zlib stream, whose Adler-32 is verified."""

    def __init__(self, page_size: int) -> None:
        super().__init__(page_size, wbits=15)
