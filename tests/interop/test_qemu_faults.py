"""What tests do that met a fault of QEMU's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from qemu_faults import KEPT, YANKED, QemuFault, once_more_if_qemu_fails, raise_known

from ramferry.bench.qemu import QemuBinary

pytestmark = pytest.mark.interop

OLD = QemuBinary(Path("qemu"), (7, 2, 22))
NEW = QemuBinary(Path("qemu"), (10, 0, 0))


def falling(*errors: AssertionError | None) -> Callable[[], None]:
    """A test that ends so, one time after another."""
    left = list(errors)

    @once_more_if_qemu_fails
    def test() -> None:
        if error := left.pop(0):
            raise error

    return test


def test_it_is_tried_once_more_and_only_once() -> None:
    falling(None)()
    falling(QemuFault("it is gone"), None)()
    with pytest.raises(QemuFault, match="again"):
        falling(QemuFault("it is gone"), QemuFault("again"), None)()


def test_another_failure_is_one() -> None:
    with pytest.raises(AssertionError, match="memory"):
        falling(AssertionError("memory differs"), None)()
    with pytest.raises(AssertionError, match="memory"):
        falling(QemuFault("it is gone"), AssertionError("memory differs"), None)()


@pytest.mark.parametrize(
    ("binary", "words"), [(OLD, YANKED), (NEW, YANKED), *((OLD, sign) for sign in KEPT)]
)
def test_a_fault_is_known_by_its_sentence(binary: QemuBinary, words: str) -> None:
    with pytest.raises(QemuFault, match="before it"):
        raise_known(f"what comes before it, {words}, and after", binary)


@pytest.mark.parametrize(
    ("binary", "words"), [(OLD, "Broken pipe"), *((NEW, sign) for sign in KEPT)]
)
def test_any_other_is_not(binary: QemuBinary, words: str) -> None:
    raise_known(words, binary)
