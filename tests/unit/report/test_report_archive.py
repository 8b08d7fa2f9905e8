"""What save and restore say at the end."""

from __future__ import annotations

import json
from dataclasses import replace

from ramferry.metrics import ArchiveResult
from ramferry.report.archive import document, sentences

SAVED = ArchiveResult(
    action="saved",
    file="vm.state",
    machine="pc-i440fx-7.2",
    method="zstd",
    level=3,
    backend="zstd",
    channels=4,
    total_ms=2000,
    downtime_ms=120,
    guest_bytes=1 << 30,
    file_bytes=1 << 28,
    ratio=4.0,
    cpu_seconds=3.25,
    run_state="postmigrate",
)


def test_sentences() -> None:
    assert sentences(SAVED) == [
        "saved pc-i440fx-7.2 in 2.0 s: 1.0 GiB of pages, 256 MiB of file (4.00:1), 537 MB/s",
        "zstd 3 by zstd, 4 channels, 3.2 s of CPU",
        "downtime 120 ms",
        "the guest is postmigrate",
    ]
    restored = replace(SAVED, action="restored", downtime_ms=None, level=None, run_state="running")
    assert sentences(restored)[1:] == ["zstd by zstd, 4 channels, 3.2 s of CPU",
                                       "the guest is running"]  # fmt: skip


def test_the_document_has_every_field() -> None:
    told = json.loads(json.dumps(document(SAVED)))
    assert told["version"] == 1
    assert {name: told[name] for name in ("file", "ratio", "downtime_ms")} == {
        "file": "vm.state",
        "ratio": 4.0,
        "downtime_ms": 120,
    }
