"""The page on metrics, the dashboard and the rules name those that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ramferry.telemetry import table

DOCS = Path(__file__).resolve().parents[3] / "docs"
DASHBOARD = json.loads((DOCS / "grafana/ramferry.json").read_text())
PAGE = (DOCS / "metrics.md").read_text()
NAME = re.compile(r"\bramferry_[a-z_]+\b")
ROW = re.compile(r"^\| `(ramferry_\w+)` \| (\w+)[^|]* \| ([^|]*)\|", re.MULTILINE)


def sample_names() -> set[str]:
    names = set()
    for one in table.TABLE:
        ends = ("_bucket", "_sum", "_count", "") if one.kind == table.HISTOGRAM else ("",)
        names |= {f"{one.name}{end}" for end in ends}
    return names


def queries() -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target


@pytest.mark.parametrize("file", ["metrics.md", "grafana/ramferry.json", "grafana/alerts.yml"])
def test_no_document_names_a_metric_that_there_is_not(file: str) -> None:
    named = set(NAME.findall((DOCS / file).read_text())) - {"ramferry_"}
    assert named
    assert named <= sample_names()


def test_the_page_has_every_metric_with_its_kind_and_labels() -> None:
    rows = {name: (kind, re.findall("`(.*?)`", labels)) for name, kind, labels in ROW.findall(PAGE)}
    kinds = {table.INFO: table.GAUGE}
    told = {one.name: (kinds.get(one.kind, one.kind), list(one.labels)) for one in table.TABLE}
    assert rows == told


def test_the_dashboard_shows_every_metric_of_a_migration() -> None:
    shown = set(NAME.findall(" ".join(target["expr"] for _, target in queries())))
    left_out = {
        "ramferry_migration_packets_total",
        "ramferry_migration_sync_marks_total",
        "ramferry_migration_duration_seconds",
    }
    plain = {re.sub("_(bucket|sum|count)$", "", name) for name in shown}
    assert {one.name for one in table.TABLE} - plain == left_out


def test_labels_in_queries_and_legends_are_the_metrics_own() -> None:
    known = {label for one in table.TABLE for label in one.labels} | {"job", "instance", "le"}
    for title, target in queries():
        used = set(re.findall(r"(\w+)=~?\"", target["expr"]))
        used |= set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        for inside in re.findall(r"\b(?:by|on) \(([^)]*)\)", target["expr"]):
            used |= set(re.split(r", ?", inside))
        assert used <= known, title


def test_panels_have_ids_places_and_words_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells), "panels overlap"
    assert max(x for x, _ in cells) == 23
    assert all(panel["title"] and panel["description"] for panel in panels)
    for _, target in queries():
        assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$(\w+)", json.dumps(DASHBOARD["panels"]))) <= {
        *variables,
        *("__range", "__rate_interval"),
    }
