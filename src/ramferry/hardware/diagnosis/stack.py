"""Which of the two QAT stacks drives the devices: the kernel's with qatlib, or Intel's own.

Intel's (out-of-tree) brings its kernel modules, usdm_drv and libqat_s; the kernel's (in-tree) shows
a ``qat`` directory and lends VFs to user space by vfio-pci. Both at once get in each other's way
(qatlib issue 83).
"""

from __future__ import annotations

from enum import StrEnum

from ramferry.hardware.diagnosis.make import ok, problem
from ramferry.hardware.facts import HostFacts
from ramferry.metrics.host import Evidence, Finding


class Stack(StrEnum):
    """Which stack drives the QAT devices."""

    NONE = "none"
    IN_TREE = "in-tree"
    OUT_OF_TREE = "out-of-tree"
    BOTH = "both"


def stack_of(facts: HostFacts) -> Stack:
    """Tell the stack by the signs of each."""
    kernels, intels = bool(in_tree_signs(facts)), bool(out_of_tree_signs(facts))
    if kernels and intels:
        return Stack.BOTH
    if kernels:
        return Stack.IN_TREE
    return Stack.OUT_OF_TREE if intels else Stack.NONE


def outside(facts: HostFacts) -> bool:
    """Whether Intel's own package is the stack to judge by: it is there alone, or else every
    device needs it."""
    stack = stack_of(facts)
    if stack in (Stack.IN_TREE, Stack.OUT_OF_TREE):
        return stack is Stack.OUT_OF_TREE
    return not any(function.family.in_tree for function in facts.qat)


def in_tree_signs(facts: HostFacts) -> list[Evidence]:
    """Signs of the kernel's driver and qatlib; one of each kind."""
    states = [pf.state for pf in facts.physical if pf.sysfs]
    lent = [vf.pci.driver for vf in facts.virtual if vf.on_vfio]
    manager = [facts.manager.evidence] if facts.manager.exists else []
    return [*states[:1], *lent[:1], *manager, *facts.libraries.qat[:1]]


def out_of_tree_signs(facts: HostFacts) -> list[Evidence]:
    """Signs of Intel's own package."""
    nodes = [node.evidence for node in facts.out_of_tree_nodes if node.exists]
    module = [facts.usdm_module.evidence] if facts.usdm_module.exists else []
    return [*module, *nodes, *facts.libraries.out_of_tree[:1]]


def judge_stack(facts: HostFacts) -> list[Finding]:
    """One finding: which stack, or that there are two, or that the one needed is missing."""
    stack = stack_of(facts)
    evidence = (*in_tree_signs(facts), *out_of_tree_signs(facts))
    old = sorted({function.family.name for function in facts.qat if not function.family.in_tree})
    if stack is Stack.BOTH:
        sentence = (
            "two QAT stacks at once, the kernel's with qatlib and Intel's out-of-tree package:"
            " they take the devices from each other; keep one"
        )
        return [problem("qat-stack", "QAT", sentence, *evidence, commands=_part(old))]
    if old and stack is not Stack.OUT_OF_TREE:
        sentence = (
            f"the kernel's own driver of {', '.join(old)} gives user space no compression:"
            " install Intel's out-of-tree package for it"
        )
        absent = facts.usdm_module.evidence
        return [problem("qat-stack", "QAT", sentence, *(evidence or (absent,)))]
    if stack is Stack.NONE:
        return []
    text = {
        Stack.IN_TREE: "the stack is in-tree: the kernel's driver with qatlib",
        Stack.OUT_OF_TREE: "the stack is Intel's out-of-tree package",
    }
    return [ok("qat-stack", "QAT", text[stack], *evidence)]


def _part(old: list[str]) -> tuple[str, ...]:
    """Keep Intel's package where a device needs it, else the kernel's driver."""
    if old:
        return ("sudo systemctl disable --now qat", "sudo adf_ctl restart")
    return (
        "sudo make uninstall   # where Intel's package was built",
        "sudo systemctl restart qat",
    )
