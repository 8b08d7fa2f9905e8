"""Method ``qpl``: pages in raw deflate (RFC 1951), as Intel's Query Processing Library has them."""

from __future__ import annotations

from isal import igzip_lib

from ramferry.codec.paged import PagedDecoder, PagedEncoder


class QplEncoder(PagedEncoder):
    """Writes each page as one raw deflate stream; matches reach back within the page only."""

    def __init__(self, page_size: int) -> None:
        super().__init__(page_size, igzip_lib.COMP_DEFLATE)


class QplDecoder(PagedDecoder):
    """Reads each page as one raw deflate stream."""

    def __init__(self, page_size: int) -> None:
        super().__init__(page_size, wbits=-15)
