"""Serves a relay's metrics to Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, make_wsgi_app

from ramferry.errors import UsageError
from ramferry.metrics.notes import warning
from ramferry.transport.address import Place, is_local, parse_place
from ramferry.transport.http import HttpServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def parse_metrics_address(text: str) -> Place:
    """Read ``HOST:PORT`` or ``unix:PATH``.

    :raise UsageError: it is neither.
    """
    known = text.startswith(("unix:", "tcp:", "tls:", "relay:"))
    try:
        return parse_place(text if known else f"tcp:{text}")
    except UsageError as error:
        raise UsageError(
            f"{text!r} is no address for metrics: write HOST:PORT or unix:PATH"
        ) from error


class MetricsServer:
    """Serves a registry at an address until it is closed."""

    def __init__(
        self, address: Place, registry: CollectorRegistry, note: Callable[[str], None]
    ) -> None:
        """Listen, and begin to answer.

        :param note: told, in the server's thread, why an answer could not be made.
        :raise HostError: the address is in use, or this process may not use it.
        """
        self._note = note
        self._app = make_wsgi_app(registry, disable_compression=True)
        self._server = HttpServer(address, self._answer, "metrics")
        self.close = self._server.close

    @property
    def address(self) -> Place:
        """Where it listens, with the port that it was given."""
        return self._server.address

    @property
    def exposed(self) -> bool:
        """Whether other hosts may ask."""
        return not is_local(self.address)

    def _answer(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        try:
            body: Iterable[bytes] = self._app(environ, start)
        except Exception as error:
            self._note(warning(f"the metrics could not be told: {error!r}"))
            start("500 Internal Server Error", [("Content-Type", "text/plain")])
            return [b"the metrics could not be told\n"]
        return body
