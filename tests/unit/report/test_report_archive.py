"""What save and restore say at the end."""

from __future__ import annotations

import json
from dataclasses import replace

from ramferry.control.archive.overlays import overlays_clause
from ramferry.metrics import ArchiveResult, DiskOverlay
from ramferry.report.archive import document, sentences

SAVED = ArchiveResult(
    action="saved",
    file="vm.state",
    machine="pc-i440fx-7.2",
    method="zstd",
    level=3,
    backend="zstd",
    channels=4,
    total_time_ms=2000,
    downtime_ms=120,
    normal_bytes=1 << 30,
    file_bytes=1 << 28,
    ratio=4.0,
    cpu_seconds=3.25,
    run_state="postmigrate",
)

OVERLAY = DiskOverlay("vda", "/vm/a", "#block1", "/vm/a.overlay-1.qcow2", "ramferry-1f")


def test_sentences() -> None:
    assert sentences(SAVED) == [
        "saved pc-i440fx-7.2 in 2.0 s: 1.0 GiB of pages, 256 MiB of file (4.00:1), 537 MB/s",
        "zstd 3 by zstd, 4 channels, 3.2 s of CPU",
        "downtime 120 ms",
        "the guest stands still (postmigrate): copy its disks, then `cont` at its monitor lets it"
        " run on",
    ]
    runs_on = replace(SAVED, run_state="running")
    assert sentences(runs_on)[-1] == "the guest is running"
    restored = replace(SAVED, action="restored", downtime_ms=None, level=None, run_state="running")
    assert sentences(restored)[1:] == ["zstd by zstd, 4 channels, 3.2 s of CPU",
                                       "the guest is running"]  # fmt: skip


def test_the_document_has_every_field() -> None:
    told = json.loads(json.dumps(document(SAVED)))
    assert (told["format"], told["version"]) == ("archive", 5)
    assert {name: told[name] for name in ("file", "ratio", "downtime_ms")} == {
        "file": "vm.state",
        "ratio": 4.0,
        "downtime_ms": 120,
    }


def test_overlays_in_the_result() -> None:
    result = replace(SAVED, overlays=(OVERLAY,))
    assert sentences(result)[-2:] == [
        "the guest stands still (postmigrate): `cont` at its monitor lets it run on",
        "disk 'vda': the file belongs to /vm/a as it is, and the guest's writes go to "
        "/vm/a.overlay-1.qcow2",
    ]
    told = json.loads(json.dumps(document(result)))
    assert told["overlays"] == [
        {
            "disk": "vda",
            "image": "/vm/a",
            "image_node": "#block1",
            "overlay": "/vm/a.overlay-1.qcow2",
            "overlay_node": "ramferry-1f",
        }
    ]


def test_overlays_in_an_error() -> None:
    second = replace(OVERLAY, image="/vm/b", overlay="/vm/c", overlay_node="ramferry-2e")
    assert overlays_clause((OVERLAY, second)) == (
        "the guest's disks are on overlays, "
        "/vm/a.overlay-1.qcow2 over /vm/a (device ramferry-1f, base-node #block1), "
        "/vm/c over /vm/b (device ramferry-2e, base-node #block1): where no save file needs the "
        "images as they are, QMP block-commit of each with these, then block-job-complete, merges "
        "it back"
    )
    assert "may be (see query-block) on overlays" in overlays_clause((OVERLAY,), certain=False)
