"""A real sshd of the campaign's own on this host's loopback, and an ssh that goes there alone.

Nothing of the system's ssh is read or written: keys, configuration and known hosts are in the
trial's folder. Between the two stands a fault proxy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from ports import port_of_nobody
from ramferry.bench.monitored import dies_with_us

SSHD = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
StrictModes no
PasswordAuthentication no
UsePAM no
PermitRootLogin yes
PidFile none
"""
SSH = """\
Host far
  HostName 127.0.0.1
  Port {port}
  User root
  HostKeyAlias far
  IdentityFile {folder}/key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking yes
"""
START_SECONDS = 20.0
PASSWD = """\
root:x:0:0::/root:/bin/sh
sshd:x:64999:65534::/run/sshd:/usr/sbin/nologin
"""
RUN = """\
mkdir -p /run/sshd && mount -t tmpfs -o mode=755 none /run/sshd &&
mount --bind {folder}/passwd /etc/passwd && exec {sshd} -D -e -f {folder}/sshd_config
"""
"""sshd has a user, and a folder that nobody may enter: it gets its own, which only it sees."""


class Sshd:
    """The sshd; ``far`` is what its far halves are started by. End it with ``close``."""

    def __init__(self, folder: Path) -> None:
        """Start it.

        :param folder: for all that it needs; made here.
        """
        folder.mkdir()
        self._folder = folder
        for name in ("host_key", "key"):
            line = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(line, check=True)
        (folder / "known_hosts").write_text(f"far {(folder / 'host_key.pub').read_text()}")
        self._reserved = ExitStack()
        self.port = self._reserved.enter_context(port_of_nobody())
        (folder / "sshd_config").write_text(SSHD.format(port=self.port, folder=folder))
        (folder / "passwd").write_text(PASSWD)
        own = RUN.format(sshd=_sshd(), folder=folder)
        self._log = folder / "sshd.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*dies_with_us(), "unshare", "--mount", "sh", "-c", own], stderr=log
            )
        self._wait_listening()
        self.scratch = folder / "far-tmp"
        """Where far halves put what is to be gone when they are."""
        self.scratch.mkdir()
        self.remote_command = self._script("far", self._far())

    def ssh_to(self, port: int) -> dict[str, str]:
        """The environment of who finds the sshd behind a port as host ``far``."""
        config = self._folder / "ssh_config"
        config.write_text(SSH.format(port=port, folder=self._folder))
        binaries = self._folder / "bin"
        binaries.mkdir()
        real = shutil.which("ssh")
        self._script("bin/ssh", f'exec {real} -F {config} "$@"')
        return {"PATH": f"{binaries}:{os.environ['PATH']}"}

    def close(self) -> None:
        """End it, but not its sessions."""
        self.process.kill()
        self.process.wait()
        self._reserved.close()

    def _far(self) -> str:
        source = os.pathsep.join(path for path in sys.path if path)
        return (
            f"export TMPDIR={self.scratch} PYTHONPATH={source}\n"
            f'exec {sys.executable} -m ramferry "$@"'
        )

    def _script(self, name: str, text: str) -> str:
        path = self._folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    def _wait_listening(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while "Server listening" not in (said := self._log.read_text()):
            assert self.process.poll() is None, f"sshd ended: {said}"
            assert time.monotonic() < deadline, f"sshd does not listen: {said}"
            time.sleep(0.02)


def available() -> str:
    """Why there is no sshd here; "" if there can be one."""
    if os.geteuid() != 0:
        return "an sshd of the campaign's own takes root"
    return "" if _sshd() and shutil.which("ssh") else "there is no ssh or sshd: `make peers`"


def _sshd() -> str | None:
    peers = os.environ.get("RAMFERRY_PEERS", "")
    return shutil.which("sshd", path=peers) or shutil.which("sshd", path="/usr/sbin")
