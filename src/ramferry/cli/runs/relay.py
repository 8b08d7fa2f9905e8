"""What ``ramferry relay`` does; its options are in ``cli.relay``."""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final
from uuid import UUID

from ramferry import interruption, standard
from ramferry.cli.line_writer import LineWriter
from ramferry.cli.params import is_given
from ramferry.cli.tls_settings import refuse_idle_authz, refuse_idle_creds, tls_settings
from ramferry.errors import Cancelled, UsageError
from ramferry.flows.relay import Relay
from ramferry.flows.settings import RelaySettings
from ramferry.metrics import RelayCounters, RelayResult, shown_backend
from ramferry.metrics.document import document
from ramferry.patience import Patience
from ramferry.transport import inherited_credentials
from ramferry.transport.address import Address, RelayAddress, parse_address
from ramferry.transport.security import IN_THIS_HOST, Security

_LAST_WORDS: Final = 2.0
"""Seconds that an ending relay waits for its readers; an orchestrator kills it after 5 s
(``control.migrate.relay_child``)."""

_DESCRIPTORS: Final = 4096
"""As many as a relay may use: 255 channels on both sides, and callers that are not known yet."""


def run(*, once: bool, json_file: IO[str] | None, events: bool, **wanted: Any) -> None:
    """Run it, with the values of its options."""
    if events and sys.stdout is None:
        raise UsageError("--events writes to standard output, which is closed")
    settings = _settings(**wanted)
    stop = _Stop()
    _more_descriptors()
    printer = _Printer(settings, events=events, results=json_file)
    for sentence in (settings.security or IN_THIS_HOST).consented(
        settings.listen, settings.connect
    ):
        printer.note(sentence)
    relay = Relay(settings, printer)
    stop.tell(relay.stop, relay.leave)
    if events:
        relay.watch_parent(sys.stdout.fileno())
    try:
        result = relay.run(once=once)
    finally:
        printer.close()
    if not once:
        return
    if result is None:
        raise Cancelled("ended before any migration came")
    sys.exit(result.exit_code)


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
    **same: Any,
) -> RelaySettings:
    """:param same: options that the settings have by the same names."""
    addresses = parse_address(listen), parse_address(connect)
    _refuse_idle(addresses, same)
    _refuse_alone(addresses, same)
    return RelaySettings(
        *addresses,
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
    """The process's signals, as wishes to stop the relay; SIGHUP says that whoever started it has
    gone.

    They are handled before anything listens, or a signal between would leave the socket's path
    behind. Blocking them instead would not do: a library's thread that does not block them gets
    them.
    """

    def __init__(self) -> None:
        self._early: list[int] = []
        self._heed: Callable[[int], None] = self._early.append
        interruption.handle(lambda got, _: self._heed(got))

    def tell(self, stop: Callable[[str], None], leave: Callable[[str], None]) -> None:
        """Call ``leave`` for each SIGHUP from now on, ``stop`` for each other signal, and for
        those that came before."""

        def heed(got: int) -> None:
            (leave if got == signal.SIGHUP else stop)(signal.Signals(got).name)

        self._heed = heed
        for got in self._early:
            heed(got)


class _Printer:
    """Sentences on stderr; JSON lines on stdout and results in a file where asked for.

    None of its readers can make the relay wait: progress that was not read gives way to the next.
    """

    def __init__(self, settings: RelaySettings, *, events: bool, results: IO[str] | None) -> None:
        self._settings = settings
        self._notes = _writer(sys.stderr, lost=_lost, instead=standard.log)
        # where a pipe broke, the loop watches it and ends the relay in the right order
        self._events = _writer(sys.stdout) if events else None
        self._results = _writer(results, self._unwritten) if results is not None else None

    def listening(self, address: Address) -> None:
        self._emit("listening", {"uri": str(address)})
        if self._events is None:
            relayed = isinstance(address, RelayAddress)
            how = f" ({_wrapping(self._settings, address)})" if relayed else ""
            self.note(f"listening on {address}{how}")

    def progress(self, counters: RelayCounters) -> None:
        self._emit("progress", asdict(counters), passing=True)

    def finished(self, result: RelayResult) -> None:
        fields = asdict(result)
        fields["counters"]["ratio"] = result.counters.ratio
        self._emit("finished", fields)
        if self._results is not None:
            self._results.say(json.dumps(document("relay", fields)))
        self.note(_sentence(result, self._settings))

    def note(self, text: str) -> None:
        # a terminal or log that went away is no reason to drop a guest on its way: the system's
        # log is told then
        if self._notes is not None:
            self._notes.say(f"ramferry relay: {text}")

    def close(self) -> None:
        """Write what is queued, if anybody reads it."""
        patience = Patience(_LAST_WORDS)
        for writer in (self._results, self._events, self._notes):
            if writer is not None:
                writer.close(patience)

    def _unwritten(self, error: OSError) -> None:
        self.note(f"the result could not be written: {error.strerror}")

    def _emit(self, event: str, fields: dict[str, Any], *, passing: bool = False) -> None:
        if self._events is not None:
            self._events.say(json.dumps({"event": event, **fields}), passing=passing)


def _writer(
    stream: IO[str] | None,
    failed: Callable[[OSError], None] = lambda _: None,
    lost: Callable[[int], str] = lambda _: "",
    instead: Callable[[str], None] = lambda _: None,
) -> LineWriter | None:
    """A writer for a stream; None if the caller closed it."""
    return None if stream is None else LineWriter(stream.fileno(), failed, lost, instead)


def _lost(count: int) -> str:
    return f"ramferry relay: {count} sentences were not read in time and are lost"


def _more_descriptors() -> None:
    """Raise this process's own limit, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _sentence(result: RelayResult, settings: RelaySettings) -> str:
    if not result.completed:
        return f"failed: {result.error}"
    if result.kind != "multifd":
        return _plain_sentence(result, settings)
    counters = result.counters
    methods = f"{result.method_in or 'no data'} → {result.method_out}"
    return (
        f"carried {counters.normal_bytes / 1e6:.0f} MB of pages as "
        f"{counters.bytes_out / 1e6:.0f} MB in {counters.seconds:.1f} s "
        f"({methods}, {shown_backend(result.backend, result.member_size) or 'no codec'}"
        f"{_protection(result, settings)})"
    )


def _plain_sentence(result: RelayResult, settings: RelaySettings) -> str:
    """What was carried of something that has no multifd channels."""
    counters = result.counters
    what = "a plain stream" if result.kind == "plain" else "a stream"
    over = f" over {result.streams} connections" if result.streams else ""
    return (
        f"carried {counters.bytes_in / 1e6:.0f} MB of {what} as {counters.bytes_out / 1e6:.0f} MB"
        f"{over} in {counters.seconds:.1f} s "
        f"({shown_backend(result.backend, result.member_size) or 'no codec'}"
        f"{_protection(result, settings)})"
    )


def _protection(result: RelayResult, settings: RelaySettings) -> str:
    """How the bytes travelled from and to other Ramferrys; empty if there were none."""
    ways = (settings.listen, result.agreed_in), (settings.connect, result.agreed_out)
    told = [
        f"{_wrapping(settings, address)}, {'verified' if agreed.digest else 'not verified'}"
        for address, agreed in ways
        if agreed is not None
    ]
    return f", {' → '.join(told)}" if told else ""


def _wrapping(settings: RelaySettings, address: Address) -> str:
    encrypted = (settings.security or IN_THIS_HOST).encrypts(address)
    return "TLS" if encrypted else "in clear"
