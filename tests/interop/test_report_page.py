"""The page of ``ramferry report`` in a real browser: drawn, quiet, within its width."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from browsing import Browser
from comparisons import comparison, failed, series
from ramferry.report.benchmark.chapters import report
from ramferry.report.benchmark.differences import Named
from ramferry.report.benchmark.series_chapter import NamedSeries
from ramferry.report.formats import page

pytestmark = pytest.mark.interop

HOSTILE = '</script><script>document.title="owned"</script><img src=x onerror=alert(1)>'


Start = Callable[[Path], Browser]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts a browser once for all tests: each opens a page of its own in it."""
    with ExitStack() as stack:

        @cache
        def started(chromium: Path) -> Browser:
            return stack.enter_context(Browser(chromium, tmp_path_factory.mktemp("browser")))

        yield started


@pytest.fixture
def browser(require_peer: Callable[[str], Path], start: Start) -> Browser:
    return start(require_peer("chromium"))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page about two comparisons, one of them interrupted, with a hostile sentence."""
    measured = [
        Named("before.json", failed(comparison(), HOSTILE)),
        Named("after.json", comparison(seed=5, slower=0.9)),
    ]
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(page.draw(report(measured)), encoding="utf-8")
    return file


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_is_drawn_without_a_word_on_the_console(
    browser: Browser, two: Path, width: int, scheme: str
) -> None:
    browser.open(two, width=width, scheme=scheme)
    places = browser.evaluate("document.querySelectorAll('[data-figure]').length")
    # for each file: time, downtime, CPU, ratio, bytes left, run by run; and the changes
    assert places == 2 * 6 + 1
    assert browser.evaluate("document.querySelectorAll('.plot svg.main-svg').length") >= places
    assert browser.evaluate("document.querySelectorAll('.plot .bars path').length") > 0
    assert browser.evaluate("document.querySelectorAll('.plot path.js-line').length") > 0
    assert browser.faults() == []
    assert browser.requests() == [two.as_uri()]


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_wider_than_the_window(browser: Browser, two: Path, width: int) -> None:
    browser.open(two, width=width, scheme="light")
    assert browser.evaluate("innerWidth") == width
    root = "document.documentElement"
    assert browser.evaluate(f"{root}.scrollWidth") == browser.evaluate(f"{root}.clientWidth")
    outside = """[...document.querySelectorAll('main *')]
        .filter(one => one.getBoundingClientRect().right > WIDTH + 0.5)
        .filter(one => !one.parentElement.closest('.scroll, svg, select'))
        .map(one => one.outerHTML.slice(0, 200))"""
    assert browser.evaluate(outside.replace("WIDTH", f"{root}.clientWidth")) == []


def test_plots_follow_the_system_from_light_to_dark(browser: Browser, two: Path) -> None:
    words = "getComputedStyle(document.querySelector('.plot .annotation text')).fill"
    bars = "getComputedStyle(document.querySelector('.plot .bars path')).fill"
    page_colour = "getComputedStyle(document.body).backgroundColor"
    browser.open(two, width=1280, scheme="light")
    light = [browser.evaluate(one) for one in (words, bars, page_colour)]
    browser.prefer("dark")
    browser.wait(f"{words} !== '{light[0]}'")
    dark = [browser.evaluate(one) for one in (words, bars, page_colour)]
    assert not set(light) & set(dark)


def test_another_run_is_chosen(browser: Browser, two: Path) -> None:
    browser.open(two, width=1280, scheme="light")
    line = "document.querySelector('#c0-run path.js-line').getAttribute('d')"
    before = browser.evaluate(line)
    browser.evaluate(
        "(() => { const list = document.querySelector('select'); list.selectedIndex = 4;"
        " list.dispatchEvent(new Event('change')); })()"
    )
    browser.wait(f"{line} !== '{before}'")
    assert browser.faults() == []


def test_what_a_file_says_is_text(browser: Browser, two: Path) -> None:
    browser.open(two, width=1280, scheme="light")
    assert browser.evaluate("document.title") == comparison().scenario.title
    assert browser.evaluate("document.querySelectorAll('main img').length") == 0
    assert HOSTILE in browser.evaluate("document.querySelector('main').textContent")


@pytest.mark.parametrize("width", [1280, 400])
def test_links_of_several_rates_are_drawn(browser: Browser, tmp_path: Path, width: int) -> None:
    file = tmp_path / "links.html"
    found = report([], [NamedSeries("links.json", series())])
    file.write_text(page.draw(found), encoding="utf-8")
    browser.open(file, width=width, scheme="light")
    lines = "[...document.querySelectorAll('#s0-rates .scatterlayer path.js-line')]"
    assert browser.evaluate(f"{lines}.length") == 7
    # what is drawn last lies above: auto, by a thick line
    widths = browser.evaluate(f"{lines}.map(one => parseFloat(getComputedStyle(one).strokeWidth))")
    assert widths[-1] > max(widths[:-1])
    root = "document.documentElement"
    assert browser.evaluate(f"{root}.scrollWidth") == browser.evaluate(f"{root}.clientWidth")
    assert browser.faults() == []
