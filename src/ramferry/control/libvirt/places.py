"""A clause that says where a domain's guest is, by what both daemons were seen to say. Pure."""

from __future__ import annotations

from ramferry.control.libvirt.contract import RUNNING, SHUT_OFF

ABSENT = "absent"
"""Stands for the state of a domain that its daemon does not have."""

WITHOUT = frozenset({ABSENT, SHUT_OFF})
"""States of a domain without a QEMU."""


def whereabouts(before: str, near: str | None, far: str | None) -> str:
    """Where the guest is after a migration that did not complete; only what was seen is said.

    :param before: the domain's state at the source when the migration began.
    :param near: its state there now; None if that libvirt does not answer, ``ABSENT`` if it has no
        such domain.
    :param far: the same at the destination.
    """
    if near == RUNNING and far == RUNNING:
        return "it runs at the source and at the destination: `virsh suspend` one of them at once"
    if near == RUNNING:
        return f"the guest runs at the source{_beside(far)}"
    if far == RUNNING:
        return f"the guest runs at the destination{_left(near)}"
    if near is None:
        return _unseen("source", far)
    if near in WITHOUT:
        return _without(near, far)
    if near == before:
        return f"the guest is at the source, {near} as before{_beside(far)}"
    if far is None:
        return (
            f"the guest stands still at the source, which is {near}, and the destination's libvirt"
            " does not answer: see there, with `virsh domstate`, that it does not run before you"
            " `virsh resume` it at the source"
        )
    if far in WITHOUT:
        return f"the guest is at the source, which is {near}: `virsh resume` there lets it run on"
    return (
        f"the guest stands still: the source is {near}, the destination {far}; libvirt keeps both"
        " until it knows which of them is to go on: see with `virsh domstate` at both"
    )


def _beside(far: str | None) -> str:
    """What is to be said of a destination beside a guest at the source."""
    if far is None:
        return "; the destination's libvirt does not answer: see that the guest does not run there"
    if far in WITHOUT:
        return ""
    return f"; a domain of its name is {far} at the destination: see that it does not go on there"


def _left(near: str | None) -> str:
    if near is None:
        return "; the source's libvirt does not answer: see that it does not go on there"
    if near in WITHOUT:
        return ""
    return f": do not `virsh resume` the source, which is {near}"


def _unseen(side: str, far: str | None) -> str:
    if far is None:
        return (
            "neither libvirt answers: see where the guest is, with `virsh domstate` at both,"
            " before you resume it at either"
        )
    there = "has no such domain" if far == ABSENT else f"is {far}"
    return (
        f"the {side}'s libvirt does not answer, and the destination {there}: see with `virsh"
        " domstate` at the source where the guest is"
    )


def _without(near: str, far: str | None) -> str:
    here = "has no such domain any more" if near == ABSENT else f"is {near}"
    if far is None:
        return (
            f"the source {here}, and the destination's libvirt does not answer: see there, with"
            " `virsh domstate`, whether the guest is there"
        )
    if far in WITHOUT:
        return f"the source {here}, and the guest is not at the destination either"
    return f"the source {here}; the guest is at the destination, {far}"
