"""Refusals: what a libvirt domain is not given to, and what is done instead."""

from __future__ import annotations

from typing import Final

from ramferry.control.libvirt.uri import is_libvirt, parse_domain
from ramferry.errors import UsageError

_OWN: Final = (
    "its QEMU's monitor, and what the domain is afterwards, are libvirt's, and a command of"
    " another's there would mark the domain as tainted"
)


def refuse_save(uri: str) -> None:
    """:raise UsageError: the guest to be saved is a libvirt domain's."""
    if is_libvirt(uri):
        name = parse_domain(uri).name
        raise UsageError(
            f"a libvirt domain is saved by libvirt: {_OWN}. `virsh save {name} FILE` saves and"
            " stops it (`ramferry inspect FILE` looks into that); or give its QEMU a second"
            " monitor (-qmp in <qemu:commandline>) and name that, qmp:PATH"
        )


def refuse_doctor(uri: str | None) -> None:
    """:raise UsageError: the doctor is to look at a libvirt domain."""
    if uri is not None and is_libvirt(uri):
        domain = parse_domain(uri)
        raise UsageError(
            "the doctor looks at hosts, not at guests: `ramferry doctor --user libvirt-qemu` says"
            f" what libvirt's QEMUs may do here, `ramferry plan time {domain}` what a migration"
            " would take, and `ramferry migrate` checks the domain before it touches anything"
        )


def refuse_restore(uri: str) -> None:
    """:raise UsageError: the guest is to come into a libvirt domain."""
    if is_libvirt(uri):
        raise UsageError(
            "a file of `ramferry save` cannot come into a libvirt domain, which libvirt alone"
            " starts: restore it into a QEMU that waits with -incoming defer, qmp:PATH; what"
            " `virsh save` wrote comes back by `virsh restore`"
        )
