"""The way that data take to a host by ssh: directly, or through ssh's own connection."""

from __future__ import annotations

import secrets
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from ramferry.control.hosts import far_protocol as far
from ramferry.control.hosts.far_link import FarLink
from ramferry.control.hosts.ssh_process import SshSettings, control_line
from ramferry.control.hosts.ssh_uri import SshUri
from ramferry.errors import PeerUnreachable
from ramferry.patience import Patience
from ramferry.transport.address import (
    RelayAddress,
    TcpAddress,
    UnixAddress,
    moved,
    parse_address,
    place_of,
)
from ramferry.transport.plain import connect

REACH_SECONDS: Final = 3.5
"""How long a connection to the far host may take before a firewall is blamed. A lost first packet
is sent again after 1 s and 3 s."""
FORWARD_SECONDS: Final = 5.0
_LOOK: Final = 0.05


class DataWay:
    """Where relays on the two hosts meet."""

    def __init__(self, uri: SshUri, settings: SshSettings, hello: far.Hello, here: Path) -> None:
        """:param here: a folder on this host for sockets."""
        self._uri, self._settings, self._here = uri, settings, here
        self.address = settings.data_address or hello.address
        """The far host's, for data."""

    def meeting(self, link: FarLink) -> str:
        """See ``Host.meeting``."""
        if self._settings.through_ssh:
            folder = link.ask(far.MakeFolder(self._uri.login, None))
            return str(RelayAddress(UnixAddress(f"{folder}/relay")))
        if not self.address:
            raise PeerUnreachable(
                f"ssh does not tell at which address it reached {self._uri.login}: name it with"
                " --data-address, or send data --through-ssh"
            )
        token = secrets.token_hex(16)
        host, port = link.ask(far.Meet(self.address, *self._settings.ports, token))
        self._try_out(link, TcpAddress(self.address, int(port)), token)
        return str(RelayAddress(TcpAddress(str(host), int(port))))

    def reached_at(self, uri: str) -> str:
        """See ``Host.reached_at``."""
        address = parse_address(uri)
        place = place_of(address)
        if isinstance(place, TcpAddress):
            return str(moved(address, TcpAddress(self.address, place.port)))
        near = f"{self._here}/relay"
        self._forward(near, place)
        return str(moved(address, UnixAddress(near)))

    def _try_out(self, link: FarLink, address: TcpAddress, token: str) -> None:
        """Connect to where the far half listens, and have it say whether that came to it."""
        why = "what accepts there is another program"
        try:
            connection = connect(address, timeout=REACH_SECONDS)
        except PeerUnreachable as error:
            why, found = str(error), False
        else:
            try:
                connection.settle(REACH_SECONDS)
                with suppress(OSError):
                    connection.send([token.encode()])
                found = self._met(link, token)
            finally:
                connection.close()
        if not found:
            raise PeerUnreachable(
                f"data cannot get to {self._uri.login} directly: {why}; nothing was touched. Open"
                " the port in its firewall (--port-range says which), name another of its"
                " addresses with --data-address, or send data --through-ssh"
            )

    def _met(self, link: FarLink, token: str) -> bool:
        patience = Patience(REACH_SECONDS)
        while not patience.over:
            if link.ask(far.Met(token)):
                return True
        return False

    def _forward(self, near: str, far_place: UnixAddress) -> None:
        """Have the running ssh listen at ``near`` and carry each connection there.

        :raise PeerUnreachable: it, or the far host's sshd, does not do that.
        """
        request = ("forward", "-L", f"{near}:{far_place.path}")
        line = control_line(self._uri, self._here / "ssh", *request)
        try:
            ended = subprocess.run(
                line,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=FORWARD_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PeerUnreachable(f"ssh does not forward to {self._uri.login}: {error}") from error
        if ended.returncode:
            words = ended.stderr.strip().splitlines() or ["it does not say why"]
            raise PeerUnreachable(f"ssh does not forward to {self._uri.login}: {words[-1]}")
