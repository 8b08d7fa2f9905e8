"""What is left of a relay that was killed in the switchover: finds out how it ended, and tells the
source.

``python -m ramferry.flows.peer.heir ask|told WILL MAIN CHANNEL…``, where the rest are numbers of
descriptors: a file with a pickled ``Will``, and the connections to the source. Started by
``transport.holder`` alone.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Callable
from typing import Final

from ramferry import standard
from ramferry.errors import PeerTimeout, RamferryError
from ramferry.flows.peer.asking import CONNECT, Asking
from ramferry.flows.peer.guardian import Will, how_to_decide
from ramferry.patience import Patience
from ramferry.transport.connection import Connection
from ramferry.transport.dialing import connect
from ramferry.transport.holder import wait_for_the_end
from ramferry.transport.plain import inherited
from ramferry.wire.return_path import shut

_STALL: Final = 10.0
_FAREWELL: Final = 5.0
"""Seconds that a source may take to close main after it was told; 0.1 s as a rule."""
_LOOK: Final = 0.1
_KILLED: Final = "the relay was ended in the switchover"


def decide(asking: Asking, main: Connection, channels: list[Connection], *, clear: bool) -> str:
    """Find out how the switchover ended, and tell the source.

    :param clear: whether the source can be told at all.
    :return: what is to be said; empty if the source's main is held, and nothing ends it but the
        source.
    :raise RamferryError: nobody knows.
    """
    try:
        outcome = asking.until_known(main.hung_up)
    except RamferryError:
        if main.hung_up():
            return f"{_KILLED}, and the source ended the migration"
        raise
    if outcome.outcome == "not taken":
        for connection in (main, *channels):
            connection.reset()
        asking.told(seek=True)
        return f"{_KILLED}; the destination has not taken the guest over: it goes on at the source"
    if not clear or not _tell(main):
        raise PeerTimeout("the destination has the guest, and the source cannot be told")
    asking.told(seek=True)
    return f"{_KILLED}; the destination has taken the guest over, and the source was told"


def _tell(main: Connection) -> bool:
    try:
        main.send([shut()])
    except (OSError, PeerTimeout):
        return False
    return closes(main)


def closes(main: Connection) -> bool:
    """Whether a source that was told closes main in time."""
    patience = Patience(_FAREWELL)
    while not main.hung_up():
        if patience.over:
            return False
        time.sleep(_LOOK)
    return True


def tell(text: str) -> None:
    """Say it on the relay's standard error, or in the system's log if nobody reads that."""
    if not standard.say(f"ramferry: {text}"):
        standard.log(text)


def run(mode: str, numbers: list[int], say: Callable[[str], None]) -> None:
    """Do what is left to do; returns when the source's connections need not be held any more.

    :param mode: "told" if the source may have been told that its guest was taken over.
    """
    with os.fdopen(numbers[0], "rb") as file:
        will: Will = pickle.load(file)  # the relay's own, by a descriptor that only it had
    connections: list[Connection] = []
    for number in numbers[1:]:
        connection = inherited(number)
        connection.settle(_STALL)
        connections.append(connection)
    main = connections[0]
    if mode == "told":
        if not closes(main):
            say(
                f"{_KILLED} while it told the source that the destination has taken the guest "
                "over, and the source does not end: `quit` its QEMU; its connections are held open "
                f"by process {os.getpid()}"
            )
            wait_for_the_end(main.fileno())
        return
    asking = Asking(
        lambda: connect(will.address, will.security, timeout=CONNECT), will.token, will.decide
    )
    try:
        say(decide(asking, main, connections[1:], clear=will.clear))
    except RamferryError as error:
        say(f"{_KILLED}, and {error}; {how_to_decide(os.getpid())}")
        wait_for_the_end(main.fileno())
    finally:
        asking.close()


if __name__ == "__main__":
    run(sys.argv[1], list(map(int, sys.argv[2:])), tell)
