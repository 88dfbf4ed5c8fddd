"""H5, H6: how long to wait, and why an address is sent away, told apart on every venue."""

from email.utils import formatdate

import pytest

from dccd_core.adapter.contract import Response
from dccd_core.adapter.wire import ABROAD, CAPTCHA, FIREWALL
from dccd_core.domain.errors import Banned, DccdError, Rejected, Throttled
from dccd_core.domain.timespan import MILLISECOND, SECOND, Us, parse_time
from dccd_core.exchanges import NAMES, get

AT = parse_time("2026-11-28T12:00")
HOUR_S = 3_600.0
CLOUDFRONT = (
    b"<!DOCTYPE HTML><HTML><HEAD><TITLE>ERROR: The request could not be satisfied</TITLE></HEAD><BODY>"
    b"<H1>403 ERROR</H1>The Amazon CloudFront distribution is configured to block access from your country."
    b" We can't connect to the server for this app or website at this time.</BODY></HTML>"
)
CLOUDFLARE = b"""<!DOCTYPE html><html><head><title>Access denied | api.example.org</title></head><body>
<h1>Error 1009</h1><p>The owner of this website has banned the country or region your IP address is in
from accessing this website.</p></body></html>"""
RESTRICTED = b'{"code":0,"msg":"Service unavailable from a restricted location according to the terms."}'
TASK = b"""<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>
<script src="/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page"></script></body></html>"""
SECURITY = b"<html><title>Attention Required!</title>Please complete the security check to access</html>"
BLOCKED = (
    b"<html><body>Request blocked. We can't connect to the server for this app or website.</body></html>"
)
DENIED = b"<html><title>Access denied</title>Error 1020: this website uses a security service</html>"


def judged(name: str, status: int, body: bytes, headers: dict[str, str] | None = None) -> DccdError:
    error = get(name).verdict(Response(status, headers or {}, body, AT))
    assert error is not None
    return error


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, CLOUDFRONT),
        (403, CLOUDFLARE),
        (403, RESTRICTED),
        (451, RESTRICTED),
        (451, b""),
        (451, b"<html/>"),
    ],
)
def test_h6_a_country_block_is_said_at_once_and_opens_no_breaker(name: str, status: int, body: bytes) -> None:
    error = judged(name, status, body)
    assert type(error) is Rejected, "not retried, and nobody else is held back"
    assert ABROAD in error.hint
    assert f"HTTP {status}" in str(error)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("status", "body"), [(403, TASK), (403, SECURITY), (503, TASK), (429, TASK)])
def test_h6_a_task_for_people_is_no_firewall(name: str, status: int, body: bytes) -> None:
    error = judged(name, status, body)
    assert type(error) is Banned
    assert error.hint == CAPTCHA
    assert judged(name, 403, b"", {"cf-mitigated": "challenge"}).hint == CAPTCHA


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("body", [BLOCKED, DENIED])
def test_h6_a_firewall_is_no_ban(name: str, body: bytes) -> None:
    error = judged(name, 403, body)
    assert type(error) is Banned
    assert error.hint == FIREWALL
    assert error.wait_s == 60.0
    assert judged(name, 403, body, {"retry-after": "7"}).__dict__["wait_s"] == 7.0


BANS = [
    ("binance", 418, b'{"code":-1003,"msg":"Way too much request weight used; IP banned."}'),
    ("bybit", 403, b"403, access too frequent"),
    ("kraken", 200, b'{"error":["EGeneral:Temporary lockout"]}'),
    ("bitmex", 403, b'{"error":{"message":"Forbidden","name":"HTTPError"}}'),
]


@pytest.mark.parametrize(("name", "status", "body"), BANS)
def test_h6_the_venues_own_ban_is_none_of_these(name: str, status: int, body: bytes) -> None:
    error = judged(name, status, body)
    assert isinstance(error, Banned)
    assert error.hint not in (ABROAD, CAPTCHA, FIREWALL)


@pytest.mark.parametrize("name", NAMES)
def test_h6_a_page_for_people_inside_http_200_says_what_it_is(name: str) -> None:
    exchange = get(name)
    for body, hint in ((TASK, CAPTCHA), (CLOUDFRONT, ABROAD)):
        error = exchange.verdict(Response(200, {}, body, AT))
        if error is None:
            with pytest.raises(DccdError) as caught:
                exchange.markets.decode(body)
            error = caught.value
        assert hint in error.hint


DATE = formatdate(AT // SECOND + 600, usegmt=True)
PAST = formatdate(AT // SECOND - 600, usegmt=True)
WAITS = [
    ("7", 7.0),
    ("0", 0.0),
    ("2.5", 2.5),
    (" 3 ", 3.0),
    (DATE, 600.0),
    (PAST, 0.0),
    ("1795867200", HOUR_S),  # seconds since the epoch
    ("1795867200000", HOUR_S),
    ("9" * 400, HOUR_S),
    ("86400", HOUR_S),
    (formatdate(AT // SECOND + 10**6, usegmt=True), HOUR_S),
    ("-1", None),
    ("soon", None),
    ("", None),
    ("1e3", None),
    ("Infinity", None),
    ("Wed, 99 Foo 2026 99:99:99 GMT", None),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("text", "wait_s"), WAITS)
def test_h5_how_long_to_wait_is_read_as_the_rfc_says_and_never_longer_than_an_hour(
    name: str, text: str, wait_s: float | None
) -> None:
    error = judged(name, 429, b"", {"retry-after": text})
    assert isinstance(error, Throttled)
    unsaid = judged(name, 429, b"")
    assert isinstance(unsaid, Throttled)
    assert error.wait_s == (unsaid.wait_s if wait_s is None else wait_s)


@pytest.mark.parametrize(
    ("until", "wait_s"),
    [(AT // MILLISECOND + 90_000, 90.0), (AT // MILLISECOND - 1, 0.0), (9_999_999_999_999, HOUR_S)],
)
def test_h5_a_ban_that_ends_in_words_is_bounded_too(until: int, wait_s: float) -> None:
    body = b'{"code":-1003,"msg":"Way too much request weight used; IP banned until %d."}' % until
    error = judged("binance", 418, body)
    assert isinstance(error, Banned)
    assert error.wait_s == wait_s
    assert judged("binance", 418, body, {"retry-after": "12"}).__dict__["wait_s"] == 12.0
    assert judged("binance", 418, body, {"retry-after": "soon"}).__dict__["wait_s"] == wait_s


def test_h5_a_date_counts_from_the_venues_clock() -> None:
    ours = Us(AT + 3_000 * SECOND)
    headers = {"date": formatdate(AT // SECOND, usegmt=True), "retry-after": DATE}
    error = get("okx").verdict(Response(429, headers, b"", ours))
    assert isinstance(error, Throttled)
    assert error.wait_s == 600.0


@pytest.mark.parametrize("reset", ["9" * 400, "9999999999999", "1"])
def test_h5_other_headers_that_tell_when_are_bounded_too(reset: str) -> None:
    error = judged("bybit", 429, b"", {"x-bapi-limit-reset-timestamp": reset})
    assert isinstance(error, Throttled)
    assert error.wait_s == (0.0 if reset == "1" else HOUR_S)
