"""What every test may rely on: hypothesis profiles, slow tests on request, peers or a good reason.

Profiles (``--hypothesis-profile NAME``): ``default`` is quick, ``ci`` is chosen where the variable
CI is set and is repeatable, ``expensive`` is for a night.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Generator
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, settings

# Assertions of the fakes explain themselves as those of tests do. Here, because several folders
# import them, and the first import must find it done.
pytest.register_assert_rewrite("fakes_relay", "fakes_cases")

CHECKOUT = Path(__file__).resolve().parent.parent

# No deadline: on a busy machine a slow example proves nothing.
settings.register_profile("default", max_examples=50, deadline=None)
settings.register_profile(
    "ci", max_examples=100, deadline=None, derandomize=True, print_blob=True, database=None
)
settings.register_profile(
    "expensive",
    max_examples=5000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow as well")


def pytest_configure() -> None:
    """Let what tests start hear the signals that this process was told to ignore.

    A shell's background jobs ignore SIGINT, and those of ``nohup`` SIGHUP; children inherit that,
    but not a handler.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _pass_over)


def _pass_over(_number: int, _frame: FrameType | None) -> None: ...


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out slow tests, counted as deselected, unless ``--slow`` asks for them."""
    if config.getoption("--slow"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where peers are required, an interop test that skips itself, for whatever reason, fails."""
    report = yield
    required = os.environ.get("RAMFERRY_REQUIRE_PEERS") == "1"
    if (
        required
        and report.skipped
        and not hasattr(report, "wasxfail")
        and item.get_closest_marker("interop")
        and not item.get_closest_marker("hardware")
    ):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"RAMFERRY_REQUIRE_PEERS=1 forbids to skip: {reason}"
    return report


RequirePeer = Callable[[str], Path]


@pytest.fixture(scope="session")
def find_peer() -> RequirePeer:
    """``require_peer`` for fixtures of more than one test, which see no marks."""

    def find(command: str) -> Path:
        own = os.environ.get("RAMFERRY_PEERS") or str(CHECKOUT / "build/peers/bin")
        found = shutil.which(command, path=own) or shutil.which(command)
        if found is None:
            pytest.skip(f"{command} is not here: `make peers` fetches it")
        return Path(found)

    return find


@pytest.fixture
def require_peer(request: pytest.FixtureRequest, find_peer: RequirePeer) -> RequirePeer:
    """Finds a real peer by its command's name, for tests marked ``interop``.

    ``require_peer("qzip")`` returns the command's path: from the folders in RAMFERRY_PEERS if
    that is set, else from ``build/peers/bin`` of the checkout, else from the PATH. Where there is
    none the test is skipped with a sentence; where RAMFERRY_REQUIRE_PEERS=1 it fails.
    """
    if not request.node.get_closest_marker("interop"):
        pytest.fail(
            "require_peer is for tests marked interop: without the mark a skip stays hidden"
        )
    return find_peer
