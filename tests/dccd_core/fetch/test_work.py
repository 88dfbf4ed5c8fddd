"""Rows that cannot be read, or contradict one another: the good ones are stored, the bad ones asked again."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import polars as pl
import pytest

from dccd_core.adapter.contract import Recent, Request, Response
from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import PayloadError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, SECOND, TimeRange, Us, parse_time, us
from dccd_core.exchanges import NAMES, get
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Accepted, Condition, condition
from dccd_core.quality.holes import NO_TRADES
from dccd_core.tables import DataType
from tests.dccd_core.fetch.world import BTC, NOW, World, bars, same

USD = Symbol("BTC", "USD")
TRADES = {name: get(name).endpoint("spot", DataType.TRADES) for name in NAMES}
OF_A_DAY = [name for name, trades in TRADES.items() if trades and not isinstance(trades.paging, Recent)]
"""The venues whose trades of a day can be had, not the newest ones only."""
Alter = Callable[[Request, Response], Response]
AT = parse_time("2024-02-10T03:04")


def btc(name: str) -> Symbol:
    return USD if name in ("kraken", "coinbase") else BTC


def bodies(change: Callable[[bytes], bytes], path: str) -> Alter:
    """Change the bodies of one endpoint."""
    return lambda request, response: (
        replace(response, body=change(response.body)) if path in request.path else response
    )


def cell(opened: Us, at: int, text: bytes) -> Alter:
    """Replace a cell of Binance's bar of that open, wherever it comes."""
    key = str(opened // MILLISECOND).encode()

    def change(body: bytes) -> bytes:
        rows = msgspec.json.decode(body, type=list[list[msgspec.Raw]])
        for row in rows:
            if bytes(row[0]) == key:
                row[at] = msgspec.Raw(text)
        return msgspec.json.encode(rows)

    return bodies(change, "klines")


@pytest.mark.parametrize(
    ("at", "text"),
    [(4, b"null"), (5, b'""'), (1, b'"1,000.5"'), (8, b"7.0"), (8, b"-1"), (2, b"42000.5"), (3, b"NaN")],
)
def test_h3_a_month_with_one_bar_that_cannot_be_read_has_all_others(
    tmp_path: Path, at: int, text: bytes
) -> None:
    world = World(tmp_path)
    world.alter = cell(AT, at, text)
    filled = world.fill(bars(), "2024-02")
    truth = world.truth(bars(), "2024-02")
    missing = truth["ts"].cast(pl.Int64) == AT
    assert filled.state is not None
    assert same(world.stored(bars(), "2024-02"), truth.filter(~missing))
    assert world.condition(bars(), "2024-02") is Condition.DEGRADED
    refused = world.lake.quarantined(bars(), "2024-02")
    assert refused["ts"].cast(pl.Int64).to_list() == [AT]
    assert "cannot be read" in refused["reason"][0]
    assert [(hole.span.start, hole.missing) for hole in filled.state.ledger.gaps()] == [(AT, 1)]

    before = world.requests()
    world.fill(bars(), "2024-02")
    assert world.requests() - before <= 3, "the bar alone is asked again, with what is around it"
    assert world.lake.quarantined(bars(), "2024-02").height == 1

    world.alter = lambda _, response: response
    world.fill(bars(), "2024-02")
    assert same(world.stored(bars(), "2024-02"), truth)
    assert world.condition(bars(), "2024-02") is Condition.AVAILABLE


def test_h3_a_refused_bar_is_never_proven_to_be_empty(tmp_path: Path) -> None:
    """Asked again later it still does not come: that says nothing, for the venue has it."""
    world = World(tmp_path)
    for at, text in ((4, b"null"), (0, b'"?"')):  # even where nobody can tell which bar it is
        world.alter = cell(AT, at, text)
        for hours in range(3):
            world.at(Us(NOW + hours * HOUR)).fill(bars(), "2024-02")
        assert world.condition(bars(), "2024-02") is Condition.DEGRADED


@pytest.mark.parametrize("last", [parse_time("2024-02-29T23:59"), parse_time("2024-02-01")])
def test_h3_a_bad_bar_at_the_end_of_a_partition_stops_nothing(tmp_path: Path, last: Us) -> None:
    world = World(tmp_path)
    world.alter = cell(last, 4, b"null")
    for _ in range(2):
        state = world.fill(bars(), "2024-02").state
        assert state is not None
        assert state.rows == world.truth(bars(), "2024-02").height - 1
        assert state.ledger.covered() == [partition_span(bars().grain, "2024-02")]


def test_h3_a_changed_format_is_an_error_and_newer_rows_come_all_the_same(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.alter = bodies(lambda body: re.sub(rb'"(\d+\.\d+)"', rb"\1", body), "klines")
    with pytest.raises(PayloadError, match="unexpected shape"):
        world.fill(bars(), "2024-02")
    assert world.lake.state(bars(), "2024-02") is None
    assert not world.lake.quarantined(bars(), "2024-02").height


@pytest.mark.parametrize("name", OF_A_DAY)
def test_h3_a_trade_that_cannot_be_read_is_asked_for_again(tmp_path: Path, name: str) -> None:
    """Of every venue in ``OF_A_DAY`` one of the day's has a price that is none."""
    symbol = btc(name)
    dataset, key = Dataset(name, symbol, DataType.TRADES), "2024-06-04"
    world = World(tmp_path, exchange=name)
    truth = world.truth(dataset, key)
    victim = truth.row(truth.height // 2, named=True)
    marks = {f'"{victim["trade_id"]}"'.encode(), victim["trade_id"].encode()}

    def change(body: bytes) -> bytes:
        for mark in marks:
            for row in re.findall(
                rb"[\[{][^\[\]{}]*(?<![\w.])" + re.escape(mark) + rb"(?![\w.])[^\[\]{}]*[\]}]", body
            ):
                spoilt = re.sub(
                    rb'("(?:p|px|price)":|,)"?' + re.escape(price(victim["price"])) + rb'[0-9.]*"?',
                    rb'\1"?"',
                    row,
                )
                spoilt = (
                    spoilt
                    if spoilt != row
                    else re.sub(rb'\["' + re.escape(price(victim["price"])) + rb'0*"', b'["?"', row)
                )
                body = body.replace(row, spoilt)
        return body

    world.alter = lambda _, response: replace(response, body=change(response.body))
    state = world.fill(dataset, key).state
    assert state is not None
    assert same(world.stored(dataset, key), truth.filter(truth["trade_id"] != victim["trade_id"]))
    assert world.lake.quarantined(dataset, key)["trade_id"].to_list() == [victim["trade_id"]]
    assert world.condition(dataset, key) is Condition.DEGRADED

    world.alter = lambda _, response: response
    world.fill(dataset, key)
    assert same(in_order(world.stored(dataset, key)), in_order(truth))
    assert world.condition(dataset, key) is Condition.AVAILABLE


def in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Ids that are no numbers do not tell the order of one moment's trades that came one after another."""
    return rows.sort("ts", "trade_id")


def price(value: float) -> bytes:
    return f"{value:.10f}".rstrip("0").rstrip(".").encode()


def splinter(opened: Us) -> Alter:
    """Binance's bar of that open comes twice: as it is, and as a splinter of volume 0.01."""
    key = str(opened // MILLISECOND).encode()

    def change(body: bytes) -> bytes:
        rows = msgspec.json.decode(body, type=list[list[msgspec.Raw]])
        for at, row in enumerate(rows):
            if bytes(row[0]) == key:
                other = [*row[:5], msgspec.Raw(b'"0.01"'), *row[6:]]
                return msgspec.json.encode([*rows[: at + 1], other, *rows[at + 1 :]])
        return body

    return bodies(change, "klines")


@pytest.mark.parametrize("at", [AT, parse_time("2024-02-29T23:59"), parse_time("2024-02-01")])
def test_h1_of_two_unequal_bars_with_one_open_neither_is_believed(tmp_path: Path, at: Us) -> None:
    world = World(tmp_path)
    world.alter = splinter(at)
    for _ in range(2):
        world.fill(bars(), "2024-02")
        truth = world.truth(bars(), "2024-02")
        assert same(world.stored(bars(), "2024-02"), truth.filter(truth["ts"].cast(pl.Int64) != at))
        refused = world.lake.quarantined(bars(), "2024-02")
        assert refused["ts"].cast(pl.Int64).to_list() == [at, at]
        assert set(refused["reason"]) == {"came twice with different contents"}
        assert world.condition(bars(), "2024-02") is Condition.DEGRADED
    world.alter = lambda _, response: response
    world.fill(bars(), "2024-02")
    assert same(world.stored(bars(), "2024-02"), world.truth(bars(), "2024-02"))
    assert world.condition(bars(), "2024-02") is Condition.AVAILABLE


@pytest.mark.parametrize("name", OF_A_DAY)
def test_h1_of_two_unequal_trades_with_one_id_neither_is_believed(tmp_path: Path, name: str) -> None:
    symbol = btc(name)
    dataset, key = Dataset(name, symbol, DataType.TRADES), "2024-06-04"
    world = World(tmp_path, exchange=name)
    truth = world.truth(dataset, key)
    victim = truth.row(truth.height // 2, named=True)["trade_id"]
    exchange = world.exchange

    endpoint = exchange.endpoints[DataType.TRADES]

    def decode(body: bytes, at: Us) -> pl.DataFrame:
        rows = endpoint.decode(body, at)
        other = rows.filter(trade_id=victim).with_columns(pl.col("amount") * 2)
        return pl.concat([rows, other]).sort("ts", maintain_order=True)

    doubled = replace(endpoint, decode=decode)
    world.exchange = replace(exchange, endpoints={**exchange.endpoints, DataType.TRADES: doubled})
    world.fill(dataset, key)
    assert same(world.stored(dataset, key), truth.filter(truth["trade_id"] != victim))
    assert world.lake.quarantined(dataset, key)["trade_id"].to_list() == [victim, victim]
    assert world.condition(dataset, key) is Condition.DEGRADED

    world.exchange = exchange
    world.fill(dataset, key)
    assert same(in_order(world.stored(dataset, key)), in_order(truth))
    assert world.condition(dataset, key) is Condition.AVAILABLE


def undated(_: Request, response: Response) -> Response:
    return replace(
        response, headers={name: text for name, text in response.headers.items() if name != "date"}
    )


def misdated(_: Request, response: Response) -> Response:
    return replace(response, headers={**response.headers, "date": "soon"})


@pytest.mark.parametrize("alter", [undated, misdated])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ahead", [0, HOUR, -HOUR])
def test_h2_our_own_clock_never_makes_a_bar_final(
    tmp_path: Path, alter: Alter, name: str, ahead: int
) -> None:
    """The venue tells no time, and ours is wrong: what is stored is final all the same."""
    venue_now = Us(NOW + 30 * SECOND)
    dataset = Dataset(name, btc(name), DataType.OHLC, HOUR)
    world = World(tmp_path, exchange=name).at(Us(venue_now + ahead), venue_now)
    world.alter = alter
    state = world.fill(dataset, "2024").state
    assert state is not None
    assert state.last is not None
    assert state.last + HOUR <= venue_now, "the running bar was stored"
    assert state.last + 3 * HOUR > venue_now, "bars with a later one are final"
    assert max(span.end for span in state.ledger.covered()) <= venue_now
    stored = world.stored(dataset, "2024")
    truth = world.truth(dataset, "2024", Us(state.last + 1))
    assert same(stored, truth.tail(stored.height))


@pytest.mark.parametrize("name", OF_A_DAY)
def test_h2_trades_are_final_by_later_trades(tmp_path: Path, name: str) -> None:
    symbol = btc(name)
    dataset = Dataset(name, symbol, DataType.TRADES)
    world = World(tmp_path, exchange=name).at(Us(NOW + HOUR), NOW)
    world.alter = undated
    for key in ("2024-06-04", "2024-06-05"):
        state = world.fill(dataset, key).state
        assert state is not None
        assert max(span.end for span in state.ledger.covered()) <= NOW
        if key == "2024-06-04":
            assert same(world.stored(dataset, key), world.truth(dataset, key))


def test_a_row_later_than_the_venues_clock_is_refused_and_claims_nothing(tmp_path: Path) -> None:
    """A row of tomorrow among the trades of today must not pass for the end of an answer."""
    dataset, key = Dataset("bitfinex", BTC, DataType.TRADES), "2024-06-05"
    world = World(tmp_path, exchange="bitfinex")
    tomorrow = (NOW + DAY) // MILLISECOND

    def change(body: bytes) -> bytes:
        rows = msgspec.json.decode(body, type=list[list[msgspec.Raw]])
        return msgspec.json.encode([*rows, [7, tomorrow, 1.5, 42_000.5]] if rows else rows)

    world.alter = bodies(change, "trades")
    paged = replace(world.exchange.endpoints[DataType.TRADES], page_limit=500)
    world.exchange = replace(world.exchange, endpoints={**world.exchange.endpoints, DataType.TRADES: paged})
    state = world.fill(dataset, key).state
    assert state is not None
    truth = world.truth(dataset, key, Us(NOW - get("bitfinex").finality_delay))
    assert same(world.stored(dataset, key), truth)
    [reason] = set(world.lake.quarantined(dataset, key)["reason"])
    assert reason == "its time is later than the venue's clock"
    assert us(world.stored(dataset, key)["ts"][-1]) < NOW


def shifted(first: Us, until: Us) -> Alter:
    """Binance's hours from then on open off the grid, as in February 2018."""
    ours, theirs = first // MILLISECOND, until // MILLISECOND

    def change(body: bytes) -> bytes:
        rows = msgspec.json.decode(body, type=list[list[msgspec.Raw]])
        for row in rows:
            at = int(bytes(row[0]))
            if ours <= at < theirs:
                row[0] = msgspec.Raw(str(at + 28 * 60_000 + 14_789).encode())
        return msgspec.json.encode(rows)

    return bodies(change, "klines")


OUTAGE = "2023-02-08T00:00/2023-02-09T09:00"
GRID_LOST = parse_time("2023-02-09T09:00"), parse_time("2023-02-11T03:00")


def test_h4_a_hole_is_split_where_trades_and_refused_bars_split_it(tmp_path: Path) -> None:
    """33 hours of an outage, then 42 bars off the grid: the outage is proven, the others are not."""
    world, hours = World(tmp_path, outages=[OUTAGE]), bars(HOUR)
    world.alter = shifted(*GRID_LOST)
    for _ in range(2):
        world.fill(hours, "2023")
        holes = [hole for hole in world.holes(hours, "2023") if hole[0].start >= parse_time("2023-02-08")][:2]
        assert [(missing, proof) for _, missing, proof in holes] == [(33, NO_TRADES), (42, None)]
        assert holes[1][0] == TimeRange(*GRID_LOST)
        assert world.lake.quarantined(hours, "2023").height == 42
        assert world.condition(hours, "2023") is Condition.DEGRADED

    accepted = {str(hours): [Accepted(TimeRange(*GRID_LOST), "bars off the grid")]}
    taken = LakeStore(tmp_path / "lake", accepted=accepted)
    state = taken.state(hours, "2023")
    assert state is not None
    assert condition(state.ledger, partition_span(hours.grain, "2023")) is Condition.AVAILABLE
    assert "accepted: bars off the grid" in {hole.proof for hole in state.ledger.holes}
    world.lake, before = taken, world.requests()
    assert world.fill(hours, "2023").state == state, "what is accepted is not asked for again"
    assert world.requests() == before
    world.lake = LakeStore(tmp_path / "lake")
    assert world.condition(hours, "2023") is Condition.DEGRADED, "nothing of it was written"


def test_h4_an_outage_that_touches_a_lost_bar_is_proven_without_it(tmp_path: Path) -> None:
    world, hours = World(tmp_path, outages=[OUTAGE]), bars(HOUR)
    lost = parse_time("2023-02-09T09:00")

    def change(body: bytes) -> bytes:
        rows = msgspec.json.decode(body, type=list[list[msgspec.Raw]])
        return msgspec.json.encode([row for row in rows if int(bytes(row[0])) != lost // MILLISECOND])

    world.alter = bodies(change, "klines")
    for _ in range(2):
        world.fill(hours, "2023")
        holes = [(hole[0].start, *hole[1:]) for hole in world.holes(hours, "2023")]
        assert (parse_time("2023-02-08"), 33, NO_TRADES) in holes
        assert (lost, 1, None) in holes
