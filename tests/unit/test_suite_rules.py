"""The suite's own rules (tests/conftest.py): slow tests on request, no skip where peers must be."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).resolve().parent.parent / "conftest.py"
MAKEFILE = CONFTEST.parent.parent / "Makefile"
MARKERS = """
[pytest]
addopts = --strict-markers
markers =
    interop: a real peer
    hardware: a device
    slow: minutes
    timed: alone
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty suite under the same conftest, where no peer is required and none is found."""
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makeini(MARKERS)
    for name in ("RAMFERRY_REQUIRE_PEERS", "RAMFERRY_PEERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(pytester.mkdir("bin")))
    return pytester


NEEDS_QZIP = """
import pytest
@pytest.mark.interop
def test_needs_qzip(require_peer):
    assert require_peer("qzip").name == "qzip"
"""


def test_each_test_runs_in_one_group_of_the_makefile(suite: pytest.Pytester) -> None:
    """Those of ``make check``, of the interop tests beside one another, and of those alone."""
    kinds = ("", "interop", "interop timed", "interop slow", "hardware", "interop hardware timed")
    tests = [
        "".join(f"@pytest.mark.{marker}\n" for marker in kind.split()) + f"def test_{at}(): pass\n"
        for at, kind in enumerate(kinds)
    ]
    suite.makepyfile("import pytest\n" + "".join(tests))
    text = MAKEFILE.read_text()
    (alone,) = re.findall(r"^BY_ITSELF := (.*)$", text, re.MULTILINE)
    groups = re.findall(r'-m "(.*)"', text)
    assert len(groups) == 3
    ran = []
    for group in groups:
        result = suite.runpytest_inprocess("--slow", "-m", group.replace("$(BY_ITSELF)", alone))
        ran.append(result.parseoutcomes()["passed"])
    assert sum(ran) == len(kinds)
    assert dict(zip(groups, ran, strict=True))["$(BY_ITSELF)"] == 4


def test_slow_tests_wait_for_the_option(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        "import pytest\n@pytest.mark.slow\ndef test_long(): pass\ndef test_short(): pass"
    )
    suite.runpytest_inprocess().assert_outcomes(passed=1, deselected=1)
    suite.runpytest_inprocess("--slow").assert_outcomes(passed=2)


def test_a_missing_peer_is_a_skip_that_says_what_to_do(suite: pytest.Pytester) -> None:
    suite.makepyfile(NEEDS_QZIP)
    result = suite.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*qzip is not here: `make peers` fetches it*"])


def test_a_missing_peer_is_a_failure_where_peers_are_required(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAMFERRY_REQUIRE_PEERS", "1")
    suite.makepyfile(NEEDS_QZIP)
    result = suite.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*RAMFERRY_REQUIRE_PEERS=1 forbids to skip*qzip is not here*"])


def test_any_skip_of_an_interop_test_is_a_failure_where_peers_are_required(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAMFERRY_REQUIRE_PEERS", "1")
    suite.makepyfile(
        "import pytest\n"
        "@pytest.mark.interop\n@pytest.mark.skipif(True, reason='no QEMU')\ndef test_peer(): pass\n"
        "@pytest.mark.interop\n@pytest.mark.hardware\ndef test_device(): pytest.skip('no device')\n"
    )
    suite.runpytest_inprocess().assert_outcomes(errors=1, skipped=1)


def test_a_peer_is_taken_from_the_folders_that_the_environment_names(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = suite.mkdir("peers") / "qzip"
    peer.touch(mode=0o755)
    monkeypatch.setenv("RAMFERRY_PEERS", str(peer.parent))
    suite.makepyfile(NEEDS_QZIP)
    suite.runpytest_inprocess().assert_outcomes(passed=1)


def test_peers_are_for_tests_that_are_marked(suite: pytest.Pytester) -> None:
    suite.makepyfile(NEEDS_QZIP.replace("@pytest.mark.interop", ""))
    suite.runpytest_inprocess().assert_outcomes(errors=1)


STARTS_A_CHILD = """
import subprocess, sys
LOOK = "import signal; print(int(signal.getsignal(signal.SIGINT) is signal.SIG_IGN))"
def test_child():
    assert subprocess.check_output([sys.executable, "-c", LOOK]) == b"0\\n"
"""


def test_in_the_background_too_a_test_can_interrupt_what_it_starts(suite: pytest.Pytester) -> None:
    suite.makepyfile(STARTS_A_CHILD)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as of a shell's background job
    try:
        result = suite.runpytest_subprocess("-n", "1")
    finally:
        signal.signal(signal.SIGINT, before)
    result.assert_outcomes(passed=1)


def test_whoever_decodes_json_heeds_bytes_that_are_no_text() -> None:
    """msgspec raises UnicodeDecodeError for those, which is no DecodeError of its own."""
    sources = (CONFTEST.parent.parent / "src").rglob("*.py")
    named = [
        str(one) for one in sources if re.search(r"(except|suppress).*DecodeError", one.read_text())
    ]
    assert [Path(one).name for one in named] == ["far_link.py", "monitor.py"], "catch ValueError"
