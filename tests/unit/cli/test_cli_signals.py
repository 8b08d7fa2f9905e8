"""From the first line to the last, a signal gets a sentence and the documented code."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
INTERRUPTED = 130

AT_IMPORT = """
import builtins, os, sys
import ramferry.__main__ as entry
number, name = int(sys.argv.pop(1)), sys.argv.pop(1)
plain = builtins.__import__
def struck(module, *rest, **more):
    if module == name:
        os.kill(os.getpid(), number)
    return plain(module, *rest, **more)
builtins.__import__ = struck
entry.main()
"""

AT_THE_END = """
import os, sys
from ramferry import interruption
import ramferry.__main__ as entry
number = int(sys.argv.pop(1))
settled = interruption.too_late
def struck():
    settled()
    os.kill(os.getpid(), number)
interruption.too_late = struck
entry.main()
"""

AT_EXIT = """
import atexit, signal
import ramferry.__main__ as entry
from ramferry.interruption import SIGNALS
atexit.register(lambda: print({signal.getsignal(one) for one in SIGNALS}))
entry.main()
"""


AT_EACH_STEP = """
import os, signal, sys, threading
from ramferry import interruption
from ramferry.cli.interrupt import Wish, stop_on_signals
sent = 0
def one_more(frame, event, argument):
    global sent
    if sent < 30 and frame.f_code.co_name in ("heed", "set", "__enter__", "__exit__"):
        sent += 1
        os.kill(os.getpid(), signal.SIGHUP)
    return one_more
interruption.begin()
stop, insist = Wish(), Wish()
with stop_on_signals(stop, insist):
    sys.settrace(one_more)
    os.kill(os.getpid(), signal.SIGTERM)
    while not (stop.is_set() and insist.is_set()):
        pass
    sys.settrace(None)
print(sent)
"""


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("module", ["ramferry.cli", "ramferry.control.migrate.course"])
def test_while_it_starts(number: signal.Signals, module: str) -> None:
    ended = run(AT_IMPORT, int(number), module, "migrate", "qmp:/none/a", "qmp:/none/b")
    by = "" if number is signal.SIGINT else f" by {number.name}"
    assert ended.stderr.strip() == f"ramferry: interrupted{by}"
    assert ended.returncode == INTERRUPTED


@pytest.mark.parametrize("number", SIGNALS)
def test_after_success(number: signal.Signals) -> None:
    ended = run(AT_THE_END, int(number), "--version")
    assert ended.stdout.startswith("ramferry ")
    assert ended.stderr == f"ramferry: {number.name} came too late: the command had ended\n"
    assert ended.returncode == 0


def test_after_a_failure_the_code_is_the_failures() -> None:
    ended = run(AT_THE_END, int(signal.SIGTERM), "migrate", "qmp:/none/a", "qmp:/none/b")
    assert "no QEMU answers at qmp:/none/a" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 3


def test_while_a_signal_is_heeded_another_one_comes() -> None:
    """An Event's lock would have the second handler wait for the first, within which it is."""
    ended = run(AT_EACH_STEP)
    assert (ended.stderr, ended.returncode) == ("", 0)
    assert int(ended.stdout) > 1


def test_while_python_ends() -> None:
    """It puts back what ends a process by a signal, unless that is ignored."""
    ended = run(AT_EXIT, "--version")
    assert ended.stdout.splitlines()[-1] == "{<Handlers.SIG_IGN: 1>}"


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    """As under nohup."""
    ended = subprocess.run(
        [sys.executable, "-c", AT_IMPORT, str(int(signal.SIGHUP)), "ramferry.cli", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert (ended.stderr, ended.returncode) == ("", 0)
