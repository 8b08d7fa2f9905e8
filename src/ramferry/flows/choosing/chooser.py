"""Chooses each packet's method, or level: puts together what was measured, has it decided,
publishes it."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ramferry.flows.choosing.adaptive import AdaptiveEncoder
from ramferry.flows.choosing.book import Book
from ramferry.flows.choosing.cores import Cores
from ramferry.flows.choosing.costs import ByteCost
from ramferry.flows.choosing.encoders import Encoders
from ramferry.flows.choosing.link import LinkGauge
from ramferry.flows.choosing.load import host_mark
from ramferry.flows.choosing.nearness import Nearness
from ramferry.flows.choosing.record import Record
from ramferry.flows.choosing.trials import Trials
from ramferry.flows.session.session import Session
from ramferry.flows.session.tally import ChannelTally
from ramferry.metrics.choosing import Choosing
from ramferry.policy.choice import Choice
from ramferry.policy.deciding import decide
from ramferry.policy.link import LinkRate
from ramferry.policy.measurements import NONE, Candidate, Host, Measurements, PageClass
from ramferry.policy.trials import Plan, allowance, next_trial, plan, yardstick_of
from ramferry.transport.connection import Connection
from ramferry.wire.relay_messages import Load

EVERY: Final = 0.5
"""Seconds between two decisions. One takes 1.7 ms of a core, so that four a second were nearly all
that the policy may take where a slow link leaves the cores at rest."""
QUICK_EVERY, QUICK_SECONDS = 0.25, 3.0
"""The same in a migration's first seconds."""
EARLY_EVERY, EARLY_SECONDS = 0.05, 0.6
"""The same before, until one stays: what goes uncompressed over a slow link is lost."""
IDLE_EVERY: Final = 0.02
"""Seconds between two looks at the link in that time, until it is known: they take a system call
for each connection. Over 1 Gbit/s it was known after 0.12 s, and after 0.14 with a look at each
decision."""
PLAN_EVERY: Final = 1.0
"""Seconds between two plans for trials."""
UNKNOWN: Final = Host(math.inf)
"""A host that tells nothing."""


@dataclass(frozen=True, slots=True)
class Way:
    """What a migration's way onward has."""

    candidates: tuple[Candidate, ...]
    """Those that there are; ``NONE`` is one."""
    load: Callable[[], Load | None] | None
    """What the far end told lately; it returns None if that is nothing, and the far end is taken to
    be like this one. None where the far end is a QEMU, which tells nothing: it is taken to limit
    nothing."""
    connections: Callable[[], Sequence[Connection]]
    """Those that carry its pages."""
    member_size: str
    """One of ``vocabulary.MEMBER_SIZES``, for ``qatzip``."""
    accelerator: str
    """One of ``vocabulary.ACCELERATORS``."""
    token: bytes = b""
    """The migration's, where the far end tells."""
    method: str = ""
    """The one of all packets; empty: each may have its own."""
    cap: float = 0.0
    """Bytes a second that may be sent; 0: no cap."""


