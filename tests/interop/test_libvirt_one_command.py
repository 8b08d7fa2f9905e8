"""``ramferry migrate libvirt:DOMAIN qemu+ssh://HOST/system``: Debian's libvirt, a real sshd."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from libvirt_command import (
    ALPHA,
    BETA,
    SLOWLY,
    Command,
    begin,
    kill_libvirtd,
    migrate,
    nothing_left,
    revive,
)
from libvirt_relays import relay
from libvirting import (
    ADDRESSES,
    MIB,
    SYSTEM,
    LibvirtHosts,
    domain,
)
from qemu_faults import YANKED, once_more_if_qemu_fails
from sshing import TAKES_ROOT, until

from ramferry.control.libvirt.contract import Connection
from ramferry.control.libvirt.library import Library
from ramferry.control.libvirt.virsh import Virsh
from ramferry.errors import MethodUnavailable, UsageError

pytestmark = [pytest.mark.interop, TAKES_ROOT]


def test_a_guest_is_at_the_far_end_by_one_command(libvirts: LibvirtHosts) -> None:
    with domain(libvirts) as guest:
        ram = guest.ram(ALPHA)
        found = migrate(guest)
        nothing_left(guest, BETA)
        assert np.array_equal(ram[MIB:], guest.ram(BETA)[MIB:])
        assert (found["method"], found["route"], found["channels"]) == ("qatzip", "relay pair", 8)
        assert found["ratio"] > 2
        assert found["send_cpu_percent"] > 0
        assert found["recv_cpu_percent"] > 0
        assert found["downtime_ms"] > 0
        assert [relay["channels"] for relay in found["relays"]] == [8, 8]


@pytest.mark.slow
def test_a_second_migration_back(libvirts: LibvirtHosts) -> None:
    with domain(libvirts) as guest:
        migrate(guest)
        found = migrate(guest, "--method", "zstd", "--persistent", "--channels", "2", host=BETA)
        nothing_left(guest, ALPHA)
        assert (found["method"], found["channels"]) == ("zstd", 2)
        listed = libvirts.virsh(ALPHA, "list", "--all", "--persistent", "--name")
        assert listed.stdout.split() == [guest.name]


def test_what_is_refused(libvirts: LibvirtHosts) -> None:
    def ask(name: str, to: str = SYSTEM.format(BETA), *options: str) -> tuple[int, str]:
        far = ("--remote-command", libvirts.two.installed)
        line = (libvirts.two.installed, "migrate", f"libvirt:{name}", to, *far, *options)
        ended = libvirts.run(ALPHA, *line)
        return ended.returncode, ended.stderr.strip().removeprefix("ramferry: ")

    with domain(libvirts) as guest:
        code, said = ask("gest")
        assert (code, said.split(" (")[0]) == (
            2,
            "no domain is named 'gest' at qemu:///system: it has guest",
        )
        path = libvirts.folder / f"{guest.name}.xml"
        text = re.sub("<uuid>.*</uuid>", "", path.read_text())
        path.write_text(text.replace("<name>guest<", "<name>off<"))
        assert libvirts.virsh(ALPHA, "define", path).returncode == 0
        try:
            code, said = ask("off")
            assert code == 2
            assert said.startswith("the domain off is shut off: only one that is running or paused")
        finally:
            libvirts.virsh(ALPHA, "undefine", "off")
        code, said = ask(guest.name, "qemu+ssh://nowhere.invalid/system")
        assert code == 3
        code, said = ask(guest.name, "qemu+tls://beta/system")
        assert code == 2
        assert "--via relay:HOST:PORT --incoming unix:PATH" in said
        assert guest.runs(ALPHA)
        nothing_left(guest, ALPHA)


def test_what_libvirt_refuses_is_told_in_its_words(libvirts: LibvirtHosts) -> None:
    name = f"ramferry-{os.getpid()}"
    device = f"<shmem name='{name}'><model type='ivshmem-plain'/><size unit='M'>1</size></shmem>"
    try:
        with domain(libvirts, devices=device) as guest:
            ended = begin(guest).wait()
            assert ended.returncode == 5
            assert "the migration failed: libvirt says: " in ended.stderr
            assert "shmem" in ended.stderr
            assert "; the guest runs at the source" in ended.stderr
            nothing_left(guest, ALPHA)
    finally:
        Path("/dev/shm", name).unlink(missing_ok=True)


@pytest.fixture(params=[Library, Virsh])
def playground(
    request: pytest.FixtureRequest, require_peer: Callable[[str], Path]
) -> Iterator[Connection]:
    """libvirt's own test driver, which needs no daemon."""
    require_peer("virsh")
    with request.param("test:///default") as connection:
        yield connection


def test_the_real_library_and_the_real_virsh(playground: Connection) -> None:
    assert playground.names() == ["test"]
    assert playground.state("test") == "running"
    assert "<name>test</name>" in playground.xml("test")
    assert playground.alive
    with pytest.raises(UsageError, match=r"Domain not found|'gest'"):
        playground.state("gest")
    with pytest.raises(MethodUnavailable, match="not supported by the connection driver"):
        playground.abort("test")


@pytest.mark.slow
def test_a_paused_guest_by_virsh(libvirts: LibvirtHosts) -> None:
    with domain(libvirts) as guest:
        ram = guest.ram(ALPHA)
        assert libvirts.virsh(ALPHA, "suspend", guest.name).returncode == 0
        found = migrate(guest, "--undefine-source", "--persistent", by="virsh")
        assert guest.state(BETA) == "paused"
        assert np.array_equal(ram, guest.ram(BETA))
        assert found["send_cpu_percent"] > 0
        libvirts.virsh(BETA, "resume", guest.name)
        nothing_left(guest, BETA)


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--p2p",), ("--through-ssh", "--downtime-limit", "100")])
def test_other_ways(libvirts: LibvirtHosts, options: tuple[str, ...]) -> None:
    with domain(libvirts) as guest:
        migrate(guest, *options)
        nothing_left(guest, BETA)


