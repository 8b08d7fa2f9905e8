from __future__ import annotations

import re
from typing import Any

import pytest

from codec_samples import EVERY_LEVEL, PAGE, encoded, sample_pages
from ramferry.codec import (
    MAX_PAYLOAD,
    METHODS,
    check_choice,
    create_decoder,
    create_encoder,
    member_size_of,
)
from ramferry.errors import UsageError
from ramferry.vocabulary import MEMBER_SIZES, METHOD_FLAGS


def test_names_and_flags_are_the_wires() -> None:
    assert {name: method.flag for name, method in METHODS.items()} == dict(METHOD_FLAGS)


def test_every_key_is_its_methods_name() -> None:
    assert list(METHODS) == [method.name for method in METHODS.values()]


def test_levels_are_qemus() -> None:
    assert {name: (method.levels, method.default_level) for name, method in METHODS.items()} == {
        "none": (None, 0),
        "zlib": (range(10), 1),
        "zstd": (range(21), 1),
        "qpl": (None, 0),
        "uadk": (None, 0),
        "qatzip": (range(1, 10), 1),
    }


@pytest.mark.parametrize(
    ("method", "level", "message"),
    [
        ("zlib", -1, "method zlib has levels 0 to 9, level -1 was asked for"),
        ("zlib", 10, "method zlib has levels 0 to 9, level 10 was asked for"),
        ("zstd", 21, "method zstd has levels 0 to 20, level 21 was asked for"),
        ("qatzip", 0, "method qatzip has levels 1 to 9, level 0 was asked for"),
        ("qatzip", 10, "method qatzip has levels 1 to 9, level 10 was asked for"),
        ("none", 0, "method none has no levels, level 0 was asked for"),
        ("qpl", 1, "method qpl has no levels, level 1 was asked for"),
        ("uadk", 1, "method uadk has no levels, level 1 was asked for"),
    ],
)
def test_a_level_that_a_method_lacks_is_named(method: str, level: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_encoder(method, level)
    assert str(caught.value) == message


@pytest.mark.parametrize("method", [name for name, found in METHODS.items() if found.levels])
def test_no_level_means_the_default_one(method: str) -> None:
    """By size, to 0.2 %: ISA-L does not promise the same bytes twice."""
    pages = sample_pages(8)
    default = METHODS[method].default_level
    assert METHODS[method].level(None) == default
    size = len(encoded(create_encoder(method, default), pages))
    assert len(encoded(create_encoder(method, None), pages)) == pytest.approx(size, rel=0.002)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (
            "qatzip",
            {"member_size": "128K"},
            "member size must be one of auto, 64K, packet, not '128K'",
        ),
        (
            "zstd",
            {"member_size": "packet"},
            "method zstd has no members, member size packet was asked for",
        ),
        (
            "none",
            {"member_size": "64K"},
            "method none has no members, member size 64K was asked for",
        ),
        (
            "qatzip",
            {"member_size": "packet", "accelerator": "require"},
            "a QAT device has members of 64 KiB only: take either member size packet or"
            " accelerator require",
        ),
    ],
)
def test_members_that_cannot_be_had_are_refused(
    method: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        create_encoder(method, None, **options)  # type: ignore[arg-type]
    assert str(caught.value) == message


REFUSED = (
    "auto takes a device where one pays, so that it cannot be required: take either --method qatzip"
    " with a number as its level, or --accelerator auto"
)


@pytest.mark.parametrize(
    ("method", "level", "options", "message"),
    [
        ("auto", 3, {}, "--method auto chooses the level as well: leave out --level"),
        ("auto", None, {"auto_level": True}, "--method auto chooses the level as well: leave out"),
        ("auto", None, {"member_size": "64K"}, "--method auto agrees on the members' size: leave"),
        ("auto", None, {"accelerator": "require"}, f"--method {REFUSED}"),
        ("qatzip", None, {"auto_level": True, "accelerator": "require"}, f"--level {REFUSED}"),
        ("qpl", None, {"auto_level": True}, "--level auto is for a method with levels (zlib, zs"),
    ],
)
def test_what_does_not_go_beside_a_choice(
    method: str, level: int | None, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        chosen(method, level, **options)


@pytest.mark.parametrize(
    ("method", "level", "options"),
    [
        ("auto", None, {"accelerator": "off"}),
        ("qatzip", None, {"auto_level": True, "member_size": "64K"}),
        ("qatzip", 3, {"accelerator": "require", "member_size": "64K"}),
        ("qpl", None, {"accelerator": "require"}),
    ],
)
def test_what_goes_beside_a_choice_or_without_one(
    method: str, level: int | None, options: dict[str, Any]
) -> None:
    chosen(method, level, **options)


def chosen(method: str, level: int | None, **options: Any) -> None:
    usual = {"auto_level": False, "member_size": "auto", "accelerator": "auto"}
    check_choice(method, level, **(usual | options))


def test_the_member_size_of_encoders_is_told() -> None:
    def told(method: str, member_size: str = "auto") -> int | None:
        return member_size_of([create_encoder(method, None, member_size=member_size)])

    assert [told("qatzip", size) for size in MEMBER_SIZES] == [65536, 65536, 524288]
    assert [told(method) for method in METHODS if method != "qatzip"] == [None] * 5
    assert member_size_of([]) is None


def test_an_unknown_method_is_named_with_the_known_ones() -> None:
    message = "method 'lz4' is not one of none, zlib, zstd, qpl, uadk, qatzip"
    with pytest.raises(UsageError) as caught:
        create_encoder("lz4", None)
    assert str(caught.value) == message
    with pytest.raises(UsageError) as caught:
        create_decoder("lz4")
    assert str(caught.value) == message


@pytest.mark.parametrize("page_size", [-4096, 0, 512, 1000, 4095, 3 * 4096, 1 << 20])
def test_an_impossible_page_size_is_refused(page_size: int) -> None:
    message = f"a page has 1024 to 524288 bytes, a power of two, not {page_size}"
    with pytest.raises(UsageError) as caught:
        create_decoder("none", page_size=page_size)
    assert str(caught.value) == message
    with pytest.raises(UsageError, match="a power of two"):
        create_encoder("none", None, page_size=page_size)


@pytest.mark.parametrize(
    ("method", "most"),
    [
        ("none", 100 * PAGE),
        ("zlib", MAX_PAYLOAD),
        ("zstd", MAX_PAYLOAD),
        ("qatzip", MAX_PAYLOAD),
        ("qpl", 400 + 100 * PAGE),
        ("uadk", 400 + 100 * PAGE),
    ],
)
def test_the_most_that_100_pages_may_take(method: str, most: int) -> None:
    assert create_decoder(method).max_payload(100) == most


def test_only_none_is_verbatim() -> None:
    assert [name for name in METHODS if create_decoder(name).verbatim] == ["none"]


@pytest.mark.parametrize(("method", "level"), EVERY_LEVEL)
def test_every_codec_names_what_does_the_work(method: str, level: int | None) -> None:
    backends = {"none", "isa-l", "zlib-ng", "zstd", "libdeflate"}
    assert create_encoder(method, level).backend in backends
    assert create_decoder(method).backend in backends
