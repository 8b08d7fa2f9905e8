"""Packets of a real QEMU 10.2 (tests/golden/README.md) inflate to their pages."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from codec_samples import PAGE, decoded, encoded
from ramferry.codec import create_decoder, create_encoder

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
HEADER_BYTES = 320 + 8 * 128


@pytest.mark.parametrize("method", ["qatzip", "qpl"])
def test_a_real_qemus_packet_inflates_to_its_pages(method: str) -> None:
    packet = (GOLDEN / f"{method}-0.packet").read_bytes()
    pages = (GOLDEN / f"{method}-0.pages").read_bytes()
    normal, size = struct.unpack_from(">II", packet, 16)
    payload = packet[HEADER_BYTES:]
    assert (normal * PAGE, size) == (len(pages), len(payload))
    assert size <= create_decoder(method).max_payload(normal)
    assert decoded(create_decoder(method), payload, len(pages)) == pages


@pytest.mark.parametrize("method", ["qatzip", "qpl"])
def test_ours_is_no_larger(method: str) -> None:
    packet = (GOLDEN / f"{method}-0.packet").read_bytes()
    pages = (GOLDEN / f"{method}-0.pages").read_bytes()
    payload = encoded(create_encoder(method, None), pages)
    assert len(payload) <= 1.02 * (len(packet) - HEADER_BYTES)
