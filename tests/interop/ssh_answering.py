"""``ramferry migrate qmp:… ssh://…`` between two hosts, held in the midst of its switchover."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from answering import Guard
from holding import Held, Holder
from migrating import prepare
from sshing import CARRIER, OTHER, TwoHosts, Vm, qemu, until

from ramferry.bench.boot_sector import boot_sector
from ramferry.bench.qemu import QemuBinary
from ramferry.transport.address import UnixAddress

CHANNELS = 2
SECONDS = 60.0
MEMORY = 64


class Stage:
    """A migration whose switchover is held, right before the destination, until ``release``.

    The far relay speaks in clear with the destination, so that a proxy between them sees ram's
    END: it holds what follows ("tail": the destination has not got the guest), or what the
    destination answers ("answer": it has it, and nobody has heard).
    """

    def __init__(
        self, hosts: TwoHosts, source: Vm, destination: Vm, held: Held, *options: object
    ) -> None:
        self.hosts, self.source, self.destination = hosts, source, destination
        folder = destination.path.parent
        way_in, real = folder / "in", folder / "really-in"
        prepare(destination, "none", CHANNELS)  # type: ignore[arg-type]
        destination.qmp.execute("migrate-incoming", {"uri": f"unix:{way_in}"})
        way_in.rename(real)
        self.holder = Holder(UnixAddress(str(way_in)), UnixAddress(str(real)), held)
        way_in.chmod(0o777)
        self.guard = Guard(source, destination)  # type: ignore[arg-type]
        self._words = folder / "words"
        line: list[Any] = [hosts.installed, "migrate", f"qmp:{source.path}"]
        line += [f"ssh://nobody@far{destination.path}", "--remote-command", hosts.installed]
        line += ["--method", "none", "--channels", CHANNELS, *options]
        with self._words.open("w") as words:
            self.moving = hosts.start(False, CARRIER, *line, stdout=words, stderr=words)
        self.guard.start()
        self.until("the switchover", self.holder.holding.is_set)
        self.until("a source that stands", lambda: self.guard.states[0] == "finish-migrate")
        if held == "answer":
            self.until("a guest that was taken", lambda: self.guard.states[1] == "running")

    @property
    def said(self) -> str:
        """What ``migrate`` said."""
        return self._words.read_text()

    def sees(self, source: str, destination: str, seconds: float = SECONDS) -> None:
        """Wait until the guests are so, then see that both never ran at once."""
        wanted = (source, destination)
        self.until(f"guests {wanted}", lambda: self.guard.states == wanted, seconds)
        self.never_both()

    def ends(self, code: int, seconds: float = SECONDS) -> None:
        """See ``migrate`` end so."""
        self.until("the command's end", lambda: self.moving.poll() is not None, seconds)
        assert self.moving.returncode == code, self.said

    def never_both(self) -> None:
        assert not self.guard.both, f"two running guests: {self.said}"

    def until(self, what: str, true: Callable[[], object], seconds: float = SECONDS) -> None:
        """Wait for something; if it does not come to pass, say what was said."""
        try:
            until(what, true, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.guard.states}: {self.said}") from error

    def left_there(self) -> list[str]:
        return self.hosts.left_behind()

    def near(self, *words: str) -> list[int]:
        """The near host's processes with these words."""
        return _with(self.hosts.processes(False), words)

    def far(self, *words: str) -> list[int]:
        """The far host's."""
        return _with(self.hosts.processes(True), words)

    def holders(self) -> list[int]:
        """The near host's processes that stand by for a relay, or have taken its place."""
        return [
            pid
            for pid, line in self.hosts.processes(False).items()
            if any(word.endswith(("transport/holder.py", "flows.peer.heir")) for word in line)
        ]

    def close(self) -> None:
        self.guard.end()
        self.moving.kill()
        self.moving.wait()
        self.holder.close()


def _with(running: dict[int, list[str]], words: tuple[str, ...]) -> list[int]:
    return [pid for pid, line in running.items() if set(words) <= set(line)]


@contextlib.contextmanager
def held(
    hosts: TwoHosts, binary: QemuBinary | None, what: Held, *options: object
) -> Iterator[Stage]:
    """Two guests, built-in ones if no binary is named, and such a migration between them."""
    boot = boot_sector(8 << 20, rate=0.0)
    with (
        qemu(hosts, False, CARRIER, binary, megabytes=MEMORY, boot=boot) as source,
        qemu(hosts, True, OTHER, binary, megabytes=MEMORY, boot=boot) as destination,
    ):
        if binary is not None:
            source.qmp.execute("cont")
        stage = Stage(hosts, source, destination, what, *options)
        try:
            yield stage
        finally:
            stage.close()
