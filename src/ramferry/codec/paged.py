"""What ``qpl`` and ``uadk`` share: every page of a packet compressed by itself.

A payload is n lengths, u32 big-endian, then n pages. A length equal to the page size means a
page as it is, a smaller one a compressed page. Pages that would not shrink travel as they are, so
a payload never exceeds 4n + n · page size.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Final, cast

import numpy as np
from isal import igzip_lib, isal_zlib

from ramferry.codec.zlib import INFLATE_ERROR
from ramferry.errors import CorruptDataError
from ramferry.vocabulary import Buffer

LENGTH_BYTES: Final = 4
"""Size of one page's length in the array."""


class PagedEncoder:
    """Compresses page by page: the format gives each page a stream of its own.

    One library call a page, in a loop without anything else. ISA-L 1 takes 18.9 µs for a page of
    4 KiB (217 MB/s, ratio 2.273), 0.13 µs of it in the loop and about 3.5 µs to set up and
    allocate; the rest is mostly the page's own Huffman codes, as static codes (ISA-L 0) take
    8.8 µs, at ratio 1.846. zlib 1 takes 53.9 µs for 2.271, libdeflate 1 25.4 µs for 2.319,
    zlib-ng 2 46.3 µs for 2.295 (EPYC, one core, Silesia subset).
    """

    backend = "isa-l"

    def __init__(self, page_size: int, form: int) -> None:
        """:param form: igzip_lib's ``COMP_DEFLATE`` or ``COMP_ZLIB``."""
        self._page_size = page_size
        self._form = form

    def encode(self, pages: memoryview) -> list[Buffer]:
        """Return the lengths, then one part for each page; raw pages are parts of ``pages``."""
        size, form, compress = self._page_size, self._form, igzip_lib.compress
        parts: list[Buffer] = [b""]
        for at in range(0, len(pages), size):
            page = pages[at : at + size]
            small = compress(page, 1, form)
            parts.append(small if len(small) < size else page)
        parts[0] = struct.pack(f">{len(parts) - 1}I", *map(len, parts[1:]))
        return parts


class PagedDecoder:
    """Inflates page by page, each into its place.

    ISA-L takes 10.3 µs for a page of 4 KiB (396 MB/s), 1 µs of it to call and copy, and shows
    what follows a page's stream; libdeflate takes 8.7 µs and does not (EPYC, one core, Silesia
    subset). Decompressors that write in place (cramjam) take 19 µs. The GIL changes hands twice
    a page: two threads are 1.3-1.7 times as fast as one here, 1.9 times in the stream methods.
    """

    backend = "isa-l"
    verbatim = False

    def __init__(self, page_size: int, wbits: int) -> None:
        """:param wbits: -15 for raw deflate pages, 15 for zlib pages."""
        self._page_size = page_size
        self._wbits = wbits

    def max_payload(self, pages: int) -> int:
        """The size if no page shrinks: all lengths, and every page uncompressed."""
        return pages * (LENGTH_BYTES + self._page_size)

    def decode(self, payload: memoryview, out: memoryview) -> None:
        """Inflate or copy each page into its place in ``out``.

        At most one byte more than a page is inflated of each. Raw pages, and deflate pages
        without the zlib format's Adler-32, carry no integrity: damage may pass as other content.

        :raise CorruptDataError: the lengths do not add up to the payload, one is 0 or over the
            page size, or a page is damaged, inflates to another size, or has bytes left over.
        """
        ends = self._ends(payload, len(out) // self._page_size)
        size, wbits, inflater = self._page_size, self._wbits, isal_zlib.decompressobj
        try:
            for page, (start, end) in enumerate(pairwise(ends)):
                at = page * size
                if end - start == size:
                    out[at : at + size] = payload[start:end]
                    continue
                stream = inflater(wbits)
                data = stream.decompress(payload[start:end], size + 1)
                if len(data) != size or not stream.eof or stream.unused_data:
                    raise CorruptDataError(
                        f"page {page} to be one whole stream of {size} bytes",
                        f"{len(data)}{' or more' * (len(data) > size)} bytes, "
                        f"{len(stream.unused_data)} compressed bytes left over"
                        f"{'' if stream.eof else ', no end'}",
                    )
                out[at : at + size] = data
        except INFLATE_ERROR as error:
            raise CorruptDataError(f"page {page} compressed", f"damaged data ({error})") from error

    def _ends(self, payload: memoryview, pages: int) -> list[int]:
        """Check the lengths; return where the first page starts and where each page ends."""
        first = pages * LENGTH_BYTES
        if len(payload) < first:
            raise CorruptDataError(f"{pages} page lengths", f"{len(payload)} bytes")
        lengths = np.frombuffer(payload, ">u4", pages)
        if not lengths.all() or lengths.max() > self._page_size:
            raise CorruptDataError(
                f"page lengths of 1 to {self._page_size} bytes",
                f"{lengths.min()} to {lengths.max()}",
            )
        ends = np.cumsum(np.insert(lengths.astype(np.int64), 0, first))
        if ends[-1] != len(payload):
            raise CorruptDataError(
                f"{ends[-1]} bytes of page lengths and pages", f"{len(payload)} bytes"
            )
        return cast("list[int]", ends.tolist())
