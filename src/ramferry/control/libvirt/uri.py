"""Addresses of libvirt's: a domain's, and the daemon's to which it goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from ramferry.control.hosts.ssh_uri import SSH, SshUri, parse_ssh_host
from ramferry.control.libvirt.contract import SYSTEM
from ramferry.errors import UsageError

LIBVIRT: Final = "libvirt:"
"""The prefix of a domain's address."""
BY_SSH: Final = ("ssh", "libssh", "libssh2")
"""libvirt's transports that reach a host by ssh."""
_FORMS: Final = "libvirt:DOMAIN or libvirt:///system?domain=NAME"


@dataclass(frozen=True, slots=True)
class DomainUri:
    """A domain of a daemon on this host."""

    connection: str
    """The daemon's URI: ``qemu:///system``."""
    name: str

    def __str__(self) -> str:
        if self.connection == SYSTEM:
            return f"{LIBVIRT}{self.name}"
        rest = self.connection.partition(":")[2]
        glue = "&" if "?" in rest else "?"
        return f"{LIBVIRT}{rest}{glue}{urlencode({'domain': self.name})}"


def is_libvirt(uri: str) -> bool:
    """Whether an address is meant to be a domain's."""
    return uri.startswith(LIBVIRT)


def parse_domain(uri: str) -> DomainUri:
    """Read ``libvirt:DOMAIN`` or ``libvirt:///system?domain=NAME``; further parameters of the
    second form (``socket``) stay in the daemon's URI.

    :raise UsageError: it is neither, or names a daemon on another host.
    """
    rest = uri.removeprefix(LIBVIRT)
    if not rest.startswith("//"):
        if not rest or "\n" in rest or "/" in rest:
            raise UsageError(f"{uri!r} names no domain: write {_FORMS}")
        return DomainUri(SYSTEM, rest)
    try:
        parts = urlsplit(f"qemu:{rest}")
    except ValueError:
        raise UsageError(f"{uri!r} is no address of a domain: write {_FORMS}") from None
    if parts.netloc:
        raise UsageError(
            f"the domain must be on this host: run this command on {parts.netloc}, or write"
            f" {_FORMS}"
        )
    given = parse_qsl(parts.query, keep_blank_values=True)
    names = [value for key, value in given if key == "domain" and value]
    if len(names) != 1 or len(parts.path) < 2:
        raise UsageError(f"{uri!r} does not say which domain of which daemon: write {_FORMS}")
    others = urlencode([(key, value) for key, value in given if key != "domain"])
    return DomainUri(f"qemu://{parts.path}{f'?{others}' if others else ''}", names[0])


def login_of(uri: str) -> SshUri | None:
    """The host of a daemon's URI that goes by ssh (``qemu+ssh://USER@HOST:PORT/system``); None for
    another transport.

    :raise UsageError: it is no daemon's URI, or no host that ssh can be told.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise UsageError(f"{uri!r} is no libvirt URI: write qemu+ssh://HOST/system") from None
    if not parts.scheme or not parts.path.strip("/"):
        raise UsageError(f"{uri!r} is no libvirt URI: write qemu+ssh://HOST/system")
    transport = parts.scheme.partition("+")[2]
    if transport not in BY_SSH or not parts.netloc:
        return None
    return parse_ssh_host(f"{SSH}{unquote(parts.netloc)}")
