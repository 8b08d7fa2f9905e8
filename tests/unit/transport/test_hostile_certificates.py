"""Certificates and keys that libraries choke on are refused in a sentence. All were found by
fuzzing."""

from __future__ import annotations

import pytest

from fuzz.targets.certificates import pem, samples
from ramferry.errors import UsageError
from ramferry.transport.address import parse_address
from ramferry.transport.credentials import Credentials, Pair, check
from ramferry.transport.security import Security

SOUND = samples()[0]
ED25519 = bytes.fromhex("06032b6570")
VERSION_3 = bytes.fromhex("a003020102")
KEY = pem("PRIVATE KEY", bytes.fromhex("302e020100300506032b657004220420") + bytes(range(32)))


def refusal(certificate: bytes, key: bytes = KEY) -> str:
    with pytest.raises(UsageError) as refused:
        check(Pair(pem("CERTIFICATE", certificate), key), "cert.pem", "key.pem")
    return str(refused.value)


def test_a_sound_one_is_taken() -> None:
    check(Pair(pem("CERTIFICATE", SOUND), KEY), "cert.pem", "key.pem")


def test_a_version_that_there_is_not() -> None:
    damaged = SOUND.replace(VERSION_3, bytes.fromhex("a003020106"))
    assert refusal(damaged) == "cert.pem holds no certificate in PEM form"
    assert Security(allowed=("CN=*",)).allows(damaged) == "a subject that cannot be read"


def test_a_kind_of_key_that_there_is_not() -> None:
    damaged = SOUND.replace(ED25519, bytes.fromhex("06032b6161"))
    assert refusal(damaged) == "cert.pem is for a key of a kind that is not known here"


def test_a_date_that_there_is_not() -> None:
    """The year 0, as a GeneralizedTime."""
    damaged = SOUND.replace(b"\x18\x0f21200101", b"\x18\x0f00000101")
    assert damaged != SOUND
    assert refusal(damaged) == "cert.pem has dates that there are not"


def test_a_name_that_is_no_text() -> None:
    """A BIT STRING in its place."""
    damaged = SOUND.replace(b"\x0c\x05alpha", b"\x03\x05\0lpha")
    assert Security(allowed=("CN=*",)).allows(damaged) == "a subject that cannot be read"
    own = Credentials(b"", client=Pair(pem("CERTIFICATE", damaged), KEY))
    shown = Security(own).shown(parse_address("relay:far:1"))
    assert shown == "a subject that cannot be read"


def test_what_is_no_certificate_at_all() -> None:
    assert Security(allowed=("CN=*",)).allows(b"\x30\x82") == "a subject that cannot be read"


def test_a_key_of_another_kinds_length() -> None:
    """Ed448, with 32 bytes: an ``InternalError`` in ``cryptography``."""
    short = bytes.fromhex("302e020100300506032b657104220420") + bytes(range(32))
    assert refusal(SOUND, pem("PRIVATE KEY", short)) == "key.pem holds no private key in PEM form"
