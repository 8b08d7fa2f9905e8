"""What two QEMUs can do without a relay, as a table."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from fakes_facts import FACTS
from ramferry.control.migrate.own_methods import own_methods
from ramferry.control.migrate.route import Wish
from ramferry.control.qemu.probe import QemuFacts
from ramferry.errors import MethodUnavailable

OLD = FACTS
NEW = replace(FACTS, version=(10, 0, 13))
FULL = replace(NEW, methods=frozenset({"none", "zlib", "zstd", "qpl", "uadk", "qatzip"}))
PLAIN = replace(NEW, methods=frozenset({"none"}))
ZLIB = replace(NEW, methods=frozenset({"none", "zlib"}))

NONE = {"none": [None]}
ZSTD_LEVELS, ZLIB_LEVELS = [1, 3, 6, 9, 12, 15, 19], list(range(1, 10))
BOTH = NONE | {"zstd": ZSTD_LEVELS, "zlib": ZLIB_LEVELS}


@pytest.mark.parametrize(
    ("source", "destination", "cap", "found", "missing"),
    [
        pytest.param(NEW, NEW, 0, BOTH, "", id="all levels"),
        pytest.param(NEW, OLD, 1, BOTH, "", id="a cap that the source heeds, levels are its own"),
        pytest.param(FULL, FULL, 0, BOTH | {"qatzip": [None]}, "", id="no other device's methods"),
        pytest.param(FULL, NEW, 0, BOTH, "", id="both need it"),
        pytest.param(NEW, ZLIB, 0, NONE | {"zlib": ZLIB_LEVELS}, "", id="no zstd there"),
        pytest.param(
            OLD, NEW, 0, NONE | {"zstd": [1], "zlib": [1]}, "", id="a source that ignores levels"
        ),
        pytest.param(
            OLD,
            NEW,
            1,
            NONE,
            "the source, QEMU 7.2.22, caps memory before compression, not wire bytes",
            id="a cap that it does not heed",
        ),
        pytest.param(
            NEW,
            PLAIN,
            0,
            NONE,
            "the destination, QEMU 10.0.13, was built without zstd (it has none)",
            id="nothing that compresses",
        ),
    ],
)
def test_what_both_can_do(
    source: QemuFacts,
    destination: QemuFacts,
    cap: int,
    found: dict[str, list[int | None]],
    missing: str,
) -> None:
    assert own_methods(source, destination, Wish("auto", max_bandwidth=cap)) == (found, missing)


@pytest.mark.parametrize(
    ("source", "destination", "sentence"),
    [
        (replace(NEW, methods=frozenset()), NEW, "the source, QEMU 10.0.13, has no multifd"),
        (
            replace(NEW, uuid=UUID(int=1)),
            replace(NEW, uuid=UUID(int=2)),
            "only a relay can send what the destination expects: leave out --relay none",
        ),
    ],
)
def test_where_they_can_do_nothing_it_is_said(
    source: QemuFacts, destination: QemuFacts, sentence: str
) -> None:
    with pytest.raises(MethodUnavailable) as caught:
        own_methods(source, destination, Wish("auto"))
    assert sentence in str(caught.value)
