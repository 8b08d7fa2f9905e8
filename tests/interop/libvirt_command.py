"""``ramferry migrate libvirt:DOMAIN DESTURI`` between the two hosts of ``libvirting``."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libvirting import NAMES, SYSTEM, Domain, Ended, LibvirtHosts
from sshing import until

ALPHA, BETA = NAMES
SLOWLY = ("--max-bandwidth", "4M")
"""Some 6 s for a guest of 64 MiB."""
END_SECONDS = 90

BY_VIRSH = """\
import sys
from ramferry.control.libvirt import prototypes
prototypes.load.__defaults__ = ("libvirt-that-is-not-here.so.0",)
sys.argv[0] = "ramferry"
from ramferry.cli import main
main()
"""


@dataclass
class Command:
    """One that runs on a host."""

    hosts: LibvirtHosts
    process: subprocess.Popen[str]
    guest: Domain
    host: str
    """The source."""

    def wait(self) -> Ended:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=END_SECONDS)
        return subprocess.CompletedProcess(self.process.args, self.process.returncode, out, err)

    def interrupt(self) -> None:
        """Press Ctrl-C, which all processes of the terminal get."""
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.kill()
        self.process.communicate(timeout=END_SECONDS)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def relay(self, host: str) -> int | None:
        """The process of its relay on a host."""
        return next(iter(processes(self.hosts, host, "relay", "--once")), None)

    def until_moving(self) -> None:
        """Wait until memory has moved."""
        until("memory moves", lambda: not self.running or self.moved() > 2 << 20, 60)
        assert self.running, self.wait().stderr

    def moved(self) -> int:
        """Bytes of memory that libvirt has seen go."""
        said = self.hosts.virsh(self.host, "domjobinfo", self.guest.name, "--rawstats").stdout
        found = re.search(r"^\s*memory_processed: (\d+)$", said, re.MULTILINE)
        return int(found[1]) if found else 0


def processes(hosts: LibvirtHosts, host: str, *words: str) -> list[int]:
    """Processes of a host with these words in their command lines."""
    found = hosts.two.processes(host == BETA)
    return [pid for pid, line in found.items() if all(word in line for word in words)]


def begin(
    guest: Domain, *options: object, host: str = ALPHA, by: str = "library", ssh: bool = True
) -> Command:
    """Start to migrate a guest away from a host.

    :param by: what asks libvirt, "library" or "virsh".
    :param ssh: whether Ramferry too goes there by ssh.
    """
    hosts = guest.hosts
    # what is started in the background of a shell ignores SIGINT
    line = ("env", "--default-signal=INT", _program(hosts, by), "migrate", f"libvirt:{guest.name}")
    line += (SYSTEM.format(ALPHA if host == BETA else BETA),)
    far = ("--remote-command", hosts.two.installed) if ssh else ()
    more = (*far, "--json", "-", *options)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return Command(hosts, hosts.start(host, *line, *more, **pipes), guest, host)


def _program(hosts: LibvirtHosts, by: str) -> str:
    if by == "library":
        return hosts.two.installed
    script, words = hosts.folder / "by-virsh", Path(hosts.two.installed).read_text()
    (hosts.folder / "by_virsh.py").write_text(BY_VIRSH)
    script.write_text(words.replace("-m ramferry", f"{hosts.folder}/by_virsh.py"))
    script.chmod(0o755)
    return str(script)


def migrate(guest: Domain, *options: object, **how: Any) -> Any:
    """Migrate a guest; its result. Parameters as for ``begin``."""
    ended = begin(guest, *options, **how).wait()
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)["results"][0]


def nothing_left(guest: Domain, at: str) -> None:
    """The guest runs at one host, the other has no QEMU of it, and no socket or relay is there."""
    hosts = guest.hosts
    other = BETA if at == ALPHA else ALPHA
    until(f"the guest is at {at} alone", lambda: guest.state(other) in ("", "shut off"), 30)
    assert guest.runs(at)
    until(
        "all relays have ended",
        lambda: not any(processes(hosts, host, "relay", "--once") for host in NAMES),
        30,
    )
    until("the far half has ended", lambda: not hosts.two.left_behind(), 30)
    for host in NAMES:
        assert list(hosts.own(host, "/var/lib/libvirt/qemu").glob("ramferry-*")) == []


def revive(hosts: LibvirtHosts, host: str) -> None:
    """Start a host's libvirtd again after it was killed."""
    with (hosts.folder / host / "libvirtd.log").open("a") as output:
        hosts.start(host, hosts.libvirt.libvirtd, stdout=output, stderr=output)
    until("libvirtd answers again", lambda: hosts.virsh(host, "uri").returncode == 0, 30)


def kill_libvirtd(hosts: LibvirtHosts, host: str) -> None:
    """Kill a host's libvirtd with SIGKILL."""
    for pid in processes(hosts, host, str(hosts.libvirt.libvirtd)):
        subprocess.run(["kill", "-9", str(pid)], check=True)
