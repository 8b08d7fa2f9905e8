"""The sentence with which ``ramferry relay`` tells of a migration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from certificates import authority, complete
from ramferry.cli.relay import command
from ramferry.cli.relay_sentences import result_fields, result_note, result_sentence
from ramferry.errors import UsageError
from ramferry.flows.settings import RelaySettings
from ramferry.metrics import RelayCounters, RelayResult
from ramferry.metrics.agreement import Agreement
from ramferry.metrics.choosing import Choosing
from ramferry.transport import credentials
from ramferry.transport.address import parse_address
from ramferry.transport.security import Security

COUNTERS = RelayCounters(2.0, 150_000_000, 100_000_000, 0, 0, 200_000_000, 0.0, 0.0, 0.0)
RESULT = RelayResult(True, "", 0, "none", "qatzip", 1, "isa-l", 8, True, 60 << 20, COUNTERS)
VERIFIED = Agreement("9", 1, "xxh3-128", "64K", method_per_packet=True, answers=True)
UNVERIFIED = replace(VERIFIED, digest="")


@pytest.mark.parametrize(
    ("listen", "connect", "agreed", "tail"),
    [
        ("tcp:127.0.0.1:1", "unix:/out", {}, ""),
        ("tls:127.0.0.1:1", "unix:/out", {}, ""),
        ("unix:/in", "relay:far:1", {"agreed_out": VERIFIED}, ", TLS, verified"),
        ("relay:far:1", "unix:/out", {"agreed_in": UNVERIFIED}, ", TLS, not verified"),
        ("unix:/in", "relay:unix:/out", {"agreed_out": UNVERIFIED}, ", in clear, not verified"),
        (
            "relay:unix:/in",
            "relay:far:1",
            {"agreed_in": UNVERIFIED, "agreed_out": VERIFIED},
            ", in clear, not verified → TLS, verified",
        ),
    ],
)
def test_it_says_how_the_bytes_were_protected(
    tmp_path: Path, listen: str, connect: str, agreed: dict[str, Agreement], tail: str
) -> None:
    known = credentials.read(complete(tmp_path / "pki", authority()))
    settings = RelaySettings(
        parse_address(listen), parse_address(connect), "qatzip", security=Security(known)
    )
    assert result_sentence(replace(RESULT, **agreed), settings).endswith(
        f" (none → qatzip, isa-l{tail})"
    )


def test_it_says_what_was_chosen_for_how_many_pages() -> None:
    settings = RelaySettings(parse_address("unix:/in"), parse_address("relay:unix:/out"), "auto")
    pages = {"none": 1000, "zstd 3": 74_000, "zstd 1": 25_000, "zstd 19": 1}
    told = Choosing(
        pages, {"zstd": 30_000}, changes=1, trials=4, trial_seconds=0.1, policy_seconds=0
    )
    result = replace(RESULT, method_out="auto", choosing=told)
    assert "(none → auto: zstd 3 74%, zstd 1 25%, none 1%; 1 change, isa-l" in result_sentence(
        result, settings
    )


def test_without_credentials_it_went_in_clear() -> None:
    settings = RelaySettings(
        parse_address("unix:/in"), parse_address("relay:127.0.0.1:1"), "qatzip"
    )
    result = replace(RESULT, agreed_out=VERIFIED)
    assert result_sentence(result, settings).endswith(", isa-l, in clear, verified)")


def test_once_is_for_one_migration(tmp_path: Path) -> None:
    arguments = [f"unix:{tmp_path}/in", f"unix:{tmp_path}/out", "--method", "none"]
    with pytest.raises(UsageError, match="--once carries one migration"):
        command.main([*arguments, "--once", "--max-migrations", "2"], standalone_mode=False)
    assert not (tmp_path / "in").exists()


def test_the_sentence_names_the_migration_where_there_are_several(tmp_path: Path) -> None:
    settings = RelaySettings(
        parse_address(f"unix:{tmp_path}/in"), parse_address("unix:/out"), "none", max_migrations=2
    )
    told = result_note(replace(RESULT, migration="0badcafe"), settings)
    assert told.startswith("migration 0badcafe: carried ")


@pytest.mark.parametrize(
    ("kind", "method_in", "words"),
    [
        ("multifd", "none", "carried 200 MB of pages as 100 MB in 2.0 s (none → qatzip, isa-l)"),
        ("multifd", "", "carried 200 MB of pages as 100 MB in 2.0 s (no data → qatzip, isa-l)"),
        (
            "plain",
            "none",
            "carried 200 MB of pages of a plain stream as 100 MB in 2.0 s (none → qatzip, isa-l)",
        ),
        (
            "stream",
            "none",
            "carried a stream of 150 MB as 100 MB in 2.0 s (none → qatzip, isa-l)",
        ),
    ],
)
def test_it_says_what_was_carried(kind: str, method_in: str, words: str) -> None:
    settings = RelaySettings(parse_address("unix:/in"), parse_address("unix:/out"), "qatzip")
    counters = replace(COUNTERS, normal_bytes=200_000_000)
    result = replace(RESULT, kind=kind, method_in=method_in, counters=counters)
    assert result_sentence(result, settings) == words
    assert result_fields(result)["kind"] == kind


def test_it_says_which_levels_were_chosen() -> None:
    settings = RelaySettings(parse_address("unix:/in"), parse_address("tcp:h:1"), "zstd")
    told = Choosing({"zstd 3": 3, "none": 1}, {"zstd": 2}, 0, 0, 0, 0)
    result = replace(RESULT, method_out="zstd", choosing=told)
    assert "(none → zstd, level auto: zstd 3 75%, none 25%; 0 changes, isa-l" in result_sentence(
        result, settings
    )
