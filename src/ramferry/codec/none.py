"""Method ``none``: the payload is the pages."""

from __future__ import annotations

import numpy as np

from ramferry.errors import CorruptDataError
from ramferry.vocabulary import Buffer


class NoneEncoder:
    """Hands the caller's pages back, uncopied."""

    backend = "none"

    def encode(self, pages: memoryview) -> list[Buffer]:
        """Return ``pages`` itself as the one part."""
        return [pages]


class NoneDecoder:
    """Checks the size and copies. Callers that heed ``verbatim`` receive in place and do not call
    it."""

    backend = "none"
    verbatim = True

    def __init__(self, page_size: int) -> None:
        self._page_size = page_size

    def max_payload(self, pages: int) -> int:
        """The bytes of ``pages`` pages, which a valid packet has exactly."""
        return pages * self._page_size

    def decode(self, payload: memoryview, out: memoryview) -> None:
        """Copy ``payload`` into ``out``, which may be the same memory.

        :raise CorruptDataError: their sizes differ.
        """
        if len(payload) != len(out):
            raise CorruptDataError(f"{len(out)} bytes of pages", f"{len(payload)} bytes")
        # without the GIL, which an assignment to a slice keeps
        np.copyto(np.frombuffer(out, np.uint8), np.frombuffer(payload, np.uint8))
