"""Options of a way by ssh: what fits, and what does not."""

from __future__ import annotations

import click
import pytest

from ramferry.cli.ssh_options import PortRange
from ramferry.cli.ssh_settings import ssh_settings
from ramferry.control.hosts.ssh_process import SshSettings
from ramferry.control.hosts.ssh_uri import SshUri
from ramferry.errors import UsageError

BETA = SshUri("beta")


def test_settings() -> None:
    assert ssh_settings(BETA, "ramferry") == SshSettings()
    assert ssh_settings(BETA, "r", "h", (1, 2)) == SshSettings("r", "h", (1, 2))
    assert ssh_settings(None, "ramferry") == SshSettings()


@pytest.mark.parametrize(
    ("uri", "options", "words"),
    [
        (None, ("r", "h", None, False), "--data-address is for ssh://"),
        (None, ("r", None, (1, 2), False), "--port-range is for ssh://"),
        (None, ("r", None, None, True), "--through-ssh is for ssh://"),
        (None, ("r", None, None, False), "--remote-command is for ssh://"),
        (BETA, ("r", "h", None, True), "--data-address is for data beside ssh"),
        (BETA, (" ", None, None, False), "--remote-command names no command"),
    ],
)
def test_what_does_not_fit(
    uri: SshUri | None, options: tuple[str, str | None, tuple[int, int] | None, bool], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        ssh_settings(uri, *options)


@pytest.mark.parametrize(
    ("text", "expected"), [("1-65535", (1, 65535)), ("80", (80, 80)), ("5-5", (5, 5))]
)
def test_ports(text: str, expected: tuple[int, int]) -> None:
    assert PortRange().convert(text, None, None) == expected


@pytest.mark.parametrize(
    "text", ["", "-", "0-1", "2-1", "1-65536", "a-b", "1-", "-1", "1-2-3", "²"]
)
def test_no_ports(text: str) -> None:
    with pytest.raises(click.BadParameter):
        PortRange().convert(text, None, None)
