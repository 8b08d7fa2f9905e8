"""Two hosts with a real sshd between them: network namespaces, users, keys, and a cable.

Everything private to the two hosts is in mount namespaces of their processes: a ``/etc/passwd``
with logins for the users, and Python with Ramferry at a path that every user may read. So no
account is made, and the system's ssh files are neither read nor written.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramferry
from ramferry.bench.qemu import FLOPPY_BYTES, QemuBinary
from ramferry.control.qemu.qmp import Qmp
from ramferry.errors import PeerUnreachable

TAKES_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces take root")
NEAR, FAR = "192.0.2.1", "192.0.2.2"
DEVICE = "cable0"
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class User:
    """A login of both hosts."""

    name: str
    uid: int


ROOT = User("root", 0)
CARRIER = User("daemon", 1)
OTHER = User("nobody", 65534)
USERS = (ROOT, CARRIER, OTHER)

PASSWD = "".join(
    f"{user.name}:x:{user.uid}:{user.uid}::{{home}}/{user.name}:/bin/sh\n" for user in USERS
)
SSHD = """\
ListenAddress {far}
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized
StrictModes no
PasswordAuthentication yes
KbdInteractiveAuthentication no
UsePAM no
PermitRootLogin yes
PidFile none
AllowStreamLocalForwarding {forwarding}
AllowTcpForwarding {forwarding}
"""
SSH = """\
Host far
  HostName {far}
  Port {port}
  IdentityFile {home}/key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking yes
Host stranger
  HostName {far}
  Port {port}
  IdentityFile {home}/other_key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
Host unknown
  HostName {far}
  Port {port}
  IdentityFile {home}/key
  UserKnownHostsFile /dev/null
Host changed
  HostName {far}
  Port {port}
  IdentityFile {home}/key
  UserKnownHostsFile {folder}/another_host
"""
WITHIN = """\
#!/bin/sh
# within NAMESPACE UID COMMAND...: runs a command on one of the two hosts as one of their users
netns=$1 uid=$2
shift 2
exec ip netns exec "$netns" sh -c '
    folder=$1 uid=$2
    shift 2
    mount --bind "$folder/passwd" /etc/passwd &&
        mount --bind "{python}" "$folder/python" &&
        mount --bind "{site}" "$folder/site" &&
        mount --bind "{source}" "$folder/source" || exit 99
    export HOME="$folder/home/$uid" PYTHONPATH="$folder/source:$folder/site"
    export PATH="$folder/bin:$PATH" TMPDIR=/tmp PYTHONDONTWRITEBYTECODE=1
    [ "$uid" = 0 ] && exec "$@"
    exec setpriv --reuid "$uid" --regid "$uid" --clear-groups -- "$@"
' sh "{folder}" "$uid" "$@"
"""
RAMFERRY = """\
#!/bin/sh
export PYTHONPATH={folder}/source:{folder}/site PYTHONDONTWRITEBYTECODE=1
export LD_LIBRARY_PATH={folder}/python/lib
exec {folder}/python/{interpreter} -m ramferry "$@"
"""


def until(what: str, met: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait until a condition holds, or fail."""
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


