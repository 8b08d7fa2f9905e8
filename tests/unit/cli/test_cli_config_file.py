"""``relay --config``: a file's keys are the command's options, under the same rules."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes_manager import toml
from ramferry.cli.config_file import MOST_BYTES, _parse, keys
from ramferry.cli.relay import command
from ramferry.errors import HostError, UsageError

EXAMPLE = Path(__file__).parents[3] / "packaging/relay.toml"
ENOUGH: dict[str, Any] = {"listen": "unix:/a", "connect": "unix:/b", "method": "none"}


def parsed(path: Path, *line: str) -> dict[str, Any]:
    """What the command would run with."""
    with command.make_context("relay", ["--config", str(path), *line]) as context:
        return dict(context.params)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "relay.toml"


def test_every_kind_of_value(file: Path) -> None:
    file.write_text(
        toml(
            {
                **ENOUGH,
                "channels": 8,
                "max-bandwidth": "1Gbit",
                "stall-timeout": 1.5,
                "page-size": 4096,
                "verify": False,
                "once": True,
                "tls-authz": ["CN=a", "CN=b"],
                "uuid": "6ec5b9ba-6d4a-4f0e-9b6e-5e0a1b7f3c55",
            }
        )
    )
    read = parsed(file)
    assert (read["listen"], read["connect"], read["method"]) == ("unix:/a", "unix:/b", "none")
    assert (read["channels"], read["max_bandwidth"], read["stall_timeout"]) == (8, 125e6, 1.5)
    assert (read["page_size"], read["verify"], read["once"]) == ("4096", False, True)
    assert read["tls_authz"] == ("CN=a", "CN=b")
    assert str(read["uuid"]) == "6ec5b9ba-6d4a-4f0e-9b6e-5e0a1b7f3c55"
    assert "config" not in read


def test_the_command_line_wins(file: Path) -> None:
    file.write_text(toml({**ENOUGH, "channels": 8, "verify": False, "tls-authz": ["CN=a"]}))
    line = ("tcp:127.0.0.1:1", "--channels", "2", "--verify", "--tls-authz", "CN=b")
    read = parsed(file, *line)
    assert (read["listen"], read["connect"]) == ("tcp:127.0.0.1:1", "unix:/b")
    assert (read["channels"], read["verify"], read["tls_authz"]) == (2, True, ("CN=b",))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("chanels = 3", "FILE, line 1: there is no key 'chanels'; channels is meant, perhaps"),
        ("x = 3", "FILE, line 1: there is no key 'x'"),
        ("[relay]\nx = 1", "FILE, line 1: there is no key 'relay'"),
        ("config = 'x'", "FILE, line 1: there is no key 'config'"),
        (
            "tls-creds-fd = 3",
            "FILE, line 1: there is no key 'tls-creds-fd'; tls-creds is meant, perhaps",
        ),
        ("no-verify = true", "FILE, line 1: there is no key 'no-verify'; write verify = false"),
        ("once = 'yes'", "FILE, line 1: once: true or false is expected, without quotes"),
        ("once = 1", "FILE, line 1: once: true or false is expected, without quotes"),
        ("\nlevel = true", "FILE, line 2: level: a text in quotes or a number is expected"),
        ("level = [1]", "FILE, line 1: level: a text in quotes or a number is expected"),
        ("level = 2020-01-01", "FILE, line 1: level: a text in quotes or a number is expected"),
        (f"level = 0x{'f' * 5000}", "FILE, line 1: level: the number is too large"),
        ("tls-authz = 'CN=a'", 'FILE, line 1: tls-authz: a list is expected: tls-authz = ["…"]'),
        (
            "tls-authz = [1, {}]",
            "FILE, line 1: tls-authz: a text in quotes or a number is expected",
        ),
        ("drain = 'x' # drain = 1", "FILE, line 1: drain: 'x' is not a valid seconds"),
        ("drain = -1", "FILE, line 1: drain: -1.0 is not in the range x>=0.0"),
        ("decide = inf", "FILE, line 1: decide: 'inf' is no number of seconds"),
        ("level = 1.5", "FILE, line 1: level: '1.5' is neither a number nor auto"),
        ("channels = 1000", "FILE, line 1: channels: 1000 is not in the range 1<=x<=255"),
        ("uuid = 'x'", "FILE, line 1: uuid: 'x' is not a valid UUID"),
        (
            "max-bandwidth = 'fast'",
            "FILE, line 1: max-bandwidth: 'fast' is no rate: write bytes per second as 125M"
            " or 1Gbit",
        ),
        (
            "json = ''",
            "FILE, line 1: json: names no FILE: write --json FILE, or --json - for standard output",
        ),
        ("once = ", "FILE is no TOML: Invalid value (at line 1, column 8)"),
        (
            "once = true\nonce = true",
            "FILE is no TOML: Cannot overwrite a value (at line 2, column 12)",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(file: Path, text: str, sentence: str) -> None:
    file.write_text(text + "\n" + toml(ENOUGH))
    with pytest.raises(UsageError) as caught:
        parsed(file)
    assert str(caught.value).replace(str(file), "FILE") == sentence


@pytest.mark.parametrize("missing", ENOUGH)
def test_what_is_missing_is_named(file: Path, missing: str) -> None:
    file.write_text(toml({key: value for key, value in ENOUGH.items() if key != missing}))
    with pytest.raises(UsageError, match=f"relay.toml has no key {missing}$"):
        parsed(file)


def test_an_error_of_the_command_line_is_the_command_lines(file: Path) -> None:
    file.write_text(toml({**ENOUGH, "channels": 8}))
    with pytest.raises(click.BadParameter, match="1000 is not in the range"):
        parsed(file, "--channels", "1000")


def test_a_key_that_stands_twice_has_no_line(file: Path) -> None:
    """In a text of several lines: which one is the key's is not known."""
    file.write_text("json = '''\nlevel = 3\n'''\nlevel = 'x'\n" + toml(ENOUGH))
    with pytest.raises(UsageError) as caught:
        parsed(file)
    assert str(caught.value) == f"{file}: level: 'x' is neither a number nor auto"


