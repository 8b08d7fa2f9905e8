"""Every target by its name."""

from __future__ import annotations

from typing import Final

from fuzz.target import Target
from fuzz.targets import certificates, codecs, far, files, peers, qatzip, relay, streams, tls, wire

TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for room in (wire, relay, streams, tls, certificates, codecs, qatzip, files, peers, far)
    for target in room.targets()
}
