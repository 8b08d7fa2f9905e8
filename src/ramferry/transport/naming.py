"""Addresses that name a guest: ``unix:/run/{uuid}.sock``."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from ramferry.errors import UsageError
from ramferry.transport.address import (
    MAX_UNIX_PATH,
    Address,
    TcpAddress,
    UnixAddress,
    moved,
    place_of,
)

UUID_FIELD: Final = "{uuid}"
"""Stands for the guest's UUID in a UNIX socket's path, as 36 characters."""


def names_guest(address: Address) -> bool:
    """Whether an address differs by guest."""
    place = place_of(address)
    return isinstance(place, UnixAddress) and UUID_FIELD in place.path


def address_of(address: Address, uuid: bytes) -> Address:
    """The address for the guest with this UUID, 16 bytes.

    :raise UsageError: the path is too long for a socket.
    """
    place = place_of(address)
    if not isinstance(place, UnixAddress):
        return address
    path = place.path.replace(UUID_FIELD, str(UUID(bytes=uuid)))
    if len(path.encode()) > MAX_UNIX_PATH:
        raise UsageError(f"socket path longer than {MAX_UNIX_PATH} bytes: {path}")
    return moved(address, UnixAddress(path))


def check_names(listen: Address, connect: Address) -> None:
    """:raise UsageError: an address names the guest where it cannot, or is too long with it."""
    for address in (listen, connect):
        place = place_of(address)
        named = UUID_FIELD in (place.host if isinstance(place, TcpAddress) else place.path)
        if named and (address is listen or isinstance(place, TcpAddress)):
            raise UsageError(
                f"{address}: {UUID_FIELD} can be in the path of a UNIX socket to connect to only"
            )
    address_of(connect, bytes(16))
