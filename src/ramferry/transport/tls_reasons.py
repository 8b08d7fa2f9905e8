"""What went wrong with TLS, in words: OpenSSL's codes become sentences.

Each phrase is about the other side, ``it``.
"""

from __future__ import annotations

import ssl
from typing import Final

CUT: Final = "it was cut, not closed: the stream ended without TLS's close_notify"
PLAINTEXT: Final = "it does not speak TLS: plaintext came in its place"

_VERIFY: Final = {
    9: "its certificate is not valid yet; is the clock of either host right?",
    10: "its certificate has expired",
    12: "the revocation list of this side (ca-crl.pem) has expired",
    18: "nobody vouches for its certificate, which it signed itself",
    19: "its certificate is from another authority than those in this side's ca-cert.pem",
    20: "its certificate is from another authority than those in this side's ca-cert.pem",
    21: "its certificate is from another authority than those in this side's ca-cert.pem",
    23: "its certificate was revoked",
    26: "its certificate is not for this use: a side that listens needs one for a server, a side "
    "that connects one for a client",
}
"""By X509_V_ERR codes of OpenSSL (x509_vfy.h)."""
_NAMES: Final = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""

_ALERTS: Final = {
    "UNKNOWN_CA": "it does not know the authority of this side's certificate",
    "CERTIFICATE_EXPIRED": "it says that this side's certificate has expired, or is not valid yet",
    "CERTIFICATE_REVOKED": "it says that this side's certificate was revoked",
    "CERTIFICATE_REQUIRED": "it wants a certificate, and this side showed none",
    "CERTIFICATE_UNKNOWN": "it does not accept this side's certificate",
    "BAD_CERTIFICATE": "it does not accept this side's certificate",
    "UNSUPPORTED_CERTIFICATE": "this side's certificate is not for this use",
    "ACCESS_DENIED": "it does not allow this side's certificate",
    "PROTOCOL_VERSION": "it speaks no version of TLS that this side speaks",
    "HANDSHAKE_FAILURE": "it and this side have no cipher, or no kind of certificate, in common",
    "INSUFFICIENT_SECURITY": "it finds this side's ciphers or keys too weak",
    "DECRYPT_ERROR": "it finds what this side signed damaged",
    "BAD_RECORD_MAC": "what this side sent was changed on the way",
    "UNRECOGNIZED_NAME": "it does not go by this name",
}
"""By the ends of OpenSSL's names for alerts that came (``TLSV1_ALERT_UNKNOWN_CA``)."""

_OWN: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it showed no certificate",
    "WRONG_VERSION_NUMBER": PLAINTEXT,
    "RECORD_LAYER_FAILURE": PLAINTEXT,
    "HTTP_REQUEST": PLAINTEXT,
    "UNSUPPORTED_PROTOCOL": "it speaks only versions of TLS that are too old here",
    "VERSION_TOO_LOW": "it speaks only versions of TLS that are too old here",
    "NO_SHARED_CIPHER": "it and this side have no cipher in common",
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": "what came was changed on the way",
    "EE_KEY_TOO_SMALL": "the key of its certificate is too short",
    "CA_KEY_TOO_SMALL": "the key of its authority's certificate is too short",
    "CA_MD_TOO_WEAK": "its certificate is signed by a digest that is broken",
}
"""By OpenSSL's names for what this side found."""


def is_plaintext(error: ssl.SSLError) -> bool:
    """Whether what came is no TLS at all."""
    return _OWN.get(error.reason or "") == PLAINTEXT


def why(error: ssl.SSLError, name: str = "") -> str:
    """A phrase for an error of TLS.

    :param name: the name that the other side's certificate has to bear.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _NAMES:
            return f"its certificate is for another name than {name}"
        other = f"its certificate cannot be verified ({error.verify_message})"
        return _VERIFY.get(error.verify_code, other)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLSyscallError):
        return CUT
    reason = error.reason or ""
    if reason in _OWN:
        return _OWN[reason]
    _, alert, told = reason.partition("_ALERT_")
    if alert and told in _ALERTS:
        return _ALERTS[told]
    return f"TLS failed ({reason or error})"
