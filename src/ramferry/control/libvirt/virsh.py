"""A libvirt daemon by the command ``virsh``, where there is no library: one process a call."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from contextlib import suppress
from typing import Any, Final, Self

from ramferry.control.libvirt.contract import STATES, Move, Stats
from ramferry.errors import HostError, MethodUnavailable, PeerUnreachable, RamferryError, UsageError

CALL_SECONDS: Final = 15.0
"""How long a command may take, but for ``migrate``; milliseconds as a rule, and what an ssh needs
to connect, each time."""
_END_SECONDS: Final = 5.0
_NUMBER: Final = re.compile(r"\s*([a-z0-9_.]+)[:=]\s*(\d+)\s*", re.IGNORECASE)
_LOST: Final = ("failed to connect to the hypervisor", "Disconnected from ", "Cannot recv data")
_ABSENT: Final = ("Domain not found", "failed to get domain")


class Virsh:
    """One daemon; see ``Connection``. Nothing stays connected between two calls."""

    means = "virsh"
    answers_within = CALL_SECONDS

    def __init__(self, uri: str, program: str = "virsh") -> None:
        """Connect once, to see that somebody answers.

        :param program: the command, or its path.
        :raise HostError: there is no such command.
        :raise PeerUnreachable: there is no way to that daemon; the sentence is libvirt's.
        """
        self.uri = uri
        self.alive = True
        found = shutil.which(program)
        if found is None:
            raise HostError(f"there is no {program}")
        self._program = found
        self._moving: subprocess.Popen[str] | None = None
        self._changing = threading.Lock()
        self._run("uri")

    def names(self) -> list[str]:
        """See ``Connection``."""
        return [name for name in self._run("list", "--all", "--name").splitlines() if name]

    def state(self, name: str) -> str:
        """See ``Connection``."""
        word = self._of("domstate", name).strip()
        return word if word in STATES else STATES[0]

    def xml(self, name: str) -> str:
        """See ``Connection``."""
        return self._of("dumpxml", name)

    def migrate(self, name: str, destination: Self, move: Move) -> None:
        """See ``Connection``."""
        line = ["migrate", *_domain(name), "--desturi", destination.uri, *_options(move)]
        with self._changing:
            process = self._moving = self._start(line)
        _, words = process.communicate()
        if process.returncode:
            raise self._error(words)

    def job(self, name: str) -> Stats:
        """See ``Connection``."""
        return _numbers(self._of("domjobinfo", name, "--rawstats"))

    def last_job(self, name: str) -> Stats:
        """See ``Connection``."""
        return _numbers(self._of("domjobinfo", name, "--rawstats", "--completed"))

    def abort(self, name: str) -> None:
        """See ``Connection``."""
        self._of("domjobabort", name)

    def set_max_downtime(self, name: str, milliseconds: int) -> None:
        """See ``Connection``."""
        self._of("migrate-setmaxdowntime", name, "--downtime", str(milliseconds))

    def suspend(self, name: str) -> None:
        """See ``Connection``."""
        self._of("suspend", name)

    def measure_dirty_rate(self, name: str, seconds: int) -> None:
        """See ``Connection``."""
        self._of("domdirtyrate-calc", name, "--seconds", str(seconds))

    def dirty_rate(self, name: str) -> int | None:
        """See ``Connection``."""
        found = _numbers(self._run("domstats", "--dirtyrate", name))
        return found.get("dirtyrate.megabytes_per_second")

    def monitor(self, name: str, command: str) -> Any:
        """See ``Connection``."""
        line = json.dumps({"execute": command})
        return json.loads(self._of("qemu-monitor-command", name, "--cmd", line)).get("return")

    def close(self) -> None:
        """See ``Connection``: a migration that is still under way loses its client."""
        with self._changing:
            process, self._moving = self._moving, None
        if process is not None and process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _of(self, command: str, name: str, *options: str) -> str:
        return self._run(command, *_domain(name), *options)

    def _run(self, *line: str) -> str:
        process = self._start(line)
        try:
            output, words = process.communicate(timeout=CALL_SECONDS)
        except BaseException as error:
            process.kill()
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise PeerUnreachable(
                    f"the libvirt at {self.uri} does not answer `virsh {line[0]}` within"
                    f" {CALL_SECONDS:g} s"
                ) from error
            raise
        if process.returncode:
            raise self._error(words)
        return output

    def _start(self, line: tuple[str, ...] | list[str]) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                [self._program, "--quiet", "--connect", self.uri, *line],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env={**os.environ, "LC_ALL": "C"},
                process_group=0,  # Ctrl-C is for who ends the job first
            )
        except OSError as error:
            raise HostError(f"cannot start {self._program}: {error.strerror}") from error

    def _error(self, said: str) -> RamferryError:
        lines = [one.removeprefix("error: ") for one in said.strip().splitlines()]
        words = (lines[-1] if lines else "virsh does not say why").rstrip(".")
        if any(one.startswith(_LOST) for one in lines):
            return PeerUnreachable(f"no libvirt answers at {self.uri}: {words}")
        absent = words.startswith(_ABSENT)
        return UsageError(words) if absent else MethodUnavailable(words)


def _domain(name: str) -> tuple[str, str]:
    """:raise UsageError: virsh would take the name for a number of its own."""
    if name.isdigit():
        raise UsageError(
            f"virsh takes {name} for a running domain's number: install libvirt's library"
            f" (libvirt0) for a domain of that name"
        )
    return "--domain", name


def _options(move: Move) -> list[str]:
    line = ["--live", "--parallel", "--parallel-connections", str(move.channels)]
    line += ["--migrateuri", move.migrate_uri]
    asked = {
        "--p2p": move.peer_to_peer,
        "--persistent": move.persistent,
        "--undefinesource": move.undefine_source,
        "--unsafe": move.unsafe,
        "--auto-converge": move.auto_converge,
        f"--copy-storage-{move.copy_storage}": bool(move.copy_storage),
    }
    line += [option for option, on in asked.items() if on]
    return [*line, "--disks-uri", move.disks_uri] if move.disks_uri else line


def _numbers(text: str) -> dict[str, int]:
    matches = (_NUMBER.fullmatch(line) for line in text.splitlines())
    return {match[1]: int(match[2]) for match in matches if match}
