"""QMP for callers that do not speak asyncio: connect, execute, events, close.

The ``qemu.qmp`` library speaks the protocol. Here it runs in an event loop in a thread, so that
events are read at any time, and each failure becomes an error of ``ramferry.errors``.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

import msgspec
from msgspec import Meta
from qemu.qmp import ConnectError, ExecInterruptedError, ExecuteError, QMPClient, QMPError
from qemu.qmp.protocol import Runstate, StateError

from ramferry.control.hosts.contract import Host, Monitor
from ramferry.control.hosts.host import HERE
from ramferry.control.qemu.answers import checked
from ramferry.control.qemu.qmp_socket import connect_to_monitor, not_greeted
from ramferry.errors import MethodUnavailable, PeerTimeout, PeerUnreachable, UsageError
from ramferry.patience import Patience
from ramferry.typed import convert

CONNECT_SECONDS = 5.0
"""How long a QMP server may take to accept, greet and negotiate."""

EXECUTE_SECONDS = 30.0
"""How long one command may take; QEMU answers those of a migration within milliseconds."""

STEP_SECONDS = 0.25
"""Seconds between two checks of how long an answer has been awaited."""

CLOSE_SECONDS = 2.0
"""How long an unresponsive QEMU may delay ``close``."""

EVENT_NAMES = frozenset(
    {"MIGRATION", "MIGRATION_PASS", "STOP", "RESUME", "RESET", "SHUTDOWN", "GUEST_PANICKED"}
)
"""The events that are kept for ``Qmp.events``. All others are dropped, so that a guest cannot fill
memory with, for example, RTC_CHANGE."""

_LARGEST: Final = 1 << 62
"""No number of a timestamp is larger."""

# The library logs each failure that it also raises; without this the log's last resort would print
# them next to our own sentence.
logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Event:
    """An event of QMP."""

    name: str
    data: Mapping[str, Any]
    seconds: float
    """When it happened, in seconds since 1970 by the clock of QEMU's host."""


