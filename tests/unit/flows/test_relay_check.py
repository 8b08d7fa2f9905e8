"""What a relay's settings have to be where each packet's method is chosen."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from ramferry.errors import UsageError
from ramferry.flows.relay_check import check_settings
from ramferry.flows.settings import RelaySettings
from ramferry.transport.address import parse_address

UNREQUIRED = "takes a device where one pays, so that it cannot be required: take either"


def settings(connect: str = "relay:unix:/run/far", **other: Any) -> RelaySettings:
    return RelaySettings(parse_address("unix:/run/near"), parse_address(connect), "auto", **other)


def test_a_choice_needs_a_ramferry_at_the_far_end() -> None:
    check_settings(settings())
    for connect in ("tcp:127.0.0.1:4444", "unix:/run/qemu"):
        with pytest.raises(UsageError, match="--method auto needs a Ramferry at the far end"):
            check_settings(settings(connect))


CHECKS = """
import sys
from ramferry.flows.relay_check import check_settings
from ramferry.flows.settings import RelaySettings
from ramferry.transport.address import parse_address
ends = parse_address("unix:/run/near"), parse_address("relay:unix:/run/far")
check_settings(RelaySettings(*ends, sys.argv[1], auto_level=sys.argv[2] == "auto"))
print("ramferry.flows.choosing.chooser" in sys.modules)
"""


@pytest.mark.parametrize(
    ("method", "level", "loaded"), [("auto", "", True), ("zstd", "auto", True), ("zstd", "", False)]
)
def test_no_migration_waits_for_what_chooses_to_be_loaded(
    method: str, level: str, loaded: bool
) -> None:
    line = [sys.executable, "-c", CHECKS, method, level]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (f"{loaded}\n", "")


def test_a_refusal_names_what_a_qemu_can_have() -> None:
    with pytest.raises(UsageError, match="own method, with --level auto if its level is to be"):
        check_settings(settings("tcp:127.0.0.1:4444"))


@pytest.mark.parametrize("connect", ["tcp:127.0.0.1:4444", "unix:/run/qemu", "relay:unix:/far"])
@pytest.mark.parametrize("method", ["zstd", "zlib", "qatzip"])
def test_levels_are_chosen_wherever_a_method_has_them(method: str, connect: str) -> None:
    check_settings(replace(settings(connect), method=method, auto_level=True))


@pytest.mark.parametrize(
    ("method", "other", "sentence"),
    [
        *(
            (method, {}, rf"methods? with levels \(zlib, zstd, qatzip\), and {method} has none")
            for method in ("none", "qpl", "uadk")
        ),
        ("auto", {}, "chooses the level as well: leave out --level"),
        ("qatzip", {"accelerator": "require"}, f"--level auto {UNREQUIRED}"),
    ],
)
def test_levels_that_cannot_be_chosen(method: str, other: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        check_settings(replace(settings(**other), method=method, auto_level=True))


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"level": 3}, "leave out --level"),
        ({"member_size": "64K"}, "leave out --member-size"),
        ({"accelerator": "require"}, f"--method auto {UNREQUIRED}"),
    ],
)
def test_what_only_one_method_has_is_refused_beside_it(
    other: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        check_settings(settings(**other))
