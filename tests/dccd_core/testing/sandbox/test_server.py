import asyncio

import httpx
import msgspec
import pytest

from dccd_core.domain.timespan import MILLISECOND, MINUTE, SECOND, Us, parse_time
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.limits import Rule
from dccd_core.testing.sandbox.options import Options
from dccd_core.testing.sandbox.server import create_app
from dccd_core.testing.sandbox.venue import Answer, Ask, Route, Venue
from tests.dccd_core.testing.sandbox.inprocess import InProcess

NOW = parse_time("2024-06-05T12:00:20")
KLINES = {"symbol": "BTCUSDT", "interval": "1m"}


def test_the_clock_can_be_stopped_and_says_the_date() -> None:
    sandbox = InProcess(NOW)
    answer = sandbox.get("time")
    assert answer.json() == {"serverTime": NOW // MILLISECOND}
    assert answer.headers["date"] == "Wed, 05 Jun 2024 12:00:20 GMT"
    assert sandbox.get("time").json() == answer.json()


def test_the_clock_can_be_shifted_and_runs_on() -> None:
    sandbox = InProcess()
    assert sandbox.order("clock", {"now": NOW, "frozen": False}).status_code == 200
    shown = sandbox.get("time").json()["serverTime"] * MILLISECOND
    assert NOW - SECOND < shown < NOW + MINUTE
    assert sandbox.order("clock", {"now": None}).status_code == 200
    assert sandbox.get("time").json()["serverTime"] * MILLISECOND > parse_time("2025-01-01")


def test_the_clock_can_run_faster_than_the_machine_s(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox, machine = InProcess(), [parse_time("2025-01-01")]
    monkeypatch.setattr("time.time_ns", lambda: machine[0] * 1_000)
    assert sandbox.order("clock", {"now": NOW, "frozen": False, "rate": 600}).status_code == 200
    machine[0] = Us(machine[0] + SECOND)
    assert sandbox.get("time").json()["serverTime"] * MILLISECOND == NOW + 600 * SECOND


def test_more_than_the_limit_is_429_with_the_time_to_wait() -> None:
    sandbox = InProcess(NOW, rate_limits=True, limit_weight=5)
    assert [sandbox.get("klines", **KLINES).status_code for _ in range(3)] == [200, 200, 429]
    refused = sandbox.get("ping")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "40")
    assert refused.headers["x-mbx-used-weight-1m"] == "7"
    assert refused.json()["code"] == -1003
    assert "5 request weight per 1 MINUTE" in refused.json()["msg"]
    sandbox.clock(Us(NOW + 40 * SECOND))
    assert sandbox.get("ping").headers["x-mbx-used-weight-1m"] == "1"


def test_ignoring_429_is_a_ban_until_it_is_over() -> None:
    sandbox = InProcess(NOW, rate_limits=True, limit_weight=1, window_s=10)
    statuses = [sandbox.get("ping").status_code for _ in range(14)]
    assert statuses == [200, *[429] * 11, 418, 418]
    banned = sandbox.get("ping")
    assert banned.headers["retry-after"] == "20"
    assert f"banned until {NOW // MILLISECOND + 20_000}" in banned.json()["msg"]
    sandbox.clock(Us(NOW + 20 * SECOND))
    assert sandbox.get("ping").status_code == 200
    assert (sandbox.stats().answered(429), sandbox.stats().answered(418)) == (11, 3)
    assert sandbox.stats().refused() == 14


def test_without_rate_limits_weight_is_only_counted() -> None:
    sandbox = InProcess(NOW, limit_weight=1)
    assert {sandbox.get("ping").status_code for _ in range(20)} == {200}
    assert sandbox.get("ping").headers["x-mbx-used-weight-1m"] == "21"


def test_stats_count_every_request() -> None:
    sandbox = InProcess(NOW)
    sandbox.get("klines", **KLINES, limit=5)
    sandbox.get("klines", symbol="NOPE", interval="1m")
    sandbox.clock(Us(NOW + MINUTE))
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
    assert stats.refused() == 0, "the venue minds what was asked, not how often"


class TestPools:
    """A venue that counts some of its routes apart, and one of them per product; it refuses with HTTP 200."""

    @pytest.fixture
    def sandbox(self, monkeypatch: pytest.MonkeyPatch) -> InProcess:
        def told(ask: Ask) -> bytes:
            return msgspec.json.encode(dict(ask.params))

        toy = Venue(
            name="toy",
            routes=(
                Route("/list", told),
                Route("/products/{product}/book", told, pool="books", market=lambda p: p["product"]),
            ),
            rules=(Rule(2, MINUTE), Rule(1, Us(10 * SECOND), pool="books")),
            refused=lambda charge, rule, now: Answer(b'"%s %d"' % (rule.pool.encode(), charge.wait_s(now))),
            trouble=lambda _: b"",
        )
        monkeypatch.setattr("dccd_core.testing.sandbox.server.VENUES", (toy,))
        return InProcess(NOW, rate_limits=True)

    def said(self, sandbox: InProcess, path: str) -> object:
        return sandbox.send("GET", f"/toy/{path}").json()

    def test_the_parts_of_a_path_come_with_the_parameters(self, sandbox: InProcess) -> None:
        answer = self.said(sandbox, "products/A-B/book?level=2")
        assert answer == {"product": "A-B", "level": "2"}

    def test_each_pool_and_market_has_a_limit_of_its_own(self, sandbox: InProcess) -> None:
        books = [self.said(sandbox, f"products/{name}/book") for name in ("A", "A", "B", "B")]
        assert books == [{"product": "A"}, "books 10", {"product": "B"}, "books 10"]
        assert [self.said(sandbox, "list") for _ in range(3)] == [{}, {}, " 60"]

    def test_what_is_refused_counts_whatever_the_status(self, sandbox: InProcess) -> None:
        for _ in range(3):
            self.said(sandbox, "products/A/book")
        stats = sandbox.stats()
        path = stats.paths["/toy/products/{product}/book"]
        assert (path.requests, path.refused, path.statuses) == (3, 2, {"200": 3})
        assert stats.refused() == 2

    def test_windows_are_counted_by_pool_and_market(self, sandbox: InProcess) -> None:
        for path in ("list", "products/A/book", "products/B/book", "products/B/book"):
            self.said(sandbox, path)
        start = str(NOW)
        assert sandbox.stats().windows == {
            "toy": {str(NOW - NOW % MINUTE): 1},
            "toy/books/A": {start: 1},
            "toy/books/B": {start: 2},
        }


def test_reset_goes_back_to_the_start() -> None:
    sandbox = InProcess(
        NOW, rate_limits=True, limit_weight=1, faults=[Fault(kind=FaultKind.STATUS, path="time")]
    )
    sandbox.faults()
    for _ in range(20):
        sandbox.get("ping")
    assert sandbox.order("reset", None).status_code == 200
    assert sandbox.get("ping").status_code == 200
    assert sandbox.stats().count() == 1
    assert sandbox.get("time").status_code == 429
    sandbox.clock(Us(NOW + 9 * MINUTE))
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
        ("clock", {"now": NOW, "rate": 0}),
        ("clock", {"now": NOW, "rate": 1.5}),
        ("faults", [{"kind": "magic"}]),
        ("stream_faults", [{"kind": "magic"}]),
        ("stream_faults", [{"kind": "drop", "symbol": "BTCUSDT"}]),
        ("disconnect", {"code": 99}),
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
