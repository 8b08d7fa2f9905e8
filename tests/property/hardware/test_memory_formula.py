"""Properties of the memory formula over all that may be asked."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ramferry.hardware.dma_memory import (
    CHANNEL_KIB,
    HIGH_MARGIN_MIB,
    OPENED_KIB,
    SLAB_UNITS,
    MemoryQuestion,
    need_mib,
    plan_memory,
    plan_role,
    used_kib,
)
from ramferry.hardware.families import FAMILIES

ROLES = st.sampled_from(sorted(CHANNEL_KIB))
QUESTIONS = st.builds(
    MemoryQuestion,
    channels=st.integers(1, 255),
    vfs=st.integers(1, 64),
    instances=st.integers(1, 256),
    hw_buff_sz=st.integers(10, 19).map(lambda power: 1 << power),
    family=st.sampled_from([family.name for family in FAMILIES]),
    locked_mib=st.integers(0, 1 << 20),
)


@given(ROLES, QUESTIONS)
def test_whole_slabs_hold_all_units_and_one_less_would_not(
    role: str, question: MemoryQuestion
) -> None:
    used = min(question.channels, question.instances)
    family = next(family for family in FAMILIES if family.name == question.family)
    intermediate = 20 if family.intermediate is None else family.intermediate
    units = (
        OPENED_KIB * question.instances
        + used_kib(question.hw_buff_sz, intermediate) * used
        + CHANNEL_KIB[role] * question.channels
    )
    slabs, odd = divmod(need_mib(role, question, used), 2)
    assert odd == 0
    assert (slabs - 1) * SLAB_UNITS < units <= slabs * SLAB_UNITS


@given(ROLES, QUESTIONS)
def test_low_and_high_bound_every_number_of_instances_in_use(
    role: str, question: MemoryQuestion
) -> None:
    need = plan_role(role, question)
    most = min(question.channels, question.instances)
    for used in {1, (1 + most) // 2, most}:
        mib = need_mib(role, question, used)
        assert need.low_mib <= mib <= need.high_mib - HIGH_MARGIN_MIB
    assert need.huge_pages * 2 == need.high_mib
    if need.memlock_mib is not None:
        assert need.memlock_mib >= need.high_mib + question.locked_mib


@given(ROLES, QUESTIONS, st.sampled_from(["channels", "instances"]))
def test_more_never_takes_less(role: str, question: MemoryQuestion, field: str) -> None:
    more = replace(question, **{field: getattr(question, field) + 1})
    before, after = plan_role(role, question), plan_role(role, more)
    assert after.low_mib >= before.low_mib
    assert after.high_mib >= before.high_mib


@given(QUESTIONS)
def test_a_receiver_takes_at_least_what_a_sender_takes(question: MemoryQuestion) -> None:
    sender, receiver = plan_role("sender", question), plan_role("receiver", question)
    assert sender.low_mib <= receiver.low_mib
    assert sender.high_mib <= receiver.high_mib


@given(QUESTIONS)
def test_the_documented_table_does_not_depend_on_the_channels_asked_for(
    question: MemoryQuestion,
) -> None:
    roles = ("sender", "receiver")
    other = replace(question, channels=question.channels % 255 + 1)
    assert plan_memory(question, roles).documented == plan_memory(other, roles).documented
