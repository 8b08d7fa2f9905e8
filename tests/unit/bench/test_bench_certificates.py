"""bench.certificates: both sides' in a folder of their owner's, which goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ramferry.bench import certificates as module
from ramferry.bench.certificates import certificates
from ramferry.bench.qemu import TLS_ID, tls_options
from ramferry.errors import HostError
from ramferry.transport.credentials import SERVER, read


def test_both_sides_and_nothing_left() -> None:
    with certificates("192.0.2.2") as folder:
        found = read(folder)
        assert found.server is not None
        assert found.client is not None
        assert folder.stat().st_mode & 0o77 == 0
        assert {path.stat().st_mode & 0o777 for path in folder.glob("*-key.pem")} == {0o600}
    assert not folder.exists()


def test_nowhere_to_keep_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", Path("/nowhere"))
    with pytest.raises(HostError, match="no certificates in /nowhere: No such file"):
        certificates("h").__enter__()


def test_what_goes_wrong_with_them_in_use_is_told_as_it_is() -> None:
    with pytest.raises(OSError, match="mine"), certificates("h"):
        raise OSError("mine")


def test_options_of_a_qemu() -> None:
    assert tls_options(None, SERVER) == []
    option, words = tls_options(Path("/c"), SERVER)
    assert option == "-object"
    assert words.split(",") == [
        "tls-creds-x509",
        f"id={TLS_ID}",
        "dir=/c",
        "endpoint=server",
        "verify-peer=on",
    ]
