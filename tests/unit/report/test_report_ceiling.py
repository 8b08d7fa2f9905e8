"""The table of ``ramferry bench ceiling``."""

from __future__ import annotations

from ramferry.report.ceiling import ceiling_lines

NAMES = {
    "bytes_per_second": 5.25e9,
    "packets_per_second": 10_000.0,
    "held_micros": 40.4,
    "user_micros": 30.0,
    "kernel_micros": 60.0,
    "codec_micros": 1.0,
    "switches": 3.25,
    "involuntary": 0.1,
    "faults": 0.0,
    "cores": 1.5,
    "memory": 48.0 * (1 << 20),
}


def figures(**changed: None) -> dict[str, dict[str, float] | None]:
    found: dict[str, dict[str, float] | None] = {
        name: {"middle": value, "low": value / 2, "high": value * 2, "count": 3}
        for name, value in NAMES.items()
    }
    return {**found, **changed}


def row(link: str = "unix", **changed: None) -> dict[str, object]:
    return {
        "method_in": "none",
        "method_out": "qatzip",
        "channels": 16,
        "link": link,
        "figures": figures(**changed),
    }


def test_lines() -> None:
    head, *_, line = ceiling_lines([row()], "AMD EPYC")
    assert head == "AMD EPYC"
    assert " ".join(line.split()) == (
        "none → qatzip 16 5.25 2.62 – 10.50 10000 40 20 – 81 30 60 1 3.2 0.0 1.50 48"
    )


def test_a_side_by_tls() -> None:
    lines = [ceiling_lines([row(link)], "AMD EPYC")[-1] for link in ("tls in", "tls out")]
    assert [line.partition("  ")[0] for line in lines] == [
        "none by TLS → qatzip",
        "none → qatzip by TLS",
    ]


def test_a_figure_that_is_not_known() -> None:
    *_, line, why = ceiling_lines([row(held_micros=None)], "AMD EPYC")
    assert " 10000 n/a n/a 30 " in " ".join(line.split())
    assert why.startswith("GIL held: this Python has none, or")
