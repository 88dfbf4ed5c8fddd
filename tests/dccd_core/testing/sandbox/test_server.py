import asyncio

import httpx
import pytest

from dccd_core.domain.timespan import MINUTE, SECOND, Ns, parse_time
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.options import Options
from dccd_core.testing.sandbox.server import create_app
from tests.dccd_core.testing.sandbox.inprocess import InProcess

NOW = parse_time("2024-06-05T12:00:20")
KLINES = {"symbol": "BTCUSDT", "interval": "1m"}


def test_the_clock_can_be_stopped_and_says_the_date() -> None:
    sandbox = InProcess()
    sandbox.clock(NOW)
    answer = sandbox.get("time")
    assert answer.json() == {"serverTime": NOW // 10**6}
    assert answer.headers["date"] == "Wed, 05 Jun 2024 12:00:20 GMT"
    assert sandbox.get("time").json() == answer.json()


def test_the_clock_can_be_shifted_and_runs_on() -> None:
    sandbox = InProcess()
    assert sandbox.order("clock", {"now": NOW, "frozen": False}).status_code == 200
    shown = sandbox.get("time").json()["serverTime"] * 10**6
    assert NOW - SECOND < shown < NOW + MINUTE
    assert sandbox.order("clock", {"now": None}).status_code == 200
    assert sandbox.get("time").json()["serverTime"] * 10**6 > parse_time("2025-01-01")


def test_more_than_the_limit_is_429_with_the_time_to_wait() -> None:
    sandbox = InProcess(rate_limits=True, limit_weight=5)
    sandbox.clock(NOW)
    assert [sandbox.get("klines", **KLINES).status_code for _ in range(3)] == [200, 200, 429]
    refused = sandbox.get("ping")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "40")
    assert refused.headers["x-mbx-used-weight-1m"] == "7"
    assert refused.json()["code"] == -1003
    assert "5 request weight per 1 MINUTE" in refused.json()["msg"]
    sandbox.clock(Ns(NOW + 40 * SECOND))
    assert sandbox.get("ping").headers["x-mbx-used-weight-1m"] == "1"


def test_ignoring_429_is_a_ban_until_it_is_over() -> None:
    sandbox = InProcess(rate_limits=True, limit_weight=1, window_s=10)
    sandbox.clock(NOW)
    statuses = [sandbox.get("ping").status_code for _ in range(14)]
    assert statuses == [200, *[429] * 11, 418, 418]
    banned = sandbox.get("ping")
    assert banned.headers["retry-after"] == "20"
    assert f"banned until {NOW // 10**6 + 20_000}" in banned.json()["msg"]
    sandbox.clock(Ns(NOW + 20 * SECOND))
    assert sandbox.get("ping").status_code == 200
    assert (sandbox.stats().answered(429), sandbox.stats().answered(418)) == (11, 3)


def test_without_rate_limits_weight_is_only_counted() -> None:
    sandbox = InProcess(limit_weight=1)
    sandbox.clock(NOW)
    assert {sandbox.get("ping").status_code for _ in range(20)} == {200}
    assert sandbox.get("ping").headers["x-mbx-used-weight-1m"] == "21"


def test_stats_count_every_request() -> None:
    sandbox = InProcess()
    sandbox.clock(NOW)
    sandbox.get("klines", **KLINES, limit=5)
    sandbox.get("klines", symbol="NOPE", interval="1m")
    sandbox.clock(Ns(NOW + MINUTE))
    sandbox.get("ping")
    stats = sandbox.stats()
    klines = stats.paths["/binance/api/v3/klines"]
    assert (klines.requests, klines.weight, klines.statuses) == (2, 4, {"200": 1, "400": 1})
    assert stats.requests[0] == (
        "/binance/api/v3/klines",
        [("interval", "1m"), ("limit", "5"), ("symbol", "BTCUSDT")],
    )
    first = NOW - NOW % MINUTE
    assert stats.windows == {"binance": {str(first): 4, str(first + MINUTE): 1}}
    assert (stats.count(), stats.count("klines")) == (3, 2)


def test_reset_goes_back_to_the_start() -> None:
    sandbox = InProcess(rate_limits=True, limit_weight=1, faults=[Fault(kind=FaultKind.STATUS, path="time")])
    sandbox.clock(NOW)
    sandbox.faults()
    for _ in range(20):
        sandbox.get("ping")
    assert sandbox.order("reset", None).status_code == 200
    assert sandbox.get("ping").status_code == 200
    assert sandbox.stats().count() == 1
    assert sandbox.get("time").status_code == 429
    sandbox.clock(Ns(NOW + 9 * MINUTE))
    assert sandbox.get("time").status_code == 500


def test_several_sandboxes_share_nothing() -> None:
    one, other = InProcess(), InProcess()
    one.clock(NOW)
    one.get("ping")
    assert other.stats().count() == 0
    assert other.get("time").json() != one.get("time").json()


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("clock", {"later": 1}),
        ("clock", {"now": "tomorrow"}),
        ("faults", [{"kind": "magic"}]),
        ("faults", [{"kind": "status", "pth": "klines"}]),
    ],
)
def test_a_wrong_order_is_refused(name: str, order: object) -> None:
    answer = InProcess().order(name, order)
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize("path", ["/kucoin/api/v1/market/candles", "/binance/api/v3/nothing", "/"])
def test_an_unknown_place_is_404(path: str) -> None:
    answer = InProcess().send("GET", path)
    assert answer.status_code == 404
    assert path in answer.json()["error"]


def test_answers_wait_for_the_round_trip_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[float] = []
    everybody = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waiting.append(seconds)
        if len(waiting) == 3:
            everybody.set()
        await everybody.wait()

    monkeypatch.setattr("dccd_core.testing.sandbox.server.asyncio.sleep", sleep)
    transport = httpx.ASGITransport(create_app(Options(rtt_ms=250)))

    async def ask() -> None:
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
            answers = await asyncio.gather(*(client.get("/binance/api/v3/ping") for _ in range(3)))
        assert [answer.status_code for answer in answers] == [200] * 3

    asyncio.run(asyncio.wait_for(ask(), 10))
    assert waiting == [0.25] * 3
