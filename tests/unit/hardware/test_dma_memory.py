"""The memory formula on its published and computed figures."""

from __future__ import annotations

import pytest

from ramferry.errors import UsageError
from ramferry.hardware.dma_memory import (
    MemoryQuestion,
    estimates,
    need_mib,
    plan_memory,
    used_kib,
    vfs_for,
)

BOTH = ("sender", "receiver")


@pytest.mark.parametrize(
    ("role", "channels", "documented"),
    [
        ("sender", 2, 10),
        ("sender", 4, 12),
        ("sender", 8, 16),
        ("receiver", 2, 10),
        ("receiver", 4, 14),
        ("receiver", 8, 20),
    ],
)
def test_the_six_documented_figures_come_out(role: str, channels: int, documented: int) -> None:
    plan = plan_memory(MemoryQuestion(channels, vfs=1, instances=4), (role,))
    assert plan.needs[0].low_mib == documented
    [cell] = [cell for cell in plan.documented if cell.channels == channels]
    assert (cell.documented_mib, cell.computed_mib, cell.equal) == (documented, documented, True)


@pytest.mark.parametrize(
    ("instances", "sender", "receiver"),
    [(1, (8, 10, 14), (10, 12, 18)), (8, (12, 14, 18), (14, 16, 22))],
)
def test_other_instances_on_one_in_use(
    instances: int, sender: tuple[int, ...], receiver: tuple[int, ...]
) -> None:
    for role, expected in (("sender", sender), ("receiver", receiver)):
        for channels, mib in zip((2, 4, 8), expected, strict=True):
            assert need_mib(role, MemoryQuestion(channels, 1, instances), used=1) == mib


def test_the_high_figure_uses_every_instance_and_spares_four_mib() -> None:
    # 2·ceil((593·4 + 4577·2 + 1095·2)/2043) + 4, and with 4 of 8 channels' instances
    assert plan_memory(MemoryQuestion(2, 1, 4), ("sender",)).needs[0].high_mib == 14 + 4
    assert plan_memory(MemoryQuestion(8, 1, 4), ("sender",)).needs[0].high_mib == 30 + 4


@pytest.mark.parametrize(
    ("hw_buff_sz", "intermediate", "kib"),
    [
        (65536, 0, 4577),
        (65536, 20, 4577 + 2620),
        (65536, 12, 4577 + 12 * 131),
        (8192, 0, 128 * 11 + 128 * 13 + 1),
        (16384, 0, 32 * 19 + 32 * 22 + 1),
        (1024, 0, 128 * 4 + 128 * 6 + 1),
        (524288, 0, 32 * 515 + 32 * 580 + 1),
    ],
)
def test_kib_of_a_used_instance(hw_buff_sz: int, intermediate: int, kib: int) -> None:
    assert used_kib(hw_buff_sz, intermediate) == kib


@pytest.mark.parametrize("size", [0, -65536, 512, 65537, 3 * 65536, 1 << 20])
def test_buffer_sizes_that_qatzip_refuses(size: int) -> None:
    with pytest.raises(UsageError, match=f"hw_buff_sz {size} is none"):
        used_kib(size, 0)


@pytest.mark.parametrize("field", ["channels", "vfs", "instances"])
def test_numbers_below_one_are_refused(field: str) -> None:
    numbers = {"channels": 8, "vfs": 1, "instances": 4, field: 0}
    with pytest.raises(UsageError, match="1 or more"):
        plan_memory(MemoryQuestion(**numbers), BOTH)


def test_memlock_is_the_larger_of_both_advices_and_what_is_locked_besides() -> None:
    few = plan_memory(MemoryQuestion(8, 1, 4, locked_mib=100), BOTH).needs
    assert [need.memlock_mib for need in few] == [34 + 100, 38 + 100]
    many = plan_memory(MemoryQuestion(2, vfs=4, instances=16), ("sender",)).needs
    assert many[0].high_mib < 64 == many[0].memlock_mib


def test_settings_are_for_the_larger_role() -> None:
    settings = dict(plan_memory(MemoryQuestion(8, 1, 4), BOTH).settings)
    assert settings["/etc/security/limits.d/60-qat.conf"] == (f"@qat - memlock {38 * 1024}",)
    assert ("LimitMEMLOCK=38M",) in settings.values()
    assert ("vm.nr_hugepages = 19",) in settings.values()
    assert ("QAT_MAX_2M_HPG_PER_PROCESS=19",) in settings.values()


def test_intels_own_driver_takes_huge_pages_and_no_locked_memory() -> None:
    plan = plan_memory(MemoryQuestion(8, 1, 4, family="C62x"), ("sender",))
    assert plan.needs[0].memlock_mib is None
    assert dict(plan.settings) == {
        "/etc/sysctl.d/60-qat.conf": ("vm.nr_hugepages = 48",),
        "/etc/modprobe.d/usdm_drv.conf": (
            "options usdm_drv max_huge_pages=48 max_huge_pages_per_process=48",
        ),
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"qatzip": (1, 2, 0)}, []),
        ({"hw_buff_sz": 131072}, ["hw_buff_sz is not"]),
        ({"qatzip": (1, 3, 2)}, ["after 1.3.1"]),
        ({"qatzip": (2, 0)}, ["after 1.3.1"]),
        ({"family": "C62x"}, ["out-of-tree"]),
        ({"family": "C4xxx"}, ["out-of-tree", "not documented"]),
    ],
)
def test_what_the_formula_does_not_cover_is_an_estimate(
    change: dict[str, object], words: list[str]
) -> None:
    reasons = estimates(MemoryQuestion(8, 1, 4, **change))  # type: ignore[arg-type]
    assert len(reasons) == len(words)
    assert all(word in reason for word, reason in zip(words, reasons, strict=True))


@pytest.mark.parametrize(("instances", "vfs"), [(1, 1), (4, 1), (5, 2), (8, 2)])
def test_vfs_for_instances(instances: int, vfs: int) -> None:
    assert vfs_for(instances) == vfs