def test_files_that_are_none(tmp_path: Path, file: Path) -> None:
    with pytest.raises(UsageError, match="is a folder, and --config takes a file"):
        parsed(tmp_path)
    with pytest.raises(UsageError, match=r"cannot read .*: No such file or directory"):
        parsed(file)
    file.write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(UsageError, match="has more than 64 KiB"):
        parsed(file)
    file.write_bytes(b"once = \xff")
    with pytest.raises(UsageError, match="is no TOML: 'utf-8'"):
        parsed(file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(file: Path) -> None:
    file.write_text(toml(ENOUGH))
    file.chmod(0)
    with pytest.raises(HostError, match=r"cannot read .*: Permission denied"):
        parsed(file)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("listen = 'tcp:foo'\nconnect = 'unix:/b'\nmethod = 'none'", ", line 1: 'tcp:foo' is no"),
        (toml({**ENOUGH, "verify": True}), ", line 4: --verify is for two Ramferrys"),
        (toml({**ENOUGH, "tls-creds": "/nobody/pki"}), ", line 4: there is no folder /nobody/pki"),
        (toml({**ENOUGH, "tls-authz": ["CN=a"]}), ", line 4: --tls-authz needs --tls-creds"),
        (toml({**ENOUGH, "method": "zlib", "level": 12}), ": method zlib has levels 0 to 9"),
    ],
)
def test_values_that_mean_nothing_are_found_too(file: Path, text: str, place: str) -> None:
    """They are judged when the relay begins; the sentence names the line that it is about."""
    file.write_text(text)
    assert refused(file).startswith(f"ramferry: {file}{place}")


def test_a_value_of_the_command_line_is_not_the_files_fault(file: Path) -> None:
    file.write_text(toml({**ENOUGH, "method": "zlib"}))
    assert refused(file, "--level", "99").startswith("ramferry: method zlib has levels 0 to 9, ")


def refused(path: Path, *line: str) -> str:
    """The one line that a relay says which does not begin."""
    ended = subprocess.run(
        [sys.executable, "-m", "ramferry", "relay", "--config", str(path), *line],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    (said,) = ended.stderr.splitlines()
    assert ended.returncode == 2
    return said


# --- the example


def example() -> dict[str, str]:
    """Each key of the example, with the line that sets it, whether commented out or not."""
    lines = re.findall(r"^#?(([a-z-]+) = .*)$", EXAMPLE.read_text(), re.MULTILINE)
    return {key: line for line, key in lines}


def test_the_example_has_every_key() -> None:
    assert list(dict.fromkeys(example())) == list(example())
    assert set(example()) == set(keys(command))


def test_each_value_of_the_example_is_taken(tmp_path: Path, file: Path) -> None:
    text = "\n".join(example().values()).replace("/var/log/ramferry/NAME", str(tmp_path))
    file.write_text(text)
    read = parsed(file)
    assert read["drain"] == 600


def test_what_the_example_leaves_out_is_the_default(file: Path) -> None:
    text = EXAMPLE.read_text()
    file.write_text(text)
    left_out = parsed(file)
    commented = re.findall(r"((?:^# .*\n)+)#(([a-z-]+) = .*)$", text, re.MULTILINE)
    assert len(commented) + len(tomllib.loads(text)) == len(keys(command))
    for comment, line, key in commented:
        name = str(keys(command)[key].name)
        if "example" not in comment:
            file.write_text(f"{text}{line}\n")
            assert parsed(file)[name] == left_out[name], key


# --- anything


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_options_or_a_sentence(raw: bytes) -> None:
    try:
        file = _parse("FILE", raw)
    except UsageError as error:
        file, told = None, str(error)
    if file is None:
        assert told.startswith("FILE is no TOML: ")
    else:
        assert all(file.place(key).startswith("FILE") for key in file.values)
