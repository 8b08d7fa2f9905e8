"""QMP addresses."""

import pytest

from ramferry.control.qemu.uri import monitor_address, parse_qmp, qmp_host
from ramferry.errors import UsageError


def test_the_monitors_host() -> None:
    assert qmp_host("qmp:10.0.0.2:4444") == "10.0.0.2"
    assert qmp_host("qmp:/run/q") is None


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("qmp:/run/qmp.sock", "/run/qmp.sock"),
        ("qmp:qmp.sock", "qmp.sock"),
        ("qmp:./a:1", "./a:1"),
        ("qmp:host:4444", ("host", 4444)),
        ("qmp:[::1]:4444", ("::1", 4444)),
    ],
)
def test_uri(uri: str, address: str | tuple[str, int]) -> None:
    assert parse_qmp(uri) == address


@pytest.mark.parametrize(
    "uri", ["", "qmp:", "tcp:host:1", "qmp:host:", "qmp::1", "qmp:host:0", "qmp:h:65536", "qmp:h:٣"]
)
def test_uri_that_is_none(uri: str) -> None:
    with pytest.raises(UsageError, match="is no QMP address"):
        parse_qmp(uri)


def test_where_another_host_is_allowed_its_form_is_named() -> None:
    with pytest.raises(UsageError, match=r"ssh://HOST/PATH for one on another host$"):
        monitor_address("ssh:/far/x")
    assert monitor_address("ssh://far/x") == "/x"
    with pytest.raises(UsageError, match=r"qmp:HOST:PORT$"):
        parse_qmp("ssh:/far/x")  # of a monitor that is to listen on this host
