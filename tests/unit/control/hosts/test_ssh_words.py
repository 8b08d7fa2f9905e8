"""What it means that ssh ended before a far half spoke."""

from __future__ import annotations

import pytest

from ramferry import __version__
from ramferry.control.hosts.ssh_uri import SshUri
from ramferry.control.hosts.ssh_words import of_another_version, why_no_far_half

BETA = SshUri("beta", "me")


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        (255, "ssh: connect to host beta port 22: No route to host", "No route to host"),
        (255, "", "it does not say why"),
        (255, "me@beta: Permission denied (publickey,password).", "takes none of the keys"),
        (255, "x\nHost key verification failed.", "run `ssh -l me beta` once"),
        (255, "Received disconnect: Too many authentication failures", "IdentitiesOnly"),
        (127, "sh: 1: ramferry: not found", "finds no `ramferry far`: sh: 1"),
        (126, "sh: 1: ramferry: Permission denied", "cannot run `ramferry far`: sh: 1"),
        (126, "bash: /opt/r: /opt/python: bad interpreter: No such file", "has no Python"),
        (127, "bash: python3: command not found", "has no Python"),
        (1, "/usr/bin/python3: No module named ramferry", "has no Ramferry for its Python"),
        (1, "ModuleNotFoundError: No module named 'numpy'", "lacks what Ramferry needs"),
        (1, "SyntaxError: invalid syntax", "whose Python is too old"),
        (2, "Error: No such command 'far'.", "is older than this one"),
        (0, "", "Ramferry does not answer on ssh://me@beta: `ramferry far` ends with exit code 0"),
        (None, "bla", "`ramferry far` says nothing; it says: bla"),
    ],
)
def test_one_sentence(code: int | None, words: str, expected: str) -> None:
    error = why_no_far_half(BETA, "ramferry far", code, words.splitlines())
    assert error.exit_code == 3
    assert expected in str(error)
    assert "ssh://me@beta" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("code", [126, 127])
def test_what_to_install(code: int) -> None:
    error = why_no_far_half(BETA, "ramferry far", code, ["sh: ramferry: not found"])
    assert f"install Ramferry {__version__} there" in str(error)
    assert "--remote-command" in str(error)


CHANGED = """\
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Host key for beta has changed and you have requested strict checking.
Host key verification failed."""


def test_another_host_key_is_no_new_one() -> None:
    """It is the sign of somebody in between: to accept it is no advice."""
    changed = str(why_no_far_half(BETA, "ramferry far", 255, CHANGED.splitlines()))
    assert "is another than the one in known_hosts: somebody may be in between" in changed
    assert "(`ssh-keygen -R beta`)" in changed
    assert "run `ssh" not in changed
    alias = str(why_no_far_half(SshUri("b"), "r", 255, CHANGED.splitlines()))
    assert "(`ssh-keygen -R beta`)" in alias  # as known_hosts has it
    unnamed = CHANGED.replace("Host key for beta", "It")
    at_port = str(why_no_far_half(SshUri("beta", port=23), "r", 255, unnamed.splitlines()))
    assert "(`ssh-keygen -R '[beta]:23'`)" in at_port
    revoked = ["@   WARNING: REVOKED HOST KEY DETECTED!   @", "Host key verification failed."]
    said = str(why_no_far_half(BETA, "r", 255, revoked))
    assert "its host key is revoked in known_hosts: somebody may be in between" in said
    new = str(why_no_far_half(BETA, "r", 255, ["Host key verification failed."]))
    assert "not in known_hosts yet" in new


def test_words_of_the_far_host_are_no_format() -> None:
    error = why_no_far_half(BETA, "ramferry far", 127, ["{name} {0} not found"])
    assert "{name} {0}" in str(error)


def test_both_versions_are_named() -> None:
    words = str(of_another_version(BETA, "9.9", 77))
    assert "9.9" in words
    assert __version__ in words
