"""By what libvirt is asked on this host: its library, or else ``virsh``."""

from __future__ import annotations

from ramferry.control.libvirt.contract import Connection
from ramferry.control.libvirt.library import Library, loaded
from ramferry.control.libvirt.virsh import Virsh
from ramferry.errors import HostError


def connect(uri: str) -> Connection:
    """Connect to a daemon. All connections of a process are made by the same means.

    :raise HostError: this host has neither.
    :raise PeerUnreachable: there is no way to that daemon.
    """
    try:
        loaded()
    except HostError as without:
        try:
            return Virsh(uri)
        except HostError as error:
            raise HostError(
                f"this host has neither libvirt's library nor virsh ({without}; {error}): install"
                " libvirt-clients"
            ) from error
    return Library(uri)
