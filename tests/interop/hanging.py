"""A source that hangs by itself, as QEMU 10.0 may: its test is done once more, with a fresh one.

If channels break while QEMU 10.0 sets a migration up, its migration thread may wait for a channel
for good, and it holds QEMU's main lock, which its monitor waits for. That was seen in 4 of 500 runs
of the tests of test_relay_again, eight at a time, each time without one connection left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec

from ramferry.bench.qemu import Qemu
from ramferry.errors import PeerTimeout

Named = ParamSpec("Named")


class SourceHangs(Exception):
    """A QEMU 10.0 whose channels broke does not answer any more."""


@contextmanager
def may_hang(source: Qemu, let_go: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Tell a source that hangs by itself from whatever else does not answer.

    :param let_go: whether the far end holds no connection of it any more; if it does, it may be
        what the source waits for.
    :raise SourceHangs: it does.
    """
    try:
        yield
    except PeerTimeout as error:
        by_itself = source.binary.version >= (10,) and source.qmp.uri in str(error) and let_go()
        if not by_itself:
            raise
        raise SourceHangs(f"the source hangs by itself: {error}") from error


def once_more(test: Callable[Named, None]) -> Callable[Named, None]:
    """Do a test a second time if its source hangs: it makes everything afresh.

    Once only: whatever makes each source hang still fails the test.
    """

    @wraps(test)
    def done(*fixtures: Named.args, **named: Named.kwargs) -> None:
        try:
            test(*fixtures, **named)
        except SourceHangs as error:
            print(error)
            test(*fixtures, **named)

    return done
