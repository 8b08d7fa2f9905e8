"""What one run shall be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ramferry.report.ceiling import way_in_words

UNIX: Final = "unix"
TCP_IN: Final = "tcp in"
TLS_IN: Final = "tls in"
TCP_OUT: Final = "tcp out"
TLS_OUT: Final = "tls out"
LINKS: Final = (UNIX, TCP_IN, TLS_IN, TCP_OUT, TLS_OUT)
"""Both sides by UNIX sockets; or one side over the loopback, by TCP or by TLS in it."""
ENCRYPTED: Final = (TLS_IN, TLS_OUT)
INCOMING: Final = (TCP_IN, TLS_IN)
OUTGOING: Final = (TCP_OUT, TLS_OUT)


def links_of(method_in: str, method_out: str) -> tuple[str, ...]:
    """The links to measure what TLS costs a relay: the side with the compressed pages, both if the
    method stays the same, each without TLS and with it."""
    if method_in == method_out:
        return (*OUTGOING, *INCOMING)
    return OUTGOING if method_in == "none" else INCOMING


@dataclass(frozen=True, slots=True)
class Wish:
    """What one run shall be."""

    method_in: str
    method_out: str
    channels: int
    seconds: float
    """How long it is looked at."""
    codec_micros: float | None = 0.0
    """CPU time of an idle codec for each packet; None: the methods' own codecs work."""
    cores: int = 0
    """The relay runs on so many cores, and its peers on the others, if any are left; 0: all run
    where they like."""

    link: str = UNIX
    """One of ``LINKS``: which side of the relay is the way to another host, and by what."""

    def __str__(self) -> str:
        """In words."""
        many = "s" * (self.channels > 1)
        ways = way_in_words(self.method_in, self.method_out, self.link)
        return f"{ways}, {self.channels} channel{many}"
