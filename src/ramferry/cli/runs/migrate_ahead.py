"""``ramferry migrate --method auto --relay none``: which of the QEMUs' own methods carries it.

It is chosen once, before anything is touched, by a forecast of each (``forecast.ahead``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ramferry.allowance import allowed_cores
from ramferry.cli.terminal import Terminal
from ramferry.control.hosts.ssh_uri import is_ssh
from ramferry.control.libvirt.uri import is_libvirt
from ramferry.control.migrate.own_methods import own_methods
from ramferry.control.migrate.relay_options import need_relays_that_meet
from ramferry.control.migrate.route import RelayMode, Wish
from ramferry.control.plan.guest_memory import qemu_memory
from ramferry.control.qemu.end import QemuEnd, open_end
from ramferry.control.qemu.party import Party
from ramferry.control.qemu.probe import COUNTS_WIRE_BYTES
from ramferry.control.qemu.ready import check_destination, check_source
from ramferry.errors import Cancelled, HostError, MethodUnavailable, UsageError
from ramferry.forecast.choice import pick
from ramferry.forecast.estimate import Conditions
from ramferry.forecast.sampling import MemorySample, draw
from ramferry.vocabulary import AUTO

MORE = "relays at both ends (--method auto without --relay none) could change it as it goes"


def chosen_ahead(source: str, destination: str, wish: Wish, link: float | None) -> float | None:
    """The rate of the link to choose by, in bytes a second, 0 if it limits nothing; None if the
    method is not chosen ahead.

    :param link: as the operator gave it.
    :raise UsageError: it is to be chosen, and nothing is known of the link; or ``link`` is given
        for nothing; or options contradict each other.
    """
    by_qemus = not (is_libvirt(source) or is_ssh(destination) or wish.via)
    if wish.method != AUTO or wish.relay is not RelayMode.NONE or not by_qemus:
        if link is not None:
            raise UsageError(
                "--link is for --method auto with --relay none, between QEMUs at qmp: addresses,"
                " whose method is chosen before the start: leave out --link"
            )
        return None
    need_relays_that_meet(wish, meeting=False)
    if link is None and not wish.max_bandwidth:
        raise UsageError(
            "--method auto with --relay none chooses before the start, when nothing is known of the"
            " link: add --link RATE with what it carries, such as 1Gbit"
        )
    return min((one for one in (link, wish.max_bandwidth) if one), default=0.0)


def chosen(source: str, destination: str, wish: Wish, link: float, at: Terminal) -> Wish:
    """The wish with a method and a level; a sentence at the terminal says why it is these.

    :param link: as ``chosen_ahead`` gave it.
    :raise RamferryError: a QEMU is not ready, or the source's memory cannot be sampled.
    :raise ModuleNotFoundError: a library of the extra ``bench`` is not installed, which no other
        migration needs.
    """
    from ramferry.forecast.ahead import foresee, reason

    with open_end("destination", destination, wish.hosts.destination) as end:
        check_destination(end)
        facts, beside = end.facts, end.party.host.starts
    with open_end("source", source, wish.hosts.source) as end:
        check_source(end)
        ladders, missing = own_methods(end.facts, facts, wish)
        if len(ladders) == 1:
            at.note(f"none is all that these QEMUs can do here by themselves, as {missing}; {MORE}")
            return replace(wish, method="none")
        conditions = _conditions(wish, link, end.party, one_host=beside)
        with at.screen.status("") as status:
            heed = _heeding(at, status.update)
            sample = _sample(end, wish.page_size, heed)
            methods = foresee(sample, ladders, conditions, wish.accelerator, heed)
    best = pick(methods)
    at.note(f"{reason(best, methods, link)}; {MORE}")
    return replace(wish, method=best.method, level=best.level)


def _conditions(wish: Wish, link: float, source: Party, *, one_host: bool) -> Conditions:
    """With the cores of the source's QEMU, which compresses; the destination is taken to have as
    many. A source that is no process of this host gives no sample, and so has no forecast."""
    return Conditions(
        link_rate=link,
        cores=allowed_cores(wish.cpu_limit, source.process.pid if source.process else 0),
        channels=wish.channels,
        one_host=one_host,
        downtime_limit_ms=wish.downtime_limit_ms,
        waits_busy=source.facts.version < COUNTS_WIRE_BYTES,
    )


def _sample(end: QemuEnd, page_size: int, heed: Callable[[str], None]) -> MemorySample:
    """:raise RamferryError: it cannot be taken; the sentence says why, and what to do."""

    def piece(at: int, size: int) -> bytes:
        heed("")
        return read(at, size)

    heed("drawing a sample")
    try:
        with qemu_memory(end, None) as (total, read):
            return draw(end.party.uri, total, piece, page_size=page_size)
    except (HostError, MethodUnavailable, UsageError) as error:
        raise error.reworded(
            "--method auto with --relay none needs a sample of the guest, as `ramferry plan time`"
            f" takes it, and {error}; or name a method with --method"
        ) from error


def _heeding(at: Terminal, begun: Callable[[str], None]) -> Callable[[str], None]:
    def heed(what: str) -> None:
        if at.stop.is_set():
            raise Cancelled("cancelled before the migration began; the guest was not touched")
        if what:
            begun(what)

    return heed