@dataclass
class TwoHosts:
    """The two hosts; made by ``two_hosts``."""

    folder: Path
    namespaces: tuple[str, str]
    port: int = 22
    started: list[subprocess.Popen[Any]] = field(default_factory=list)

    def within(self, far: bool, user: User, *command: object) -> list[str]:
        """The command line that runs a command on one of them."""
        return [
            str(self.folder / "within"),
            self.namespaces[far],
            str(user.uid),
            *map(str, command),
        ]

    def start(self, far: bool, user: User, *command: object, **how: Any) -> subprocess.Popen[str]:
        """Start a command on one of them; it ends with the test at the latest."""
        how = {"stdin": subprocess.DEVNULL, "text": True, "start_new_session": True, **how}
        process = subprocess.Popen(self.within(far, user, *command), **how)
        self.started.append(process)
        return process

    def ramferry(
        self, user: User, *arguments: object, **how: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run ``ramferry`` on the near host to its end."""
        how = {"stdin": subprocess.DEVNULL, "timeout": 100, **how}
        line = self.within(False, user, self.folder / "bin/ramferry", *arguments)
        return subprocess.run(line, capture_output=True, text=True, check=False, **how)

    @property
    def installed(self) -> str:
        """The far host's ``ramferry``."""
        return str(self.folder / "bin/ramferry")

    def listen(self, host: str, first: int, last: int) -> None:
        """Have something listen at ports of the far host."""
        script = (
            "import socket, sys, time\n"
            "kept = [socket.create_server((sys.argv[1], port))"
            " for port in range(int(sys.argv[2]), int(sys.argv[3]) + 1)]\n"
            "print('listening', flush=True)\ntime.sleep(600)"
        )
        command = ("/usr/bin/env", "python3", "-c", script, host, first, last)
        process = self.start(True, ROOT, *command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"

    def remote(self, script: str) -> str:
        """A command of the far host that runs a shell script: what ``--remote-command`` takes."""
        path = Path(tempfile.mkdtemp(dir=self.folder)) / "command"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        path.parent.chmod(0o755)
        return str(path)

    def cut(self) -> None:
        """Pull the cable."""
        run("ip", "-n", self.namespaces[0], "link", "set", DEVICE, "down")

    def drop(self) -> None:
        """Be a firewall that drops all of TCP but ssh: what the far host answers has no route."""
        rule = ("ipproto", "tcp", "sport", "1024-65534", "blackhole")
        run("ip", "-n", self.namespaces[1], "rule", "add", *rule)

    def mend(self) -> None:
        """Plug the cable in again; the addresses of its ends are still theirs."""
        run("ip", "-n", self.namespaces[0], "link", "set", DEVICE, "up")

    def left_behind(self) -> list[str]:
        """Processes of a far half that are on the far host."""
        running = self.processes(True).items()
        return [
            f"{pid} {' '.join(words)}"
            for pid, words in running
            if "ramferry" in words and ("far" in words or "relay" in words)
        ]

    def processes(self, far: bool) -> dict[int, list[str]]:
        """The processes of one of them, by id, with the words of their command lines."""
        network = Path("/run/netns", self.namespaces[far]).stat().st_ino
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if (entry / "ns/net").stat().st_ino == network:
                    line = (entry / "cmdline").read_bytes().decode(errors="replace")
                    found[int(entry.name)] = line.rstrip("\0").split("\0")
        return found

    def sshd(self, *, forwarding: bool = True) -> None:
        """Start the far host's sshd, which takes keys and passwords."""
        text = SSHD.format(
            far=FAR,
            port=self.port,
            folder=self.folder,
            forwarding="yes" if forwarding else "no",
        )
        (self.folder / "sshd_config").write_text(text)
        log = self.folder / "sshd.log"
        with log.open("w") as output:
            command = (self.folder / "sshd", "-D", "-e", "-f", self.folder / "sshd_config")
            process = self.start(True, ROOT, *command, stdout=output, stderr=output)
        until(
            "sshd listens",
            lambda: "Server listening" in log.read_text() or process.poll() is not None,
        )
        assert process.poll() is None, log.read_text()

    def end(self) -> None:
        """End what was started, and whatever those started."""
        for process in reversed(self.started):
            # the number of one that was waited for may be another process' by now; what it left
            # behind is found below
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        for namespace in self.namespaces:
            pids = run("ip", "netns", "pids", namespace).split()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "delete", namespace)


def run(*command: object) -> str:
    """Run a command that must succeed; what it printed."""
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{command}: {ended.stderr}"
    return ended.stdout


@contextlib.contextmanager
def two_hosts(sshd: Path) -> Iterator[TwoHosts]:
    """Make them; the far host's sshd does not run yet."""
    folder = Path(tempfile.mkdtemp(prefix="ramferry-ssh-", dir="/tmp"))
    folder.chmod(0o755)
    # a killed run leaves its namespaces, and another process gets its number
    ours = f"rfssh-{os.getpid()}-{secrets.token_hex(3)}"
    hosts = TwoHosts(folder, (f"{ours}-near", f"{ours}-far"))
    try:
        _network(hosts)
        _files(folder, hosts, sshd)
        yield hosts
    finally:
        hosts.end()
        shutil.rmtree(folder)


def _network(hosts: TwoHosts) -> None:
    near, far = hosts.namespaces
    for name in (near, far):
        run("ip", "netns", "add", name)
    peer = ("peer", "name", DEVICE, "netns", far)
    run("ip", "link", "add", DEVICE, "netns", near, "type", "veth", *peer)
    for name, address in ((near, NEAR), (far, FAR)):
        run("ip", "-n", name, "address", "add", f"{address}/30", "dev", DEVICE)
        for device in ("lo", DEVICE):
            run("ip", "-n", name, "link", "set", device, "up")


def _files(folder: Path, hosts: TwoHosts, sshd: Path) -> None:
    for name in ("bin", "python", "site", "source", "home"):
        (folder / name).mkdir()
    (folder / "passwd").write_text(
        PASSWD.format(home=folder / "home") + "sshd:x:64999:65534::/run/sshd:/usr/sbin/nologin\n"
    )
    interpreter = Path(sys.executable).resolve()
    prefix = Path(sys.base_prefix).resolve()
    site = Path(np.__file__).parents[1]
    places = {"folder": folder, "python": prefix, "site": site, "source": _source()}
    _script(folder / "within", WITHIN.format(**places))
    relative = interpreter.relative_to(prefix)
    _script(folder / "bin/ramferry", RAMFERRY.format(folder=folder, interpreter=relative))
    # sshd leaves its folder for those whom nobody may enter; where it is not, it is made for it
    own = f'mkdir -p /run/sshd && mount -t tmpfs -o mode=755 none /run/sshd && exec {sshd} "$@"\n'
    _script(folder / "sshd", f"#!/bin/sh\n{own}")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "host_key")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key")
    shutil.copy(folder / "key.pub", folder / "authorized")
    host_key = (folder / "host_key.pub").read_text()
    (folder / "known_hosts").write_text(f"{FAR} {host_key}")
    (folder / "another_host").write_text(f"{FAR} {(folder / 'key.pub').read_text()}")
    for user in USERS:
        home = folder / "home" / str(user.uid)
        home.mkdir()
        (folder / "home" / user.name).symlink_to(str(user.uid))
        shutil.copy(folder / "key", home / "key")
        shutil.copy(folder / "host_key", home / "other_key")
        (home / "config").write_text(SSH.format(far=FAR, port=hosts.port, home=home, folder=folder))
        for path in (home, *home.iterdir()):
            os.chown(path, user.uid, user.uid)
    client = shutil.which("ssh")
    _script(folder / "bin/ssh", f'#!/bin/sh\nexec {client} -F "$HOME/config" "$@"\n')


