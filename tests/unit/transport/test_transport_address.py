"""Addresses: QEMU's own syntax, both ways, and sentences for everything else."""

from __future__ import annotations

import pytest

from ramferry.errors import UsageError
from ramferry.transport.address import Address, TcpAddress, UnixAddress, parse_address

READ = [
    ("tcp:host:4444", TcpAddress("host", 4444), "tcp:host:4444"),
    ("tcp::4444", TcpAddress("", 4444), "tcp::4444"),
    ("tcp:0:4444", TcpAddress("0", 4444), "tcp:0:4444"),
    ("tcp:10.0.0.1:0", TcpAddress("10.0.0.1", 0), "tcp:10.0.0.1:0"),
    ("tcp:[::1]:65535", TcpAddress("::1", 65535), "tcp:[::1]:65535"),
    ("unix:/run/vm.sock", UnixAddress("/run/vm.sock"), "unix:/run/vm.sock"),
    ("unix:a:b", UnixAddress("a:b"), "unix:a:b"),
    ("unix:" + "x" * 107, UnixAddress("x" * 107), "unix:" + "x" * 107),
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
        "tcp:host:65536",
        "tcp:host:-1",
        "tcp:host:4444,to=4450",
        "tcp:host:٤",
        "unix:",
        "fd:4",
        "exec:cat",
        "host:4444",
    ],
)
def test_what_is_no_address_is_a_usage_error_that_says_what_to_write(uri: str) -> None:
    with pytest.raises(UsageError, match="write tcp:HOST:PORT or unix:PATH"):
        parse_address(uri)


@pytest.mark.parametrize("path", ["x" * 108, "ü" * 54])
def test_a_path_that_no_socket_can_have_is_a_usage_error(path: str) -> None:
    with pytest.raises(UsageError, match="longer than 107 bytes"):
        parse_address(f"unix:{path}")
