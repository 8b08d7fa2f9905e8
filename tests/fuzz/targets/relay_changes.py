"""Changes inside what two Ramferrys say on control, whose digests are right again after them."""

from __future__ import annotations

import random
import struct

from fuzz.target import Change
from fuzz.targets.jsons import change_json
from ramferry.wire.relay_messages import HEAD_SIZE, headed


def change_message(begin: int) -> Change:
    """Changes one message's JSON, and makes its head right again.

    :param begin: where the messages begin.
    """

    def change(data: bytes, chance: random.Random) -> bytes | None:
        bodies, at = [], begin
        while at + HEAD_SIZE <= len(data):
            (size,) = struct.unpack_from(">I", data, at)
            bodies.append(data[at + HEAD_SIZE : at + HEAD_SIZE + size])
            at += HEAD_SIZE + size
        if not bodies:
            return None
        one = chance.randrange(len(bodies))
        changed = change_json(bodies[one], chance)
        if changed is None:
            return None
        bodies[one] = changed
        return data[:begin] + b"".join(map(headed, bodies))

    return change
