"""Addresses: QEMU's own syntax, both ways, and sentences for everything else."""

from __future__ import annotations

import pytest

from ramferry.errors import UsageError
from ramferry.transport.address import (
    Address,
    RelayAddress,
    TcpAddress,
    TlsAddress,
    UnixAddress,
    is_local,
    moved,
    parse_address,
    parse_place,
    place_of,
)

READ = [
    ("tcp:host:4444", TcpAddress("host", 4444), "tcp:host:4444"),
    ("tcp::4444", TcpAddress("", 4444), "tcp::4444"),
    ("tcp:0:4444", TcpAddress("0", 4444), "tcp:0:4444"),
    ("tcp:10.0.0.1:0", TcpAddress("10.0.0.1", 0), "tcp:10.0.0.1:0"),
    ("tcp:[::1]:65535", TcpAddress("::1", 65535), "tcp:[::1]:65535"),
    ("unix:/run/vm.sock", UnixAddress("/run/vm.sock"), "unix:/run/vm.sock"),
    ("unix:a:b", UnixAddress("a:b"), "unix:a:b"),
    ("unix:" + "x" * 107, UnixAddress("x" * 107), "unix:" + "x" * 107),
    ("tls:host:4444", TlsAddress(TcpAddress("host", 4444)), "tls:host:4444"),
    ("relay:host:4444", RelayAddress(TcpAddress("host", 4444)), "relay:host:4444"),
    ("relay:[::1]:4444", RelayAddress(TcpAddress("::1", 4444)), "relay:[::1]:4444"),
    ("relay::4444", RelayAddress(TcpAddress("", 4444)), "relay::4444"),
    ("relay:unix:/run/r", RelayAddress(UnixAddress("/run/r")), "relay:unix:/run/r"),
]


@pytest.mark.parametrize(("uri", "address", "text"), READ)
def test_an_address_is_read_and_written(uri: str, address: Address, text: str) -> None:
    assert parse_address(uri) == address
    assert str(address) == text
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "tcp",
        "tcp:",
        "tcp:host",
        "tcp:host:",
        "tcp:host:-1",
        "tcp:host:4444,to=4450",
        "tcp:host:٤",
        "unix:",
        "fd:4",
        "exec:cat",
        "host:4444",
        "tls:unix:/run/vm.sock",
        "tls:/run/vm.sock",
        "relay:",
        "relay:host",
        "relay:unix:",
    ],
)
def test_what_is_no_address_is_a_usage_error_that_says_what_to_write(uri: str) -> None:
    with pytest.raises(UsageError, match="write tcp:HOST:PORT, unix:PATH, tls:HOST:PORT, or"):
        parse_address(uri)


@pytest.mark.parametrize("uri", ["tcp:host:65536", "tls:[::1]:99999", "relay:host:" + "9" * 5000])
def test_a_port_that_there_is_not_is_told_apart(uri: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_address(uri)
    assert str(caught.value) == (
        f"{uri!r} is no migration address: the port must be 1 to 65535, or 0 to have one chosen"
    )


@pytest.mark.parametrize("path", ["x" * 108, "ü" * 54])
def test_a_path_that_no_socket_can_have_is_a_usage_error(path: str) -> None:
    with pytest.raises(UsageError, match="longer than 107 bytes"):
        parse_address(f"unix:{path}")


@pytest.mark.parametrize("uri", ["tls:host:4444", "relay:host:4444", "relay:unix:/run/r"])
def test_where_only_qemus_own_addresses_fit_others_are_a_usage_error(uri: str) -> None:
    with pytest.raises(UsageError, match="write tcp:HOST:PORT or unix:PATH"):
        parse_place(uri)


@pytest.mark.parametrize(
    ("uri", "local"),
    [
        ("tcp:127.0.0.1:1", True),
        ("tcp:127.9.0.1:1", True),
        ("tls:localhost:1", True),
        ("relay:[::1]:1", True),
        ("unix:/run/a", True),
        ("relay:unix:/run/a", True),
        ("tcp::1", False),
        ("tcp:0.0.0.0:1", False),
        ("relay:10.0.0.1:1", False),
        ("tls:beta:1", False),
    ],
)
def test_what_no_other_host_can_reach_is_local(uri: str, local: bool) -> None:
    assert is_local(parse_address(uri)) is local


def test_an_address_keeps_its_kind_at_another_place() -> None:
    there = TcpAddress("beta", 2)
    for uri in ("tcp:a:1", "tls:a:1", "relay:a:1"):
        assert str(moved(parse_address(uri), there)) == uri.replace("a:1", "beta:2")
    assert place_of(moved(parse_address("relay:a:1"), UnixAddress("/s"))) == UnixAddress("/s")
    with pytest.raises(UsageError, match="over TCP only"):
        moved(parse_address("tls:a:1"), UnixAddress("/s"))
