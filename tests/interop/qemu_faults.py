"""What QEMUs get wrong by themselves where channels break: a test that meets it is run once more.

Anything else, and the same a second time, fails the test. See docs/platforms/libvirt.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from migrating import until

from ramferry.bench.qemu import Qemu, QemuBinary
from ramferry.control.qemu.end import HOLDS
from ramferry.errors import PeerTimeout

YANKED: Final = "yank_unregister_instance: Assertion"
KEPT: Final = (HOLDS, "duplicate yank instance")
"""How Ramferry and QEMU say that channels are not let go of."""
ALL_WELL: Final = (
    "",
    *(
        f"ramferry: the {side}'s migration settings were not set back: {HOLDS}\n"
        for side in ("source", "destination")
    ),
)
"""What a command that went well says: nothing, or that a QEMU on a busy host has not let go yet."""
SOON: Final = 20.0
"""Seconds within which a QEMU that said how it ended has let go of its channels."""


class QemuFault(AssertionError):
    """A QEMU ended itself, keeps for good the channels of a migration that broke, hangs, or says of
    one that was cancelled that it failed (see ``migrating.CANCELLED``).

    QEMU 7.2 and 10.0 say "failed" as soon as a channel breaks, and clean up a little later. libvirt
    then switches multifd off; if QEMU does so before it cleans up, it forgets its channels, and its
    assertion fails. A relay whose channels to it break cannot help it, but by waiting until the job
    was aborted, as the one command's does (``--hold-source``). Without relays and libvirt, by the
    same QMP commands (``run_break.py``), it was 1 of 240 migrations of either whose connections
    broke all at once, and 1 of 240 of 7.2 whose main broke a second before its channels, six at a
    time on two cores. On a busier host it is more.

    QEMU 7.2 alone sometimes never cleans up, whatever was done: its guest lives, but it refuses to
    migrate again, and multifd cannot be switched off under it. It was 7 of 540.

    If channels break while QEMU 10.0 sets a migration up, its migration thread may wait for a
    channel for good, and it holds QEMU's main lock, which its monitor waits for. That was seen in 4
    of 500 runs of the tests of test_relay_again, eight at a time, each time without one connection
    left.
    """


def once_more_if_qemu_fails(test: Callable[..., None]) -> Callable[..., None]:
    """Have a test that breaks a migration's channels run again, once, after a ``QemuFault``."""

    @functools.wraps(test)
    def run(*args: Any, **named: Any) -> None:
        try:
            test(*args, **named)
        except QemuFault as error:
            print(f"once more, for a fault of QEMU's own: {error}")
            test(*args, **named)

    return run


def raise_known(words: str, binary: QemuBinary) -> None:
    """Tell a fault of QEMU's own from all others, by what was said.

    :raise QemuFault: the words have the sentence of one that this QEMU has.
    """
    kept = _may_keep(binary) and any(sign in words for sign in KEPT)
    if kept or YANKED in words:
        raise QemuFault(words)


@contextmanager
def may_hang(source: Qemu, let_go: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Tell a source that hangs by itself from whatever else does not answer.

    :param let_go: whether the far end holds no connection of it any more; if it does, it may be
        what the source waits for.
    :raise QemuFault: it hangs by itself.
    """
    try:
        yield
    except PeerTimeout as error:
        by_itself = source.binary.version >= (10,) and source.qmp.uri in str(error) and let_go()
        if not by_itself:
            raise
        raise QemuFault(f"the source hangs by itself: {error}") from error


def holds(qemu: Qemu) -> bool:
    """Whether it still holds anything of a migration: it says how that ended before it lets go."""
    return {"type": "migration"} in qemu.qmp.execute("query-yank", timeout=SOON)


def wait_let_go(qemu: Qemu) -> None:
    """Wait until a QEMU may be told to migrate again.

    :raise QemuFault: it is one that may never let go of a migration, and has not.
    """
    try:
        until("the end of what belongs to a migration", lambda: not holds(qemu), SOON)
    except AssertionError as error:
        if _may_keep(qemu.binary):
            raise QemuFault(str(error)) from error
        raise


def _may_keep(binary: QemuBinary) -> bool:
    return binary.version < (8,)
