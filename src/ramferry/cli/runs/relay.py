"""What ``ramferry relay`` does; its options are in ``cli.relay``."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Final
from uuid import UUID

from ramferry import interruption
from ramferry.cli.extras import telling_extras
from ramferry.cli.logs.entry import JSON
from ramferry.cli.logs.log import Log
from ramferry.cli.params import is_given, level_of
from ramferry.cli.relay_printer import RelayPrinter, RelayTold
from ramferry.cli.service import RELOAD, Service, told
from ramferry.cli.supervision import Supervision
from ramferry.cli.tls_settings import refuse_idle_authz, refuse_idle_creds, tls_settings
from ramferry.errors import Cancelled, RamferryError, UsageError
from ramferry.flows.relay import Relay
from ramferry.flows.settings import RelaySettings
from ramferry.metrics import RelayResult
from ramferry.metrics.notes import Level, Note, warning
from ramferry.patience import Patience
from ramferry.transport import inherited_credentials
from ramferry.transport.address import Address, RelayAddress, parse_address
from ramferry.transport.notify import Notifier
from ramferry.transport.security import IN_THIS_HOST, Security

_LAST_WORDS: Final = 1.0
"""Seconds that an ending relay waits for the readers of its results, and again for those of its
log; an orchestrator kills it after 5 s (``control.migrate.relay_child``)."""

_DESCRIPTORS: Final = 4096
"""As many as a relay may use: 255 channels on both sides, and callers that are not known yet."""


def run(*, once: bool, log_format: str, **options: Any) -> None:
    """Run it, with the values of its options."""
    log = Log("ramferry relay", log_format)
    try:
        result = _carry(log, once=once, **options)
    except RamferryError as error:
        if log_format != JSON:
            raise
        log.say(Note(str(error), Level.ERROR), {"exit_code": error.exit_code})
        sys.exit(error.exit_code)
    finally:
        log.close(Patience(_LAST_WORDS))
    if once and result is not None:
        sys.exit(result.exit_code)


def _carry(
    log: Log,
    *,
    once: bool,
    json_file: IO[str] | None,
    events: bool,
    metrics: str | None,
    drain: float,
    **wanted: Any,
) -> RelayResult | None:
    if events and sys.stdout is None:
        raise UsageError("--events writes to standard output, which is closed")
    settings = _settings(**wanted)
    if once and settings.max_migrations > 1:
        raise UsageError("--once carries one migration: it does not go with --max-migrations")
    stop = _Stop()
    _more_descriptors()
    with _served(metrics, settings, log) as collects:
        printer = RelayPrinter(settings, log, events=events, results=json_file, metrics=collects)
        try:
            result = _relay(
                settings, printer, stop, drain, _reader(**wanted), events=events, once=once
            )
        finally:
            printer.close(Patience(_LAST_WORDS))
    if once and result is None:
        raise Cancelled("ended before any migration came")
    return result


def _relay(
    settings: RelaySettings,
    printer: RelayPrinter,
    stop: _Stop,
    drain: float,
    read: Callable[[], Security] | None,
    *,
    events: bool,
    once: bool,
) -> RelayResult | None:
    """Run a relay; ``drain`` and ``read`` are as ``Service`` takes them."""
    _warn(settings, printer, of_certificates=read is not None)
    # whoever reads the events has started it, not a manager that started that one
    notifier = Notifier({} if events else os.environ)
    supervision = Supervision(printer, notifier)
    relay = Relay(settings, supervision)
    stop.tell(Service(relay, supervision, drain, read).heed)
    if events:
        relay.watch_parent(sys.stdout.fileno())
    try:
        return relay.run(once=once)
    finally:
        notifier.close()
        signal.signal(RELOAD, signal.SIG_IGN)


@contextmanager
def _served(address: str | None, settings: RelaySettings, log: Log) -> Iterator[RelayTold | None]:
    """Serve metrics at an address, if there is one; what they have to be told is told to what is
    yielded."""
    if address is None:
        yield None
        return
    with telling_extras():
        from ramferry.telemetry.collector import RelayMetrics
        from ramferry.telemetry.server import MetricsServer, parse_metrics_address
    metrics = RelayMetrics(settings.method)
    server = MetricsServer(parse_metrics_address(address), metrics.registry, log.say)
    try:
        where = str(server.address).removeprefix("tcp:")
        log.say(f"metrics at {where}")
        if server.exposed:
            log.say(warning(f"whoever reaches {where} reads the metrics: in clear, unasked who"))
        yield metrics
    finally:
        server.close()


def _warn(settings: RelaySettings, printer: RelayPrinter, *, of_certificates: bool) -> None:
    """Tell what the settings mean that a person may not expect."""
    security = settings.security or IN_THIS_HOST
    sentences = security.consented(settings.listen, settings.connect)
    for sentence in [*sentences, *(told(security) if of_certificates else [])]:
        printer.note(warning(sentence))


def _reader(
    *, tls_creds: Path | None, tls_authz: tuple[str, ...], insecure: bool, **_: Any
) -> Callable[[], Security] | None:
    """What reads the credentials again; None where they come from no folder."""
    return partial(tls_settings, tls_creds, tls_authz, insecure) if tls_creds else None


def _settings(
    *,
    listen: str,
    connect: str,
    max_bandwidth: float,
    page_size: str,
    uuid: UUID | None,
    tls_creds: Path | None,
    tls_creds_fd: int | None,
    tls_authz: tuple[str, ...],
    insecure: bool,
    level: int | str | None,
    **same: Any,
) -> RelaySettings:
    """:param same: options that the settings have by the same names."""
    number, auto = level_of(level)
    addresses = parse_address(listen), parse_address(connect)
    _refuse_idle(addresses, same)
    _refuse_alone(addresses, same)
    return RelaySettings(
        *addresses,
        level=number,
        auto_level=auto,
        security=_security(addresses, tls_creds, tls_creds_fd, tls_authz, insecure),
        max_bandwidth=max_bandwidth,
        page_size=int(page_size),
        uuid=uuid.bytes if uuid else None,
        **same,
    )


def _refuse_idle(addresses: tuple[Address, Address], options: Mapping[str, Any]) -> None:
    """:raise UsageError: an option was given that is for ``relay:``, and there is none."""
    if any(isinstance(one, RelayAddress) for one in addresses):
        return
    for option in ("verify", "decide"):
        if options[option] and is_given(option):
            raise UsageError(
                f"--{option} is for two Ramferrys that know each other (relay:), and neither"
                " address is relay:"
            )


def _refuse_alone(addresses: tuple[Address, Address], options: Mapping[str, Any]) -> None:
    """:raise UsageError: an option was given for a stream that only two Ramferrys can carry."""
    if any(isinstance(one, RelayAddress) for one in addresses):
        return
    for option in ("allow_no_return_path", "any_stream"):
        if options[option]:
            raise UsageError(
                f"--{option.replace('_', '-')} is for what travels between two Ramferrys (relay:),"
                " and neither address is relay:"
            )


def _security(
    addresses: tuple[Address, Address],
    folder: Path | None,
    fd: int | None,
    allowed: tuple[str, ...],
    insecure: bool,
) -> Security:
    if fd is not None:
        if folder is not None or allowed or insecure:
            raise UsageError("--tls-creds-fd takes no other option of TLS beside it")
        return inherited_credentials.inherited(fd)
    security = tls_settings(folder, allowed, insecure)
    refuse_idle_authz(security, addresses[0])
    refuse_idle_creds(security, *addresses)
    return security


class _Stop:
    """The process's signals, as wishes to the relay.

    They are handled before anything listens, or a signal between would leave the socket's path
    behind. Blocking them instead would not do: a library's thread that does not block them gets
    them.
    """

    def __init__(self) -> None:
        self._early: list[int] = []
        self._heed: Callable[[int], None] = self._early.append
        interruption.handle(lambda got, _: self._heed(got))
        signal.signal(RELOAD, lambda got, _: self._heed(got))

    def tell(self, heed: Callable[[int], None]) -> None:
        """Call ``heed`` for each signal from now on, and for those that came before."""
        self._heed = heed
        for got in self._early:
            heed(got)


def _more_descriptors() -> None:
    """Raise this process's own limit, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