class Qmp:
    """One QMP connection; its methods may be called from any thread.

    Made by ``Qmp.connect``. A context manager that closes the connection.
    """

    def __init__(self, uri: str) -> None:
        """For ``connect`` only: an object that is not connected."""
        self.uri = uri
        self.peer_pid: int | None = None
        """The process at the far end of a ``unix:`` socket; None over TCP, or if the kernel cannot
        name it (another PID namespace)."""
        self._client = QMPClient()
        self._client.events.names = set(EVENT_NAMES)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"qmp {uri}", daemon=True)

    @classmethod
    def connect(cls, uri: str, timeout: float = CONNECT_SECONDS, host: Host = HERE) -> Self:
        """Connect to the QMP server at ``uri`` ("qmp:PATH" or "qmp:HOST:PORT") within ``timeout``
        seconds.

        :param host: where it runs; if ssh leads there, ``uri`` is "ssh://HOST/PATH".
        :raise UsageError: ``uri`` is malformed.
        :raise PeerUnreachable: nobody listens, the peer stays silent, or it is not a QEMU.
        """
        connection = connect_to_monitor(uri, timeout, host)
        qmp = cls(uri)
        qmp.peer_pid = connection.peer_pid
        qmp._thread.start()
        try:
            qmp._greet(connection, timeout)
        except Exception:
            qmp.close()
            connection.close()
            raise
        except BaseException:
            qmp._stop()
            connection.close()
            raise
        return qmp

    @property
    def version(self) -> tuple[int, int, int]:
        """QEMU's version, as its greeting said: (7, 2, 22)."""
        greeting = self._client.greeting
        if greeting is None:
            raise UsageError(f"the QMP connection {self.uri} is closed")
        qemu: Any = greeting.QMP.version["qemu"]
        return int(qemu["major"]), int(qemu["minor"]), int(qemu["micro"])

    @property
    def connected(self) -> bool:
        """False once the peer has ended the connection."""
        return self._client.runstate is Runstate.RUNNING

    def execute(
        self,
        command: str,
        arguments: Mapping[str, object] | None = None,
        *,
        timeout: float = EXECUTE_SECONDS,
    ) -> Any:
        """Run one command and return what QEMU returned: JSON as Python values.

        :param timeout: seconds until an unanswered command is given up; QEMU may still run it.
        :raise MethodUnavailable: QEMU refused, for the reason in the sentence.
        :raise PeerTimeout: no answer came in time.
        :raise PeerUnreachable: the connection ended; the QEMU has most likely ended too. Or what
            answers is not a QEMU.
        """
        try:
            return checked(command, self._call(self._client.execute(command, arguments), timeout))
        except TimeoutError:
            raise PeerTimeout(
                f"the QEMU at {self.uri} did not answer {command} within {timeout:g} s"
            ) from None
        except ExecuteError as error:
            reason = str(error).rstrip(".")
            raise MethodUnavailable(
                f"the QEMU at {self.uri} refuses {command}: {reason}"
            ) from error
        except (ExecInterruptedError, StateError) as error:
            raise PeerUnreachable(
                f"the QMP connection {self.uri} ended at {command}: the QEMU may have exited"
            ) from error
        except (QMPError, msgspec.ValidationError) as error:
            raise PeerUnreachable(
                f"what answers at {self.uri} is not a QEMU: {command} got no valid reply"
            ) from error

    def events(self, timeout: float = 0.0) -> list[Event]:
        """Take the events of ``EVENT_NAMES`` that arrived since the last call, oldest first.

        Waits up to ``timeout`` seconds for the first one. Returns an empty list if none came, also
        after the connection has ended.

        :raise PeerUnreachable: one is not as QEMU's are.
        """
        messages = self._call(self._take_events(timeout), None)
        try:
            return [_event(message) for message in messages]
        except msgspec.ValidationError as error:
            raise PeerUnreachable(
                f"what answers at {self.uri} is not a QEMU: it sends an event that is not QMP's"
            ) from error

    def close(self) -> None:
        """End the connection; QEMU runs on. A second call does nothing."""
        if self._loop.is_closed():
            return
        try:
            with suppress(Exception):
                # Whatever ended the connection was told to whoever executed a command. The library
                # raises it here once more, of any class: its reader lets out what JSON and a
                # message of another shape make Python raise.
                self._call(self._client.disconnect(), CLOSE_SECONDS)
        finally:
            self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _greet(self, connection: Monitor, timeout: float) -> None:
        try:
            self._call(self._client.connect(connection.raw), timeout)
            self.version  # noqa: B018  a greeting without a version is not QEMU's
        except TimeoutError:
            raise not_greeted(self.uri, timeout) from None
        except (ConnectError, AssertionError, KeyError, TypeError, ValueError) as error:
            # AssertionError: its reader may end before the library looks whether it has begun
            cause = error.exc if isinstance(error, ConnectError) else error
            hung_up = isinstance(cause, (EOFError, OSError))
            what = "it closes the connection" if hung_up else "its greeting is not QMP's"
            raise PeerUnreachable(f"what answers at {self.uri} is not a QEMU: {what}") from error

    def _call(self, work: Coroutine[Any, Any, Any], timeout: float | None) -> Any:
        """Run ``work`` in the loop's thread, and cancel it on a timeout or an interruption.

        :param timeout: seconds; None if ``work`` ends by itself.
        :raise TimeoutError: it did not end in time.
        """
        if self._loop.is_closed():
            work.close()
            raise UsageError(f"the QMP connection {self.uri} is closed")
        bounded = work if timeout is None else _bounded(work, timeout)
        future: Future[Any] = asyncio.run_coroutine_threadsafe(bounded, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _take_events(self, timeout: float) -> list[Mapping[str, Any]]:
        first: list[Mapping[str, Any]] = []
        if self._client.events.empty() and timeout > 0:
            with suppress(TimeoutError):
                first.append(await asyncio.wait_for(self._client.events.get(), timeout))
        return first + list(self._client.events.clear())

    def _stop(self) -> None:
        """End the loop and its thread, and whatever still runs in it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        """The thread's function: run the loop until ``close`` stops it, then end what is left in
        it."""
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(_end_tasks())
            self._loop.close()


async def _bounded(work: Coroutine[Any, Any, Any], timeout: float) -> Any:
    """Await ``work`` for at most ``timeout`` seconds, in short steps. After this process was
    stopped, a single timer would go off before an answer that came meanwhile is read."""
    task, patience = asyncio.ensure_future(work), Patience(timeout)
    try:
        while not patience.over:
            done, _ = await asyncio.wait({task}, timeout=min(patience.left, STEP_SECONDS))
            if done:
                return task.result()
        raise TimeoutError
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _end_tasks() -> None:
    """Cancel the loop's other tasks: a command that nobody waits for, a stuck disconnect."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


class _Stamp(msgspec.Struct, frozen=True):
    seconds: Annotated[int, Meta(ge=-_LARGEST, le=_LARGEST)] = 0
    microseconds: Annotated[int, Meta(ge=-_LARGEST, le=_LARGEST)] = 0


class _Message(msgspec.Struct, frozen=True):
    event: str
    timestamp: _Stamp = _Stamp()
    data: dict[str, Any] = {}


def _event(message: Mapping[str, Any]) -> Event:
    """:raise msgspec.ValidationError: it is not as QEMU's are."""
    said = convert(message, _Message)
    return Event(said.event, said.data, said.timestamp.seconds + said.timestamp.microseconds / 1e6)
