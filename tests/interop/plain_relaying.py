"""Two real QEMUs without multifd, and a pair of relays between them that carries their stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from migrating import status, until

import raw_sockets
from fakes_relay import RelayThread
from fault_proxy import Line, Proxy
from ramferry.bench.qemu import Qemu
from ramferry.flows.settings import RelaySettings
from ramferry.transport.address import RelayAddress, TcpAddress, UnixAddress

STREAMS = 4
SECONDS = 60.0


def prepare(qemu: Qemu, *capabilities: str, **parameters: object) -> None:
    """Set what one end of a migration needs, and nothing of multifd."""
    wanted = [{"capability": name, "state": True} for name in ("events", *capabilities)]
    qemu.qmp.execute("migrate-set-capabilities", {"capabilities": wanted})
    named = {name.replace("_", "-"): value for name, value in parameters.items()}
    qemu.qmp.execute("migrate-set-parameters", {"max-bandwidth": 0, **named})


class Running(RelayThread):
    """A relay in a thread of a process in which others open descriptors too."""

    def __exit__(self, *_: object) -> None:
        self.relay.stop("the test is over")
        self.relay.stop("the test is over")
        self.thread.join(SECONDS)
        assert not self.thread.is_alive(), "the relay hangs"


@dataclass
class PlainRelays:
    """The source's relay, the destination's, and the proxy between them."""

    near: Running
    far: Running
    proxy: Proxy

    @property
    def uri(self) -> str:
        """Where the source is to migrate to."""
        return str(self.near.address)

    def stream(self, index: int) -> Line:
        """One of the tunnel's connections, in the order in which they were made."""
        lines = [one for one in list(self.proxy.lines) if one.name.startswith("stream")]
        return lines[index]

    def cut(self, index: int) -> None:
        """Cut one of the tunnel's connections."""
        self.stream(index).end(raw_sockets.reset)


@contextmanager
def plain_relays(
    source: Qemu, incoming: str, method: str, *, unanswered: bool = False
) -> Iterator[PlainRelays]:
    """Relays in this process between a source and the migration URI of a destination.

    :param unanswered: whether the near one carries what has no return path.
    """
    near_settings = {"allow_no_return_path": unanswered, "channels": STREAMS}
    path = incoming.removeprefix("unix:")
    with Running(
        RelaySettings(RelayAddress(TcpAddress("127.0.0.1", 0)), UnixAddress(path), "none")
    ) as far:
        assert isinstance(far.address, RelayAddress)
        between = UnixAddress(f"{source.folder}/between")
        proxy = Proxy(between, far.address.place)
        try:
            near = RelaySettings(
                UnixAddress(f"{source.folder}/relay"),
                RelayAddress(between),
                method,
                **near_settings,  # type: ignore[arg-type]
            )
            with Running(near) as first:
                yield PlainRelays(first, far, proxy)
        finally:
            proxy.close()


def listen(destination: Qemu, capabilities: Sequence[str] = ()) -> str:
    """Have a destination wait; its migration URI."""
    prepare(destination, *capabilities)
    uri = f"unix:{destination.folder}/incoming"
    Path(uri.removeprefix("unix:")).unlink(missing_ok=True)
    destination.qmp.execute("migrate-incoming", {"uri": uri})
    return uri


def wait_completed(qemu: Qemu, seconds: float = SECONDS) -> None:
    """Wait until a migration has completed."""

    def over() -> bool:
        now = status(qemu)
        why = qemu.qmp.execute("query-migrate").get("error-desc", "")
        assert now not in ("failed", "cancelled"), f"{now}: {why}; {qemu.stderr()}"
        return now == "completed"

    until("the migration", over, seconds)
