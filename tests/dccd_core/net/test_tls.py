import ssl

import pytest

from dccd_core.net.tls import tls_trouble


def untrusted(code: int, said: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, said)
    error.verify_code, error.verify_message = code, said
    return error


@pytest.mark.parametrize(
    ("code", "said", "hint"),
    [
        (10, "certificate has expired", "clock"),
        (9, "certificate is not yet valid", "clock"),
        (62, "Hostname mismatch, certificate is not valid for 'a.example'", "ws_url"),
        (18, "self-signed certificate", "SSL_CERT_FILE"),
        (20, "unable to get local issuer certificate", "SSL_CERT_FILE"),
    ],
)
def test_l15_each_reason_not_to_trust_has_its_own_way_out(code: int, said: str, hint: str) -> None:
    found = tls_trouble(untrusted(code, said))
    assert found is not None
    assert found[0] == f"its TLS certificate is not trusted: {said}"
    assert hint in found[1]


def test_it_is_found_below_other_errors() -> None:
    outer = ConnectionError("all attempts failed")
    outer.__context__ = untrusted(18, "self-signed certificate")
    assert tls_trouble(outer) == tls_trouble(untrusted(18, "self-signed certificate"))


def test_other_failures_are_none_of_it() -> None:
    assert tls_trouble(ConnectionRefusedError("refused")) is None
    assert tls_trouble(TimeoutError()) is None


@pytest.mark.parametrize(
    "waiting", [ssl.SSLWantReadError(2, "the operation did not complete (read)"), ssl.SSLWantWriteError()]
)
def test_l15_a_wait_that_took_too_long_is_no_failed_handshake(waiting: ssl.SSLError) -> None:
    late = TimeoutError()
    late.__context__ = waiting
    assert tls_trouble(late) is None
    waiting.__context__ = untrusted(18, "self-signed certificate")
    assert tls_trouble(late) == tls_trouble(untrusted(18, "self-signed certificate"))
