"""The folders of a migration's sockets."""

from __future__ import annotations

import os
from pathlib import Path

import test_route

from ramferry.control.hosts.host import HERE
from ramferry.control.hosts.process import Process
from ramferry.control.migrate.route import Route
from ramferry.control.migrate.socket_folders import SocketFolders
from ramferry.control.qemu.party import Party

PARTY = Party("qmp:/vm", test_route.FACTS, HERE, Process(os.getpid()))


def test_two_users_have_a_folder_each() -> None:
    route = Route("", "", None, (), "none", "none")
    with SocketFolders(PARTY, PARTY) as both:
        paths = Path(both.sockets.source), Path(both.sockets.destination)
        assert paths[0] != paths[1]
        both.require(route)
        both.admit_source()
    assert not any(path.exists() for path in paths)