def _source() -> Path:
    assert ramferry.__file__ is not None
    return Path(ramferry.__file__).resolve().parents[1]


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@dataclass
class Vm:
    """A QEMU or a built-in guest on one of the hosts, run by one of their users."""

    path: Path
    """Its QMP socket."""
    process: subprocess.Popen[str]
    qmp: Qmp
    ram: np.ndarray[Any, Any]
    """Its memory."""

    @property
    def alive(self) -> bool:
        """Whether its process has not ended."""
        return self.process.poll() is None

    def state(self) -> str:
        """Its run state."""
        return str(self.qmp.execute("query-status")["status"])


@contextlib.contextmanager
def qemu(
    hosts: TwoHosts,
    far: bool,
    user: User,
    binary: QemuBinary | None,
    *,
    megabytes: int = 64,
    incoming: bool | None = None,
    boot: bytes = b"",
    options: Sequence[str] = (),
) -> Iterator[Vm]:
    """A QEMU, paused, or a built-in guest if ``binary`` is None; the far one waits for a guest, if
    ``incoming`` does not say otherwise."""
    waits = far if incoming is None else incoming
    folder = Path(tempfile.mkdtemp(dir=hosts.folder))
    os.chown(folder, user.uid, user.uid)
    path, ram = folder / "qmp", folder / "ram"
    if binary is None:
        command: list[object] = [
            hosts.folder / "bin/ramferry",
            "guest",
            "--memory",
            f"{megabytes}M",
        ]
        command += ["--qmp", f"qmp:{path}", *(("--incoming", "defer") if waits else ())]
    else:
        for file, content in ((ram, b""), (folder / "boot", boot.ljust(FLOPPY_BYTES, b"\0"))):
            file.write_bytes(content)
            os.chown(file, user.uid, user.uid)
        backend = f"memory-backend-file,id=ram,size={megabytes}M,mem-path={ram},share=on"
        command = [binary.path, "-nodefaults", "-display", "none", "-accel", "tcg"]
        command += ["-machine", f"{binary.machine},memory-backend=ram", "-object", backend]
        command += ["-m", f"{megabytes}M", "-qmp", f"unix:{path},server=on,wait=off"]
        command += ["-qmp", f"unix:{folder}/ours,server=on,wait=off"]
        command += ["-drive", f"if=floppy,format=raw,readonly=on,file={folder}/boot"]
        command += ["-incoming", "defer"] if waits else ["-S"]
    log = folder / "log"
    with log.open("w") as output:
        process = hosts.start(far, user, *command, *options, stdout=output, stderr=output)
    try:
        until("a monitor", lambda: path.exists() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        with _connected(path if binary is None else folder / "ours") as qmp:
            if binary is None:
                number = qmp.execute("x-query-guest")["ram-fd"]
                ram = Path(f"/proc/{process.pid}/fd/{number}")
            yield Vm(path, process, qmp, np.memmap(ram, np.uint8, "r+"))
    finally:
        process.kill()
        process.wait()


def _connected(path: Path) -> Qmp:
    end = time.monotonic() + SECONDS
    while True:
        try:
            return Qmp.connect(f"qmp:{path}")
        except PeerUnreachable:
            assert time.monotonic() < end
            time.sleep(0.05)


def result(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one result of a command that was run with ``--json -``."""
    assert ended.returncode == 0, (ended.returncode, ended.stderr)
    found: dict[str, Any] = json.loads(ended.stdout)["results"][0]
    return found
