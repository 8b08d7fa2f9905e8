"""Where relays on two hosts meet: what is said if the far host cannot await them there."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from ramferry.control.hosts.ssh_data import DataWay
from ramferry.control.hosts.ssh_process import SshSettings
from ramferry.control.hosts.ssh_uri import SshUri
from ramferry.errors import HostError


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("no.such.host", "ssh://beta cannot await data at --data-address no.such.host: cannot"),
        ("", "ssh://beta cannot await data: cannot"),
    ],
)
def test_an_address_that_is_none_there(tmp_path: Path, named: str, said: str) -> None:
    """It is the far host that does not know it."""
    link = Mock()
    link.ask.side_effect = HostError("cannot listen on tcp:no.such.host:0: no such name")
    way = DataWay(
        SshUri("beta"), SshSettings(data_address=named), Mock(address="10.0.0.2"), tmp_path
    )
    with pytest.raises(HostError, match="nothing was touched") as caught:
        way.meeting(link)
    assert str(caught.value).startswith(said)
