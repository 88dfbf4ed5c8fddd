"""No silent success: each kind of trouble is its own error, in one line, and nothing wrong is stored."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import (
    Banned,
    DccdError,
    PayloadError,
    Rejected,
    Throttled,
    Unavailable,
    UnknownSymbol,
)
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MILLISECOND, MINUTE, SECOND, Us, parse_time
from dccd_core.lake.partition.ledger import Condition
from dccd_core.quality.audit import QUARANTINE, Audit
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from tests.dccd_core.fetch.world import NOW, TRADES, World, bars, same

HELD = {DataType.OHLC: "2024-04", DataType.TRADES: "2024-05-30"}
NEXT = {DataType.OHLC: "2024-05", DataType.TRADES: "2024-05-31"}
PATH = {DataType.OHLC: "klines", DataType.TRADES: "aggTrades"}
QUARTERS = bars(Us(15 * MINUTE))
BOTH = pytest.mark.parametrize("dataset", [QUARTERS, TRADES], ids=str)
WAF = "<html><body>blocked</body></html>"


def status(code: int, body: str | None = None, wait: int = 1) -> dict[str, Any]:
    return {"kind": "status", "status": code, "body": body, "retry_after_s": wait}


def venue_error(code: int, text: str, http: int = 400) -> dict[str, Any]:
    body = f'{{"code":{code},"msg":"{text}"}}'
    return status(http, body) if http != 200 else {"kind": "error_body", "body": body}


TROUBLE: dict[str, tuple[dict[str, Any], type[DccdError], str]] = {
    "429": (status(429), Throttled, "HTTP 429: -1003 Too much request weight used."),
    "418": (status(418, wait=600), Banned, "HTTP 418: -1003 Way too much request weight used; IP banned."),
    "418 until": (
        status(
            418, f'{{"code":-1003,"msg":"IP banned until {(NOW + 900 * SECOND) // MILLISECOND}."}}', wait=900
        ),
        Banned,
        "IP banned until",
    ),
    "403": (status(403, WAF), Banned, "HTTP 403: <html>"),
    "451": (status(451), Rejected, "HTTP 451: 0 Service unavailable from a restricted location."),
    "500": (status(500), Unavailable, "HTTP 500: -1000 An unknown error occurred"),
    "502": (status(502, "<html>Bad Gateway</html>"), Unavailable, "HTTP 502: <html>Bad Gateway"),
    "503": (status(503), Unavailable, "-1008 Server is currently overloaded"),
    "-1003 in 400": (venue_error(-1003, "Too many requests."), Throttled, "-1003 Too many requests."),
    "-1008": (venue_error(-1008, "Server is currently overloaded."), Unavailable, "-1008 Server"),
    "-1100": (venue_error(-1100, "Illegal characters found."), Rejected, "-1100 Illegal characters found."),
    "-1102": (venue_error(-1102, "Mandatory parameter."), Rejected, "-1102 Mandatory parameter."),
    "-1120": (venue_error(-1120, "Invalid interval."), Rejected, "-1120 Invalid interval."),
    "-1121": (venue_error(-1121, "Invalid symbol."), UnknownSymbol, "-1121 Invalid symbol."),
    "-1127": (venue_error(-1127, "More than 24 hours."), Rejected, "-1127 More than 24 hours."),
    "-1128": (venue_error(-1128, "Combination invalid."), Rejected, "-1128 Combination invalid."),
    "-1130": (venue_error(-1130, "Data is not valid."), Rejected, "-1130 Data is not valid."),
    "-1220": (venue_error(-1220, "Symbol status mismatch."), UnknownSymbol, "-1220 Symbol status mismatch."),
    "error in 200": (venue_error(-1100, "Illegal.", 200), Rejected, "HTTP 200: -1100 Illegal."),
    "limit in 200": (venue_error(-1003, "Too many.", 200), Throttled, "HTTP 200: -1003 Too many."),
    "cut JSON": ({"kind": "truncated"}, Unavailable, "no whole JSON"),
    "HTML": ({"kind": "html"}, Unavailable, "payload begins b'<!DOCTYPE html>"),
    "empty": ({"kind": "empty"}, Unavailable, "an empty body"),
    "dropped": ({"kind": "dropped"}, Unavailable, "peer closed connection"),
    "wrong type": ({"kind": "wrong_type"}, PayloadError, "Expected `str`, got `float`"),
    "wrong type of time": (
        {"kind": "wrong_type", "field": "time"},
        PayloadError,
        "Expected `int`, got `str`",
    ),
    "missing field": ({"kind": "missing_field"}, PayloadError, "unexpected shape"),
}


@BOTH
@pytest.mark.parametrize("name", TROUBLE)
def test_trouble_is_its_own_error_and_stores_nothing(tmp_path: Path, dataset: Dataset, name: str) -> None:
    spec, kind, said = TROUBLE[name]
    world, held, wanted = World(tmp_path), HELD[dataset.data_type], NEXT[dataset.data_type]
    before = world.fill(dataset, held).state
    world.faults(msgspec.convert({**spec, "path": PATH[dataset.data_type]}, Fault))
    with pytest.raises(DccdError) as caught:
        world.fill(dataset, wanted)
    error = caught.value
    assert type(error) is kind
    assert str(error).startswith(f"[binance /api/v3/{PATH[dataset.data_type]} BTC/USDT] ")
    assert said in str(error)
    assert "\n" not in str(error)
    assert error.hint
    assert world.lake.state(dataset, held) == before == world.lake.verify(dataset, held)
    assert world.lake.state(dataset, wanted) is None
    left = [path for path in (tmp_path / "lake" / dataset.data_type).rglob("*") if path.is_file()]
    assert [str(path) for path in left] == [world.lake.path(dataset, held)]

    world.faults()
    world.at(Us(NOW + 3_600 * SECOND)).fill(dataset, wanted)
    assert same(world.stored(dataset, wanted), world.truth(dataset, wanted))
    assert world.condition(dataset, wanted) is Condition.AVAILABLE


@BOTH
def test_an_unlisted_symbol_is_an_error_that_names_it(tmp_path: Path, dataset: Dataset) -> None:
    world = World(tmp_path)
    unlisted = Dataset("binance", Symbol("NOPE", "USDT"), dataset.data_type, dataset.span)
    said = r"\[binance /api/v3/\w+ NOPE/USDT\] HTTP 400: -1121 Invalid symbol\. -> "
    with pytest.raises(UnknownSymbol, match=said):
        world.fill(unlisted, NEXT[dataset.data_type])
    assert world.requests() == 1
    assert not list((tmp_path / "lake").rglob("*.parquet"))


@BOTH
def test_a_throttled_request_waits_as_long_as_it_is_told_and_then_succeeds(
    tmp_path: Path, dataset: Dataset
) -> None:
    world, key = World(tmp_path), NEXT[dataset.data_type]
    path = PATH[dataset.data_type]
    world.faults(Fault(kind=FaultKind.STATUS, path=path, status=429, retry_after_s=17, nth=3))
    world.fill(dataset, key)
    assert same(world.stored(dataset, key), world.truth(dataset, key))
    assert world.stats().answered(429) == 1
    assert world.clock.now() >= NOW + 17 * SECOND


@pytest.mark.parametrize(
    ("dataset", "kind", "reason"),
    [
        (QUARTERS, FaultKind.NAN, "close is no positive number"),
        (QUARTERS, FaultKind.NEGATIVE, "volume is negative or no number"),
        (QUARTERS, FaultKind.HIGH_BELOW_LOW, "high is below another price"),
        (TRADES, FaultKind.NAN, "price is no positive number"),
        (TRADES, FaultKind.NEGATIVE, "amount is no positive number"),
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", range(4))
def test_an_impossible_row_goes_to_quarantine_until_the_venue_mends(
    tmp_path: Path, dataset: Dataset, kind: FaultKind, reason: str, seed: int
) -> None:
    world, key = World(tmp_path, seed=seed), NEXT[dataset.data_type]
    first_page = 5 if dataset.data_type is DataType.TRADES else 4  # after the listing, the borders
    world.faults(Fault(kind=kind, path=PATH[dataset.data_type], nth=first_page))
    state = world.fill(dataset, key).state
    assert state is not None
    [bad] = world.lake.quarantined(dataset, key).to_dicts()
    assert bad["reason"] == reason
    truth = world.truth(dataset, key)
    name = dataset.data_type.table.key[0]
    assert same(world.stored(dataset, key), truth.filter(pl.col(name) != bad[name]))
    assert (state.ledger.quarantined, world.condition(dataset, key)) == (1, Condition.DEGRADED)
    audit = Audit(dataset)
    for rows in world.lake.chunks(dataset, key):
        audit.see(rows)
    audit.judge_state(state, world.exchange.finality_delay)
    assert audit.findings == {QUARANTINE: ["1 rows are in quarantine"]}

    world.faults()
    world.fill(dataset, key)
    assert same(world.stored(dataset, key), truth)
    assert world.condition(dataset, key) is Condition.AVAILABLE
    assert world.lake.quarantined(dataset, key).height == 1, "the evidence is kept"


def test_a_trade_whose_time_contradicts_its_id_is_kept_aside_until_the_venue_mends(tmp_path: Path) -> None:
    world, key = World(tmp_path), NEXT[DataType.TRADES]
    exchange, endpoint = world.exchange, world.exchange.endpoints[DataType.TRADES]
    truth = world.truth(TRADES, key)
    astray = truth["trade_id"][2_345]

    def decode(body: bytes, at: Us) -> pl.DataFrame:
        late = pl.when(trade_id=astray).then(pl.col("ts").dt.offset_by("1d")).otherwise("ts")
        return endpoint.decode(body, at).with_columns(ts=late).sort("ts", maintain_order=True)

    world.exchange = replace(exchange, endpoints={DataType.TRADES: replace(endpoint, decode=decode)})
    for minutes in (0, 15, 30):
        world.at(Us(NOW + minutes * MINUTE)).fill(TRADES, key)
        assert same(world.stored(TRADES, key), truth.filter(pl.col("trade_id") != astray))
        [bad] = world.lake.quarantined(TRADES, key).to_dicts()
        assert (bad["trade_id"], bad["reason"]) == (astray, "its time contradicts its id")
        assert [(missing, proof) for _, missing, proof in world.holes(TRADES, key)] == [(1, None)]
        assert world.condition(TRADES, key) is Condition.DEGRADED

    world.exchange = exchange
    world.fill(TRADES, key)
    assert same(world.stored(TRADES, key), truth)
    assert world.condition(TRADES, key) is Condition.AVAILABLE


def test_a_bad_row_of_a_quiet_minute_is_asked_again_although_nothing_was_traded(tmp_path: Path) -> None:
    """Trades would call the hole proven; but a row came, and a good one can still come."""
    now = parse_time("2024-06-01T02:00:05")
    for seed in range(100):
        world = World(tmp_path / str(seed), now, seed=seed)
        world.faults(Fault(kind=FaultKind.NAN, path="klines", nth=2))
        world.fill(bars(), "2024-06")
        [bad] = world.lake.quarantined(bars(), "2024-06").to_dicts()
        if bad["trades"] == 0:
            break
    else:
        pytest.fail("no fault struck a quiet minute")
    [(_, missing, proof)] = world.holes(bars(), "2024-06")
    assert (missing, proof) == (1, None)
    world.faults()
    world.fill(bars(), "2024-06")
    assert world.condition(bars(), "2024-06") is Condition.PENDING
