"""The methods that the QEMUs of this host have built in: each is started without a machine and
asked.

A QEMU that does not run has no QMP socket, and its version says nothing about methods, which
distributions choose when they build it.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from contextlib import suppress
from typing import Final

from ramferry.control.qemu.probe import methods_of, version_of
from ramferry.control.qemu.qmp import Qmp
from ramferry.errors import PeerUnreachable, RamferryError
from ramferry.metrics.host import QemuBuilt
from ramferry.patience import Patience
from ramferry.transport.tempfolder import TempFolder

NAME: Final = re.compile(r"qemu-system-[\w.-]+|qemu-kvm")
ANSWER_SECONDS: Final = 5.0
"""How long one QEMU may take to answer; without a machine it takes 0.2 s."""

ALL_SECONDS: Final = 20.0
"""How long all of them may take; a host may have one for each of thirty architectures."""

POLL_SECONDS: Final = 0.01


def find_qemus(path: str) -> list[str]:
    """The QEMU system emulators in the directories of a PATH, each once, in the PATH's order."""
    found: dict[str, str] = {}
    for folder in path.split(os.pathsep):
        with suppress(OSError):
            for name in sorted(os.listdir(folder or ".")):
                file = os.path.join(folder, name)
                if NAME.fullmatch(name) and os.path.isfile(file) and os.access(file, os.X_OK):
                    found.setdefault(os.path.realpath(file), file)
    return list(found.values())


def ask_qemus(path: str, seconds: float = ALL_SECONDS) -> list[QemuBuilt]:
    """Ask each QEMU on a PATH; one that does not answer in time is returned with that as its
    trouble."""
    patience = Patience(seconds, longest_step=2 * ANSWER_SECONDS)
    answers = []
    for binary in find_qemus(path):
        left = min(ANSWER_SECONDS, patience.left)
        if left <= 0:
            answers.append(QemuBuilt(binary, "", (), "the others took all the time there was"))
        else:
            answers.append(ask_qemu(binary, left))
    return answers


def ask_qemu(binary: str, seconds: float = ANSWER_SECONDS) -> QemuBuilt:
    """Start a QEMU with no machine, devices or configuration, ask it, and end it."""
    with TempFolder.for_sockets() as own:
        folder = own.path
        log = folder / "stderr"
        with log.open("wb") as stderr:
            try:
                process = _start(binary, f"{folder}/qmp", stderr.fileno())
            except OSError as error:
                return QemuBuilt(binary, "", (), f"it does not start: {error.strerror or error}")
        try:
            return _ask(binary, process, f"{folder}/qmp", seconds)
        except (RamferryError, KeyError, TypeError, ValueError) as error:
            said = log.read_bytes()[:4096].decode(errors="replace").strip().splitlines()
            return QemuBuilt(binary, "", (), said[-1] if said else str(error))
        finally:
            process.kill()
            process.wait()


def _start(binary: str, socket: str, stderr: int) -> subprocess.Popen[bytes]:
    quiet = ("-S", "-display", "none", "-machine", "none", "-nodefaults", "-no-user-config")
    return subprocess.Popen(
        [binary, *quiet, "-qmp", f"unix:{socket},server=on,wait=off"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    )


def _ask(binary: str, process: subprocess.Popen[bytes], socket: str, seconds: float) -> QemuBuilt:
    # a step may be a question that is not answered, or a stop of this process: one leaves half
    patience = Patience(seconds, longest_step=seconds / 2)
    while not os.path.exists(socket):
        if process.poll() is not None:
            raise PeerUnreachable(f"it ended with status {process.returncode}")
        if patience.over:
            raise PeerUnreachable(f"it opened no QMP socket within {seconds:g} s")
        time.sleep(POLL_SECONDS)
    with _connect(socket, process, patience) as qmp:
        left = max(0.1, patience.left)
        version = version_of(qmp.execute("query-version", timeout=left))
        methods = methods_of(qmp.execute("query-qmp-schema", timeout=left))
    return QemuBuilt(binary, ".".join(map(str, version)), tuple(sorted(methods)))


def _connect(socket: str, process: subprocess.Popen[bytes], patience: Patience) -> Qmp:
    """Connect as soon as QEMU listens, which is a moment after its socket exists."""
    while True:
        try:
            return Qmp.connect(f"qmp:{socket}", timeout=max(0.1, patience.left))
        except PeerUnreachable:
            if process.poll() is not None or patience.over:
                raise
        time.sleep(POLL_SECONDS)
