"""The dirty trackers that this host has, as parameters of tests."""

from __future__ import annotations

import pytest

from ramferry.errors import HostError
from ramferry.ram.blocks import Ram
from ramferry.ram.dirty import track

PAGE = 4096


def kernel_reason() -> str:
    """Why this host's kernel tracks nothing; empty where it does."""
    with Ram.create([("a", PAGE)]) as ram:
        try:
            track(ram, "uffd-wp").close()
        except HostError as error:
            return str(error)
        return ""


REASON = kernel_reason()
KERNEL = pytest.param("uffd-wp", marks=pytest.mark.skipif(bool(REASON), reason=REASON))
