import json
import subprocess
import sys
from collections import deque

import httpx
import pytest
from click.testing import CliRunner
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MILLISECOND, MINUTE, TimeRange, Us, parse_time
from dccd_core.exchanges import binance as adapter
from dccd_core.testing.sandbox.__main__ import main
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.process import running_sandbox
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind

NOW = parse_time("2024-06-05T12:00")
COMMAND = [sys.executable, "-m", "dccd_core.testing.sandbox"]


def test_a_sandbox_of_its_own_tells_the_same_truth_and_obeys() -> None:
    with running_sandbox(
        symbols=["AAA/USDT"],
        trades_per_day={"BTC/USDT": 50_000},
        outages=["2024-06-05T10:00/2024-06-05T11:00"],
        faults=[Fault(kind=FaultKind.STATUS, path="time")],
        rate_limits=True,
        limit_weight=100,
    ) as sandbox:
        binance = httpx.Client(base_url=sandbox.rest_url("binance"))
        with binance:
            sandbox.clock(NOW)
            first = sandbox.market.tape("binance", Symbol("BTC", "USDT")).count_before(
                parse_time("2024-06-05T09:59")
            )
            body = binance.get(
                "/api/v3/aggTrades", params={"symbol": "BTCUSDT", "fromId": first, "limit": 1_000}
            ).content
            span = TimeRange(parse_time("2024-06-05T09:59"), NOW)
            truth = sandbox.market.truth_trades("binance", Symbol("BTC", "USDT"), span)
            assert adapter.decode_trades(body, NOW).equals(truth.head(1_000))
            assert binance.get("/api/v3/klines?symbol=AAAUSDT&interval=1h&limit=1").status_code == 200

            assert binance.get("/api/v3/time").status_code == 500
            sandbox.faults([Fault(kind=FaultKind.DROPPED, path="time")])
            with pytest.raises(httpx.RemoteProtocolError):
                binance.get("/api/v3/time")
            sandbox.faults([])
            assert binance.get("/api/v3/time").json() == {"serverTime": NOW // MILLISECOND}
            assert [binance.get("/api/v3/depth?symbol=BTCUSDT&limit=1000").status_code for _ in range(2)] == [
                200,
                429,
            ]

            sandbox.clock(NOW, frozen=False, rate=1_000_000)
            assert binance.get("/api/v3/time").json()["serverTime"] * 10**6 > NOW + MINUTE

            stats = sandbox.stats()
            assert stats.count("time") == 4
            assert stats.answered(429) == 1
            sandbox.reset()
            assert sandbox.stats().count() == 0
            url = sandbox.url
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_stream_runs_at_the_pace_of_its_clock_and_obeys() -> None:
    btc = Symbol("BTC", "USDT")
    with running_sandbox(
        trades_per_day={"BTC/USDT": 100_000, "ETH/USDT": 100_000},
        stream_faults=[StreamFault(kind=StreamFaultKind.DROP, topic="eth*", probability=0.5)],
    ) as sandbox:
        sandbox.clock(NOW, frozen=False, rate=60)
        url = f"{sandbox.ws_url('binance')}/stream?streams=btcusdt@aggTrade/ethusdt@aggTrade"
        with connect(url) as client:
            texts = [json.loads(client.recv(timeout=60)) for _ in range(200)]
            rows = [text["data"] for text in texts if text["stream"] == "btcusdt@aggTrade"]
            span = TimeRange(Us(rows[0]["T"] * MILLISECOND), Us((rows[-1]["T"] + 1) * MILLISECOND))
            ids = sandbox.market.truth_trades("binance", btc, span)["trade_id"].to_list()
            got = [str(row["a"]) for row in rows]
            assert got == ids[ids.index(got[0]) :][: len(got)]
            sandbox.stream_faults([StreamFault(kind=StreamFaultKind.REFUSE, status=429)])
            sandbox.disconnect_all(4_001)
            with pytest.raises(ConnectionClosedError):
                deque(client, maxlen=0)
            assert client.close_code == 4_001
        with pytest.raises(InvalidStatus) as refused, connect(url):
            pass
        assert refused.value.response.status_code == 429
        stats = sandbox.stats()
        streams = stats.streams["binance"]
        assert (streams.opened, streams.open, streams.refused) == (1, 0, 1)
        assert streams.messages["btcusdt@aggTrade"] >= len(rows)
        assert {struck.kind for struck in stats.struck} == {"drop", "refuse"}
        assert {struck.topic for struck in stats.struck if struck.kind == "drop"} == {"ethusdt@aggTrade"}


def test_it_stops_by_itself_when_its_parent_is_gone() -> None:
    with subprocess.Popen(
        [*COMMAND, "--port=0", "--with-parent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline().startswith(b'{"url": "http://127.0.0.1:')
        process.stdin.close()
        assert process.wait(timeout=20) == 0


def test_the_venues_own_limits_hold_unless_others_are_given() -> None:
    with running_sandbox(rate_limits=True) as sandbox:
        sandbox.clock(NOW)
        answer = httpx.get(f"{sandbox.rest_url('binance')}/fapi/v1/exchangeInfo")
        assert answer.json()["rateLimits"] == [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2_400}
        ]


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--faults=[{}]", "kind"),
        ("--stream-faults=[{}]", "kind"),
        ("--faults=@/nowhere.json", "nowhere"),
        ("--trades-per-day=BTC/USDT", "BTC/USDT=2000000"),
        ("--trades-per-day=BTC/USDT=0", "at least 1"),
        ("--outage=yesterday", "yesterday"),
    ],
)
def test_a_wrong_option_is_refused(flag: str, said: str) -> None:
    result = CliRunner().invoke(main, [flag])
    assert result.exit_code != 0
    assert said in result.output
