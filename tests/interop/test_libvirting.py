"""What the tests with libvirt do where a QEMU ended itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from libvirting import QemuAborted, once_more_if_qemu_aborts

pytestmark = pytest.mark.interop


def falling(*errors: AssertionError | None) -> Callable[[], None]:
    """A test that ends so, one time after another."""
    left = list(errors)

    @once_more_if_qemu_aborts
    def test() -> None:
        if error := left.pop(0):
            raise error

    return test


def test_it_is_tried_once_more_and_only_once() -> None:
    falling(None)()
    falling(QemuAborted("it is gone"), None)()
    with pytest.raises(QemuAborted, match="again"):
        falling(QemuAborted("it is gone"), QemuAborted("again"), None)()


def test_another_failure_is_one() -> None:
    with pytest.raises(AssertionError, match="memory"):
        falling(AssertionError("memory differs"), None)()
    with pytest.raises(AssertionError, match="memory"):
        falling(QemuAborted("it is gone"), AssertionError("memory differs"), None)()
