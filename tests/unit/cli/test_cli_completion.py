"""``--completion``: what real shells make of its scripts, and what they are offered."""

from __future__ import annotations

import os
import pty
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from ramferry.cli import COMMANDS, table

PATIENCE = 60
"""Seconds; a shell's Tab starts a Python each time, here perhaps on a busy machine."""
# Enter shows the words of the line that Tab made. The completion starts the program by `env`.
SHOW = "ramferry() { printf '<%s>' \"$@\"; printf '!\\n'; }"
SHELLS = {
    "bash": ["--norc", "--noprofile", "-i"],
    "zsh": ["-f", "-i"],
}


def begin(shell: str) -> str:
    """What makes that shell complete, as its user has it in its start-up file."""
    ready = "autoload -U compinit && compinit -u -D; " if shell == "zsh" else ""
    return f'{ready}eval "$(ramferry --completion {shell})"; {SHOW}; PS1=; echo rea""dy\n'


class Terminal:
    """An interactive shell, and what it showed."""

    def __init__(self, shell: str, folder: Path) -> None:
        program = shutil.which(shell)
        if program is None:
            pytest.skip(f"{shell} is not on the PATH")
        beside = str(Path(sys.executable).parent)
        environ = {"PATH": f"{beside}:{os.environ['PATH']}", "HOME": str(folder), "TERM": "dumb"}
        self.shown = ""
        ours, theirs = pty.openpty()
        self._file = ours
        self._process = subprocess.Popen(
            [program, *SHELLS[shell]],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env=environ,
            start_new_session=True,
        )
        os.close(theirs)

    def type(self, words: str, until: str) -> str:
        """Type, wait for what is then shown, and return that."""
        seen = len(self.shown)
        os.write(self._file, words.encode())
        deadline = time.monotonic() + PATIENCE
        while until not in self.shown[seen:]:
            assert time.monotonic() < deadline, self.shown
            if select.select([self._file], [], [], 1)[0]:
                self.shown += os.read(self._file, 4096).decode(errors="replace")
        return self.shown[seen:]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._file)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a socket, a file and what ssh knows."""
    (tmp_path / "vm").mkdir()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "vm/source.qmp"))
    (tmp_path / "vm/source.log").touch()
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Host beta gamma *.example.com\n  Port 22\nhost b?\n")
    return tmp_path


@pytest.fixture(params=list(SHELLS))
def terminal(request: pytest.FixtureRequest, here: Path) -> Iterator[Terminal]:
    shell = Terminal(request.param, here)
    try:
        shell.type(begin(request.param), "ready")
        yield shell
    finally:
        shell.close()


def test_a_shell_completes_commands_choices_sockets_and_hosts(terminal: Terminal) -> None:
    line = "ramferry migr\t--meth\tqatz\tqmp:vm/so\tssh://be\t\n"
    shown = terminal.type(line, "!")
    assert "<migrate><--method><qatzip><qmp:vm/source.qmp><ssh://beta/" in shown.replace("\n", "")


def test_a_shell_completes_files_and_values_behind_an_equals_sign(terminal: Terminal) -> None:
    shown = terminal.type("ramferry compress --accelerator=req\tvm/source.l\t\n", "!")
    assert "<compress><--accelerator=require><vm/source.log>" in shown


def test_fish_completes(here: Path) -> None:
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("fish is not on the PATH")
    beside = str(Path(sys.executable).parent)
    environ = {"PATH": f"{beside}:{os.environ['PATH']}", "HOME": str(here)}
    asked = "ramferry --completion fish | source; complete -C '{}'"
    for line, answer in {
        "ramferry migr": "migrate\t" + COMMANDS["migrate"],
        "ramferry migrate qmp:vm/": "qmp:vm/source.qmp",
        "ramferry relay --method z": "zlib\nzstd",
        "ramferry relay --method=z": "--method=zlib\n--method=zstd",
    }.items():
        done = subprocess.run(
            [fish, "--no-config", "-c", asked.format(line)],
            cwd=here,
            env=environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        assert done.stdout.strip() == answer


def offered(line: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What bash is told of a line whose end is where the cursor is."""
    monkeypatch.chdir(home)
    environ = {"_RAMFERRY_COMPLETE": "bash_complete", "COMP_WORDS": line, "HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", "ramferry"],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stderr == ""
    return [one for one in done.stdout.splitlines() if one]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ramferry far", []),
        ("ramferry bench ", ["plain,run", "plain,links", "plain,list", "plain,codec"]),
        ("ramferry plan ", ["plain,memory", "plain,method", "plain,time", "plain,link"]),
        ("ramferry bench codec --met", ["plain,--methods"]),
        ("ramferry relay r", ["part,relay:"]),
        ("ramferry relay relay:unix:v", ["part,vm/"]),
        ("ramferry guest --qmp=qmp:vm/s", ["plain,vm/source.qmp"]),
        ("ramferry save ssh:", ["part,//"]),
        ("ramferry save ssh://", ["part,//beta/", "part,//gamma/"]),
        ("ramferry save qmp:vm/nobody/", []),
        ("ramferry plan time qm", ["part,qmp:"]),
        ("ramferry plan time vm", ["file,vm"]),
        ("ramferry plan memory --json ", ["file,"]),
        ("ramferry --completion z", ["plain,zsh"]),
        ("ramferry inspect vm", ["file,vm"]),
        ('ramferry inspect "vm', ["file,vm"]),
    ],
)
def test_what_is_offered(
    line: str, words: list[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offered(line, here, monkeypatch)[: len(words) or None] == words


def test_what_bash_would_not_take_as_a_word_is_quoted(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "vm/a b$(c)").mkdir()
    assert offered("ramferry save qmp:vm/a", here, monkeypatch) == [r"part,vm/a\ b\$\(c\)/"]
    assert offered(r"ramferry save qmp:vm/a\ ", here, monkeypatch) == [r"part,vm/a\ b\$\(c\)/"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed(shell: str) -> None:
    done = CliRunner().invoke(table, ["--completion", shell])
    assert done.exit_code == 0
    assert f"_RAMFERRY_COMPLETE={shell}_complete" in done.output


def test_a_shell_without_a_script_is_a_usage_error() -> None:
    done = CliRunner().invoke(table, ["--completion", "tcsh"])
    assert done.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in done.output
