"""The settings of a way by ssh, from its options."""

from __future__ import annotations

from ramferry.control.hosts.ssh_process import SshSettings
from ramferry.control.hosts.ssh_uri import SshUri
from ramferry.errors import UsageError


def ssh_settings(
    uri: SshUri | None,
    remote_command: str,
    data_address: str | None = None,
    port_range: tuple[int, int] | None = None,
    through_ssh: bool = False,
) -> SshSettings:
    """The settings that the options ask for.

    :param uri: the host; None if none is reached by ssh.
    :raise UsageError: options contradict each other, or there is nothing that they are for.
    """
    given = {
        "--data-address": data_address is not None,
        "--port-range": port_range is not None,
        "--through-ssh": through_ssh,
    }
    names = [name for name, is_given in given.items() if is_given]
    other = ["--remote-command"] if remote_command != SshSettings().remote_command else []
    if uri is None and (vain := [*names, *other]):
        raise UsageError(f"{vain[0]} is for ssh://HOST, and none is given")
    if through_ssh and len(names) > 1:
        raise UsageError(f"{names[0]} is for data beside ssh: leave it or --through-ssh out")
    if not remote_command.strip():
        raise UsageError("--remote-command names no command")
    return SshSettings(remote_command, data_address or "", port_range or (0, 0), through_ssh)
