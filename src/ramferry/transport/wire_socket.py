"""A socket with TLS that can be cut without being unwrapped."""

from __future__ import annotations

import socket
import ssl


class WireSocket(ssl.SSLSocket):
    """As Python's, except that ``shutdown`` ends the connection only.

    Python's also forgets the TLS, so that a thread that receives would go on in clear.
    """

    def shutdown(self, how: int) -> None:
        """See socket.socket."""
        socket.socket.shutdown(self, how)
