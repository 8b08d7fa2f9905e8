"""The arithmetic of a row."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from ramferry.bench.ceiling import figures as rows
from ramferry.bench.ceiling.course import Course
from ramferry.bench.ceiling.measured import Sample
from ramferry.bench.ceiling.wish import TCP_IN, TCP_OUT, TLS_IN, TLS_OUT, Wish, links_of
from ramferry.report.benchmark.columns import Spread

FIRST = Sample(
    at=10.0,
    packets=100,
    page_bytes=100 << 19,
    cpu_seconds=1.0,
    system_seconds=0.5,
    codec_seconds=0.25,
    voluntary=1000,
    involuntary=10,
    faults=5000,
)
LAST = Sample(
    at=12.0,
    packets=1100,
    page_bytes=1100 << 19,
    cpu_seconds=1.5,
    system_seconds=0.75,
    codec_seconds=0.35,
    voluntary=4000,
    involuntary=510,
    faults=5100,
)
COURSE = Course(FIRST, LAST, held=0.02, memory=50 << 20, packets=2000)
WISH = Wish("none", "qatzip", 2, 2.0)


def test_figures_of_the_time_between_two_looks() -> None:
    found = rows.figures(COURSE)
    assert found.bytes_per_second == (1000 << 19) / 2
    assert found.packets_per_second == 500
    assert found.held_micros == pytest.approx(0.02 * 2e6 / 1000)
    assert found.user_micros == pytest.approx(150)
    assert found.kernel_micros == pytest.approx(250)
    assert found.codec_micros == pytest.approx(100)
    assert found.switches == 3.5
    assert found.involuntary == 0.5
    assert found.faults == 0.1
    assert found.cores == pytest.approx(0.25)
    assert found.memory == 50 << 20


def test_a_run_without_a_packet_divides_by_nothing() -> None:
    found = rows.figures(replace(COURSE, last=replace(LAST, packets=100, page_bytes=100 << 19)))
    assert (found.packets_per_second, found.bytes_per_second) == (0, 0)


def test_less_user_time_than_codecs_took_is_none() -> None:
    """The kernel's division into user and system time is rough."""
    assert rows.figures(replace(COURSE, last=replace(LAST, codec_seconds=0.9))).user_micros == 0


def test_a_row_has_medians_and_extremes() -> None:
    one = rows.figures(COURSE)
    runs = [replace(one, switches=each, held_micros=None) for each in (4.0, 2.0, 9.0)]
    found = rows.row(WISH, runs)
    assert (found.method_in, found.method_out, found.channels) == ("none", "qatzip", 2)
    assert found.figures["switches"] == Spread(4.0, 2.0, 9.0, 3)
    assert found.figures["held_micros"] is None


def test_rows_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    monkeypatch.setattr(rows, "run", lambda *_: COURSE)
    wishes = [WISH, replace(WISH, channels=1)]
    done = [wish for wish, _ in rows.measure(wishes, 2, begun.append, threading.Event())]
    assert done == wishes * 2
    assert begun[1] == "run 1 of 2: none → qatzip, 1 channel"
    assert begun[2] == "run 2 of 2: none → qatzip, 2 channels"


@pytest.mark.parametrize(
    ("ways", "links"),
    [
        (("none", "zstd"), (TCP_OUT, TLS_OUT)),
        (("zstd", "none"), (TCP_IN, TLS_IN)),
        (("none", "none"), (TCP_OUT, TLS_OUT, TCP_IN, TLS_IN)),
    ],
)
def test_the_side_of_the_compressed_pages_is_encrypted(
    ways: tuple[str, str], links: tuple[str, ...]
) -> None:
    assert links_of(*ways) == links


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("unix", "none → zstd, 1 channel"),
        (TLS_OUT, "none → zstd by TLS, 1 channel"),
        (TCP_IN, "none by TCP → zstd, 1 channel"),
    ],
)
def test_a_wish_in_words_names_what_is_no_unix_socket(link: str, words: str) -> None:
    assert str(Wish("none", "zstd", 1, 1.0, link=link)) == words
