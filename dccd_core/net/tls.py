"""What a failed TLS handshake means: mostly neither the network nor the venue is at fault."""

import ssl
from typing import Final

_CLOCK: Final = (9, 10)
"""OpenSSL's numbers of certificates that are not valid yet, or not any more."""
_NAME: Final = (62, 63, 64)
"""... and of those that are for another host, or another address."""
_UNDER_WAY: Final = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""No failures: TLS waits for the wire, as it did when time ran out."""
_PLAIN: Final = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNSUPPORTED_PROTOCOL")


def tls_trouble(error: BaseException) -> tuple[str, str] | None:
    """Return what TLS has to do with ``error`` or what caused it, and what helps; None if nothing."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"its TLS certificate is not trusted: {seen.verify_message}", _hint(seen.verify_code)
        if isinstance(seen, ssl.SSLError) and not isinstance(seen, _UNDER_WAY):
            return f"the TLS handshake failed: {_reason(seen)}", _other_hint(seen)
        seen = seen.__cause__ or seen.__context__
    return None


def _hint(code: int) -> str:
    if code in _CLOCK:
        return "see whether this machine's clock is right; else its owner has to renew it"
    if code in _NAME:
        return "see whether the address is that of the certificate (rest_url, ws_url)"
    return "what stands in between may sign by itself: have SSL_CERT_FILE name its certificate"


def _other_hint(error: ssl.SSLError) -> str:
    if error.reason in _PLAIN:
        return "it speaks no TLS there, or an old one: see to address and port (rest_url, ws_url)"
    return "see what stands in between: a proxy or a firewall may not let TLS through"


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
