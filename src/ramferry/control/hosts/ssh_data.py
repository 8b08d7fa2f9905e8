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
from ramferry.errors import HostError, PeerUnreachable
from ramferry.transport.address import (
    Place,
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


class DataWay:
    """Where relays on the two hosts meet."""

    def __init__(self, uri: SshUri, settings: SshSettings, hello: far.Hello, here: Path) -> None:
        """:param here: a folder on this host for sockets."""
        self._uri, self._settings, self._here = uri, settings, here
        self._near = UnixAddress(f"{here}/relay")
        self._there = ""
        """The socket there to which ssh carries what connects to the one here; empty if none."""
        self.address = settings.data_address or hello.address
        """The far host's, for data."""

    def meeting(self, link: FarLink) -> str:
        """See ``Host.meeting``; the way is tried out."""
        if self._settings.through_ssh:
            return str(RelayAddress(self._through(link)))
        if not self.address:
            raise PeerUnreachable(
                f"ssh does not tell at which address it reached {self._uri.login}: name it with"
                " --data-address, or send data --through-ssh"
            )
        token = secrets.token_hex(16)
        host, port = self._listening(link, far.Meet(self.address, *self._settings.ports, token))
        if why := self._try_out(link, TcpAddress(self.address, int(port)), token):
            raise PeerUnreachable(
                f"data cannot get to {self._uri.login} directly: {why}; nothing was touched. Open"
                " the port in its firewall (--port-range says which), name another of its"
                " addresses with --data-address, or send data --through-ssh"
            )
        return str(RelayAddress(TcpAddress(str(host), int(port))))

    def _listening(self, link: FarLink, wish: far.Meet) -> tuple[str, int]:
        """Where the far half listens.

        :raise HostError: that host cannot listen there.
        """
        try:
            host, port = link.ask(wish)
        except HostError as error:
            named = f" at --data-address {wish.host}" if self._settings.data_address else ""
            raise HostError(
                f"{self._uri.login} cannot await data{named}: {error}; nothing was touched"
            ) from error
        return str(host), int(port)

    def reached_at(self, uri: str) -> str:
        """See ``Host.reached_at``."""
        address = parse_address(uri)
        place = place_of(address)
        if isinstance(place, TcpAddress):
            return str(moved(address, TcpAddress(self.address, place.port)))
        return str(moved(address, self._near))

    def way_back(self, link: FarLink) -> tuple[str, str]:
        """See ``Host.way_back``."""
        path = f"{link.ask(far.MakeFolder(self._uri.login, None))}/back"
        self._forward("-R", f"{path}:{self._near.path}")
        return str(RelayAddress(self._near)), str(RelayAddress(UnixAddress(path)))

    def _through(self, link: FarLink) -> UnixAddress:
        """Have ssh carry what connects to a socket here to one there, which is returned."""
        path = f"{link.ask(far.MakeFolder(self._uri.login, None))}/relay"
        self._there = path
        self.again()
        token = secrets.token_hex(16)
        link.ask(far.Meet("", 0, 0, token, path))
        if self._try_out(link, self._near, token):
            raise PeerUnreachable(
                f"data cannot get to {self._uri.login} through ssh: its sshd does not forward to"
                " sockets (AllowStreamLocalForwarding, AllowTcpForwarding in its sshd_config);"
                " nothing was touched"
            )
        return UnixAddress(path)

    def again(self) -> None:
        """Have another ssh carry what the former one did: relays that have lost one another in the
        switchover look for each other at the same sockets.

        :raise PeerUnreachable: it does not do that.
        """
        if self._there:
            Path(self._near.path).unlink(missing_ok=True)  # of an ssh that was killed
            self._forward("-L", f"{self._near.path}:{self._there}")

    def _try_out(self, link: FarLink, place: Place, token: str) -> str:
        """Connect to where the far half listens, and have it say whether that came to it; return
        why not, or an empty string."""
        try:
            connection = connect(place, timeout=REACH_SECONDS)
        except PeerUnreachable as error:
            return str(error)
        try:
            connection.settle(REACH_SECONDS)
            with suppress(OSError):
                connection.send([token.encode()])
            found = link.ask(far.Met(token))
            return "" if found else f"what accepts at {place} is something else"
        finally:
            connection.close()

    def _forward(self, option: str, sockets: str) -> None:
        """Have the running ssh listen at one socket and carry each connection to another.

        :param option: ssh's, for who listens: ``-L`` this host, ``-R`` the other.
        :raise PeerUnreachable: it does not do that.
        """
        try:
            ended = subprocess.run(
                control_line(self._uri, self._here / "ssh", "forward", option, sockets),
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