class Chooser:
    """Chooses for one migration; a ``Chosen``. ``look`` is called in one thread, the encoders that
    it makes are used in their channels'."""

    methods: Mapping[PageClass, Candidate] = dict.fromkeys(PageClass, NONE)
    """What is chosen; never changed, only replaced by another one."""
    plain = True
    """Whether that is to compress nothing."""

    def __init__(self, session: Session, way: Way) -> None:
        self._session, self._way = session, way
        self.method = way.method
        """See ``Way``."""
        self._book = Book(way.candidates)
        self._adaptive: list[AdaptiveEncoder] = []
        self._lock = threading.Lock()
        self.trials = Trials(
            self.codecs(),
            yardstick_of(way.candidates),
            self._next_trial,
            self._book.tried,
            session.settings.page_size,
        )
        """Where channels leave copies of packets."""
        self._cores = Cores(session.settings.cpu_limit)
        self._cost = ByteCost(session.tally, comes=False)
        self._link = LinkGauge(way.cap)
        self.nearness = Nearness(session)
        """Is told of each round's end."""
        self._mark = host_mark(way.token)
        self._choice: Choice | None = None
        self._plan: Plan | None = None
        """What is worth a trial."""
        self._plan_at = 0.0
        self._far_seconds, self._paired = 0.0, time.monotonic()
        self._pair_seconds = 0.0
        """Core seconds of both ends so far."""
        self._record = Record(session.tally.started)
        self._next = self._decided = self._spent = 0.0

    def codecs(self) -> Encoders:
        """Encoders for one thread."""
        way = self._way
        page_size = self._session.settings.page_size
        return Encoders(page_size, way.accelerator, way.member_size, way.method)

    def encoder(self, tally: ChannelTally) -> AdaptiveEncoder:
        """Make the encoder of one channel, whose counters are ``tally``; called in any thread."""
        made = AdaptiveEncoder(self)
        tally.encoding.rest()
        tally.in_uses = lambda: made.seconds
        with self._lock:
            self._adaptive.append(made)
        return made

    def wants(self, kind: PageClass) -> bool:
        """Whether a packet of a class would be tried on now; called in any thread. Else one would
        be copied, and a thread woken, for nothing: 150 times in a second over 10 Gbit/s."""
        return self.trials.open and self._next_trial(kind) is not None

    def look(self) -> None:
        """Measure and decide, if it is time to."""
        now = time.monotonic()
        if now < self._next:
            return
        begun = time.thread_time()
        link = self._carried()
        # nothing is compressed and the link was not blocked yet: there is no hurry
        idle = self._choice is not None and self.plain and not link.known
        if not idle or now >= self._decided + QUICK_EVERY:
            self._decided = now
            self._decide(now, link)
        self._next = now + self._every(now, idle=idle)
        self._spent += time.thread_time() - begun

    def _carried(self) -> LinkRate:
        """What is known of the link."""
        tally = self._session.tally
        waited = sum(one.sending for one in tally.channels)
        return self._link.look(self._way.connections(), tally.bytes_out, waited)

    def _every(self, now: float, *, idle: bool) -> float:
        if self.early and (idle or self._choice is None or self._choice.provisional):
            return IDLE_EVERY if idle else EARLY_EVERY
        quick = now - self._session.tally.started < QUICK_SECONDS
        return QUICK_EVERY if quick else EVERY

    def close(self) -> None:
        """The migration has ended."""
        self.trials.close()

    # --- as what is told of a migration

    @property
    def line(self) -> str:
        """See ``Chosen``."""
        return self._choice.reason if self._choice is not None else ""

    @property
    def early(self) -> bool:
        """See ``Chosen``."""
        return time.monotonic() - self._session.tally.started < EARLY_SECONDS

    @property
    def wire_bytes(self) -> dict[str, int]:
        """See ``Chosen``."""
        sums: Counter[str] = Counter()
        for one in self._encoders:
            sums.update(dict(one.wire))
        return dict(sums)

    def result(self) -> Choosing:
        """See ``Chosen``."""
        pages: Counter[str] = Counter()
        for one in self._encoders:
            for use in list(one.uses.values()):
                pages[str(use.candidate)] += use.clock.size
        return Choosing(
            page_bytes=dict(pages),
            wire_bytes=self.wire_bytes,
            changes=self._record.changes,
            trials=self.trials.count,
            trial_seconds=round(self.trials.seconds, 4),
            policy_seconds=round(self._spent, 4),
            timeline=self._record.entries,
        )

    # --- the thread that looks

    @property
    def _encoders(self) -> list[AdaptiveEncoder]:
        with self._lock:
            return list(self._adaptive)

    def _decide(self, now: float, link: LinkRate) -> None:
        load = self._way.load() if self._way.load else None
        by = self._measured(load, link)
        self.trials.pause(on=by.frozen)
        # what was chosen before anything came over the link is nothing to hold on to
        last, choice = self._choice, decide(by, now, self._choice if by.link else None)
        self._pair_seconds = self._pair(now, load)
        if now >= self._plan_at:
            self._plan, self._plan_at = (
                plan(by, choice),
                now + (QUICK_EVERY if self.early else PLAN_EVERY),
            )
        self._choice, self.methods = choice, choice.methods
        self.plain = choice.plain
        if last is None or last.methods != choice.methods:
            self._record.add(choice, by, now)

    def _next_trial(self, kind: PageClass) -> Candidate | None:
        """Called in any thread."""
        if self._plan is None:
            return None
        allowed = allowance(self._pair_seconds, self.trials.seconds)
        return next_trial(self._plan, kind, self.trials.count, allowed)

    def _pair(self, now: float, load: Load | None) -> float:
        """Core seconds of this end, and as many of the far one as it told, or as many again."""
        near = self._cost.spent
        self._far_seconds += load.used * (now - self._paired) if load is not None else 0.0
        self._paired = now
        return near + (self._far_seconds or near)

    def _measured(self, load: Load | None, link: LinkRate) -> Measurements:
        """:param load: what the far end told lately."""
        self._book.read(use for one in self._encoders for use in list(one.uses.values()))
        near, far, one_host = self._hosts(load)
        return Measurements(
            shares=self._book.shares(),
            figures=self._book.figures(),
            near=near,
            far=far,
            one_host=one_host,
            link=link.rate,
            link_known=link.known,
            far_behind=load.behind if load else 0.0,
            frozen=self.nearness.look(),
            began=self._session.tally.started,
        )

    def _hosts(self, load: Load | None) -> tuple[Host, Host, bool]:
        """This host, the far one, and whether they are one."""
        spare = self._cores.spare()
        cost = self._cost.look(aside=self.trials.seconds + self._spent)
        threads = max(len(self._way.connections()), 1)
        if load is None:
            near = Host(min(spare.cores, threads), cost, cost)
            return near, near if self._way.load else UNKNOWN, False
        self._book.far_decodes(load.decode)
        one_host = bool(load.host) and load.host == self._mark
        cores = spare.cores + (load.used if one_host else 0.0)
        near = Host(min(cores, 2 * threads if one_host else threads), cost, cost)
        far = Host(min(load.cores, threads), load.byte_cost, load.byte_cost)
        return near, far, one_host
