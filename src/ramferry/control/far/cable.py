"""Whether the host at the other end of this ssh's connection still acknowledges what is sent.

A far half writes a line each second. If the cable is pulled, its sshd does not notice for minutes
or hours, and tells nobody. The kernel does: it sends the same bytes again and again, which every
user may read in ``/proc/net/tcp`` (``retrnsmt``). A near half that stands still (SIGSTOP, Ctrl-Z)
is no such thing, because its kernel acknowledges for it; neither is a link that is full or loses
some packets, because any acknowledgement that moves on sets that count to 0.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from ramferry.patience import Patience

CUT_SECONDS: Final = 3.0
"""How long nothing may have been acknowledged. A far half writes once a second, looks twice, and
TCP sends again for the first time after 0.2 s on a LAN: 4 s and a half together."""

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
Ends = tuple[str, int, str, int]
"""Address and port of this host, and of the other."""


def ends_of(environment: Mapping[str, str]) -> Ends | None:
    """The connection that sshd names in ``SSH_CONNECTION``; None if it names none."""
    words = environment.get("SSH_CONNECTION", "").split()
    if len(words) != 4 or not (words[1] + words[3]).isdigit():
        return None
    return words[2], int(words[3]), words[0], int(words[1])


class Cable:
    """Looks at the connection of this process's ssh."""

    def __init__(self, ends: Ends | None) -> None:
        """:param ends: None if it is not known: then it is never ``cut``."""
        self._wanted = None if ends is None else _as_written(ends)
        self._since: Patience | None = None

    def cut(self) -> bool:
        """Whether the other host has acknowledged nothing for ``CUT_SECONDS``; look repeatedly."""
        if self._wanted is None or not self._repeats():
            self._since = None
            return False
        self._since = self._since or Patience(CUT_SECONDS)
        return self._since.over

    def _repeats(self) -> bool:
        assert self._wanted is not None
        for table in _TABLES:
            try:
                with table.open() as lines:
                    count = repeats(lines, self._wanted)
            except OSError:
                continue
            if count is not None:
                return count > 0
        return False


def repeats(lines: Iterable[str], wanted: tuple[frozenset[str], frozenset[str]]) -> int | None:
    """How often a connection's oldest bytes were sent again; None if the table has no such one.

    :param lines: of ``/proc/net/tcp`` or ``tcp6`` (proc_net_tcp in the kernel's documentation).
    :param wanted: what the two ends may be called there.
    """
    for line in lines:
        fields = line.split()
        if len(fields) > 6 and fields[1] in wanted[0] and fields[2] in wanted[1]:
            return int(fields[6], 16)
    return None


def _as_written(ends: Ends) -> tuple[frozenset[str], frozenset[str]]:
    host, port, other, other_port = ends
    return _names(host, port), _names(other, other_port)


def _names(host: str, port: int) -> frozenset[str]:
    """An end as the tables write it: words of 32 bits in the host's byte order, in hexadecimal."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return frozenset()
    # a socket of IPv6 that has a peer of IPv4 stands in the other table
    forms = [address.packed]
    if address.version == 4:
        forms.append(bytes(10) + b"\xff\xff" + address.packed)
    return frozenset(f"{_words(form)}:{port:04X}" for form in forms)


def _words(packed: bytes) -> str:
    return "".join(f"{word:08X}" for (word,) in struct.iter_unpack("=I", packed))