@pytest.mark.slow
@pytest.mark.parametrize("libvirts", ["newer"], indirect=True)
def test_a_newer_libvirt(libvirts: LibvirtHosts) -> None:
    with domain(libvirts) as guest:
        migrate(guest)
        nothing_left(guest, BETA)


@pytest.mark.slow
def test_a_relay_that_runs_there_already(libvirts: LibvirtHosts) -> None:
    path = "unix:/var/lib/libvirt/qemu/by-hand.sock"
    listen = f"relay:{ADDRESSES[BETA]}:0"
    there = relay(libvirts, BETA, listen, path, "--method", "none", "--insecure")
    try:
        with domain(libvirts) as guest:
            migrate(guest, "--via", there.uri, "--incoming", path, "--insecure", ssh=False)
            assert guest.runs(BETA)
    finally:
        there.kill()


def failed(command: Command, code: int, *words: str) -> str:
    """The command ends with this code, says these words, and the guest runs at the source: all
    that it said."""
    ended = command.wait()
    assert ended.returncode == code, ended.stderr
    for one in (*words, "; the guest runs at the source"):
        assert one in ended.stderr
    nothing_left(command.guest, command.host)
    return ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("by", ["library", "virsh"])
@pytest.mark.parametrize("phase", ["connects", "prepares", "moves"])
def test_ctrl_c(libvirts: LibvirtHosts, phase: str, by: str) -> None:
    with domain(libvirts) as guest:
        command = begin(guest, *SLOWLY, by=by)
        if phase == "connects":
            until("a relay there", lambda: command.relay(BETA), 60)
        elif phase == "prepares":
            until("a domain there", lambda: guest.state(BETA), 60)
        else:
            command.until_moving()
        command.interrupt()
        failed(command, 6, "ramferry: cancelled")


@pytest.mark.slow
def test_ctrl_c_at_the_end(libvirts: LibvirtHosts) -> None:
    """Whatever it says is so: the guest is at the source, or it was too late."""
    with domain(libvirts) as guest:
        command = begin(guest)
        command.until_moving()
        until("almost all has moved", lambda: command.moved() > 23 << 20 or not command.running, 60)
        command.interrupt()
        ended = command.wait()
        assert ended.returncode in (0, 6), ended.stderr
        nothing_left(guest, ALPHA if ended.returncode else BETA)


@pytest.mark.slow
@once_more_if_qemu_fails
def test_a_killed_relay_at_the_source(libvirts: LibvirtHosts) -> None:
    with domain(libvirts) as guest:
        command = begin(guest, *SLOWLY)
        command.until_moving()
        os.kill(command.relay(ALPHA) or 0, signal.SIGKILL)
        failed(command, 5, "the source relay ended: killed by signal 9", "libvirt says: ")


@pytest.mark.slow
@pytest.mark.parametrize("libvirts", ["stock", "newer"], indirect=True)
@pytest.mark.parametrize("by", ["library", "virsh"])
def test_a_killed_relay_at_the_destination(libvirts: LibvirtHosts, by: str) -> None:
    """The job is aborted before the source's channels break, of which its QEMU might abort."""
    with domain(libvirts) as guest:
        command = begin(guest, *SLOWLY, by=by)
        command.until_moving()
        os.kill(command.relay(BETA) or 0, signal.SIGKILL)
        said = failed(command, 5, "the destination relay ended: killed by signal 9")
        assert "(the source relay ended: " in said
        # libvirt's word for a job that failed by itself would be told
        assert "libvirt says: " not in said
        assert YANKED not in guest.last_words(ALPHA)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["library", "virsh"])
@once_more_if_qemu_fails
def test_a_killed_command(libvirts: LibvirtHosts, by: str) -> None:
    with domain(libvirts) as guest:
        command = begin(guest, *SLOWLY, by=by)
        command.until_moving()
        command.kill()
        nothing_left(guest, ALPHA)


@pytest.mark.slow
def test_somebody_else_aborts(libvirts: LibvirtHosts) -> None:
    with domain(libvirts) as guest:
        command = begin(guest, *SLOWLY)
        command.until_moving()
        assert libvirts.virsh(ALPHA, "domjobabort", guest.name).returncode == 0
        failed(command, 6, "someone aborted libvirt's job")


@pytest.mark.slow
def test_the_destinations_libvirtd_is_killed(libvirts: LibvirtHosts) -> None:
    with domain(libvirts) as guest:
        command = begin(guest, "--max-bandwidth", "2M")
        command.until_moving()
        kill_libvirtd(libvirts, BETA)
        ended = command.wait()
        revive(libvirts, BETA)
        assert ended.returncode == 5, ended.stderr
        assert "the destination's libvirt was lost; the guest runs at the source" in ended.stderr
        assert "the destination's libvirt does not answer: see that" in ended.stderr
        nothing_left(guest, ALPHA)


@pytest.mark.slow
def test_the_sources_libvirtd_is_killed(libvirts: LibvirtHosts) -> None:
    with domain(libvirts) as guest:
        command = begin(guest, *SLOWLY)
        command.until_moving()
        kill_libvirtd(libvirts, ALPHA)
        ended = command.wait()
        revive(libvirts, ALPHA)
        assert ended.returncode == 9, ended.stderr
        assert "the source's libvirt does not answer, and the destination" in ended.stderr
        until("the source has its guest again", lambda: guest.state(ALPHA) == "running", 30)
        nothing_left(guest, ALPHA)
