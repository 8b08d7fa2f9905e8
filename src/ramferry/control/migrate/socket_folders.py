"""The folders of a migration's sockets: one for each QEMU, since they may run as different
users."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self

from ramferry.control.hosts.contract import SharedFolder
from ramferry.control.migrate.route import Route, Sockets
from ramferry.control.qemu.party import Party


class SocketFolders:
    """The two folders of a migration; a context manager that removes them.

    The source QEMU connects to relays' sockets in its folder; the destination makes its sockets in
    the other. Neither QEMU's user can enter the other's folder.
    """

    def __init__(self, source: Party, destination: Party) -> None:
        """Make them.

        :raise HostError: they cannot be made.
        """
        with ExitStack() as stack:
            self._source = stack.enter_context(source.folder())
            self._destination = stack.enter_context(destination.folder())
            self._stack = stack.pop_all()
        self.sockets = Sockets(str(self._source.path), str(self._destination.path))
        self._admits = False

    def require(self, route: Route) -> None:
        """Check beforehand that both QEMUs can be given the sockets that a route needs.

        :raise HostError: one of them cannot.
        """
        self._admits = _holds(self._source, *(step.listen for step in route.relays))
        if self._admits:
            self._source.require(writes=False)
        if _holds(self._destination, route.incoming or ""):
            self._destination.require(writes=True)
            self._destination.hand_over()

    def admit_source(self) -> None:
        """Let the source's user connect to the relays' sockets, which must exist by now."""
        if self._admits:
            self._source.hand_over()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()


def _holds(folder: SharedFolder, *uris: str) -> bool:
    return any(uri.startswith(f"unix:{folder.path}/") for uri in uris)
