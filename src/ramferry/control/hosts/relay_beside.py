"""A relay beside a QEMU on a host by ssh, for a guest that comes from a file or goes into one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import msgspec

from ramferry.control.hosts.contract import Host
from ramferry.control.hosts.spoken import Spoken
from ramferry.typed import decode

END_SECONDS: Final = 5.0
_WHAT: Final = "the relay beside the QEMU"


class _Listening(msgspec.Struct, frozen=True):
    """The event of a relay that listens; its other events have no such field."""

    uri: str


@contextmanager
def relay_beside(
    host: Host, addresses: tuple[str, str], options: Sequence[str], secret: bytes
) -> Iterator[str]:
    """Start one for one migration; yields the migration URI at which it listens there.

    :param addresses: where it listens, and where it connects.
    :param secret: its credentials; empty: it has none.
    :raise HostError: it does not listen.
    """
    line = ["relay", *addresses, *options, "--once", "--events"]
    process = host.start([*line, *(("--tls-creds-fd", "0") if secret else ())], secret)
    try:
        yield Spoken(process, _WHAT, _where).wait()
    finally:
        _end(process.terminate, process.kill, process.wait)


def _end(
    terminate: Callable[[], None],
    kill: Callable[[], None],
    wait: Callable[[float | None], int],
) -> None:
    """Let it end by itself first: it has told its source, or is about to."""
    for stop in (terminate, kill):
        with suppress(subprocess.TimeoutExpired):
            wait(END_SECONDS)
            return
        stop()


def _where(line: str) -> str:
    with suppress(ValueError, RecursionError):
        return decode(line, _Listening).uri
    return ""
