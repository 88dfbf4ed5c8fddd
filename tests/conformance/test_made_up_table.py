"""Adding a data type takes its file and its line in the registry: here, a made-up one, of a made-up exchange.

It is asked for, recorded, folded, read, refused where it cannot be true, checked and judged.
"""

import asyncio
from pathlib import Path

import msgspec
import polars as pl
import pytest

from dccd_core.adapter.contract import (
    Endpoint,
    Exchange,
    Limit,
    Markets,
    Query,
    Request,
    Response,
    TimeWindows,
)
from dccd_core.adapter.live import Channel, Heard, Topic
from dccd_core.adapter.wire import markets, micros, read, table
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, ZERO, TimeRange, Us, parse_time
from dccd_core.fetch.estimate import estimate
from dccd_core.fetch.fill import Filled, fill
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import Lake, State
from dccd_core.lake.partition.ledger import Condition, Source, condition
from dccd_core.net.clock import ManualClock
from dccd_core.quality.audit import Audit
from dccd_core.stream.fold import fold_all
from dccd_core.stream.recording import Recording
from dccd_core.stream.venuetime import VenueTime
from dccd_core.stream.wanted import Seen, Wanted
from dccd_core.stream.windows import Windows
from dccd_core.tables import TIME, Completeness, DataType, Table
from dccd_core.tables.table import by_day, positive

TABLE = Table(
    name="marks",
    title="mark prices",
    schema=pl.Schema({"ts": TIME, "mark": pl.Float64()}),
    descriptions={"ts": "the minute, UTC", "mark": "the mark price at its end"},
    required=("ts", "mark"),
    key=("ts",),
    order=(pl.col("ts"),),
    grain=by_day,
    completeness=Completeness.GRID,
    sanity=lambda _, __: {"mark is no positive number": ~positive("mark")},
    chart="mark",
    dictionaries=(),
    bytes_per_row=8,
    takes_span=True,
)
BTC = Symbol("BTC", "USDT")
DAY = parse_time("2024-06-05")
NOW = Us(DAY + 12 * HOUR)
KEY = "2024-06-05"
WRONG = Us(DAY + 7 * MINUTE)
UNREADABLE = Us(DAY + 70 * MINUTE)


@pytest.fixture
def marks(monkeypatch: pytest.MonkeyPatch) -> DataType:
    """Register the table, as its line in ``DataType`` would."""
    name = str.__new__(DataType, TABLE.name)
    for attribute, value in {"_name_": "MARKS", "_value_": TABLE.name, "table": TABLE}.items():
        setattr(name, attribute, value)
    monkeypatch.setitem(DataType._value2member_map_, TABLE.name, name)
    monkeypatch.setitem(DataType._member_map_, "MARKS", name)
    monkeypatch.setattr(DataType, "_member_names_", [*DataType._member_names_, "MARKS"])
    return name


def price(at: int) -> float:
    return -1.0 if at == WRONG else 100.0 + at // MINUTE % 7


def ask(query: Query) -> Request:
    return Request("/marks", {"from": str(query.span.start), "to": str(query.span.end)})


def octopus(marks: DataType) -> Exchange:
    def decode(body: bytes, _: Us) -> pl.DataFrame:
        rows = read(msgspec.json.Decoder(list[tuple[int, float]]), body)
        return table(marks, ts=micros([at for at, _ in rows], Us(1)), mark=[mark for _, mark in rows])

    pairs = Markets("", lambda: (Request("/pairs", {}),), lambda _: listed())
    return Exchange(
        name="octopus",
        title="Octopus",
        rest_url="https://octopus.example",
        since=DAY,
        finality_delay=Us(5 * SECOND),
        limits=(Limit(8, SECOND),),
        kinds=frozenset({"spot"}),
        market=lambda symbol: symbol.base + symbol.quote,
        verdict=lambda _: None,
        markets=pairs,
        endpoints={
            marks: Endpoint(
                docs="",
                path="/marks",
                page_limit=100,
                paging=TimeWindows(),
                request=ask,
                decode=decode,
                spans=(MINUTE,),
                oldest=ask,
            )
        },
    )


def listed() -> pl.DataFrame:
    return markets(symbol=["BTC/USDT"], market=["BTCUSDT"], active=[True])


class Octopus:
    """Answers with every minute's mark."""

    async def send(self, request: Request) -> Response:
        if request.path == "/pairs":
            return Response(200, {}, b"", NOW)
        start, end = max(DAY, int(request.params["from"])), int(request.params["to"])
        times = range(start, min(end, NOW), MINUTE)
        rows = [(at, "?" if at == UNREADABLE else price(at)) for at in times][:100]
        date = {"date": "Wed, 05 Jun 2024 12:00:00 GMT"}
        return Response(200, date, msgspec.json.encode(rows), NOW)


@pytest.fixture
def venue(marks: DataType) -> Venue:
    return Venue(octopus(marks), Octopus(), ManualClock(NOW))


@pytest.fixture
def dataset(marks: DataType) -> Dataset:
    return Dataset("octopus", BTC, marks, MINUTE)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def backfilled(venue: Venue, lake: Lake, dataset: Dataset) -> State:
    def unheeded(_: Dataset, __: str, ___: int, ____: Us) -> None: ...

    filled: Filled = asyncio.run(fill(venue, lake, dataset, KEY, unheeded))
    assert filled.state is not None
    return filled.state


def recorded(lake: Lake, dataset: Dataset, first: Us, minutes: int) -> None:
    """Write what a connection brought of some minutes, and what that proves, into a segment."""
    topic = Topic(dataset.data_type, "BTCUSDT", "spot", MINUTE)
    wanted = Wanted(dataset, topic, Channel(docs="", spans=(MINUTE,)), Us(5 * SECOND))
    recording = Recording({dataset: Seen()}, VenueTime(first, ZERO), Windows())
    recording.add("btc", wanted, ZERO)
    recording.accept("btc", ZERO)
    with lake.segment(dataset.exchange, dataset.data_type, MINUTE, first) as writer:
        for at in (Us(first + minute * MINUTE) for minute in range(minutes)):
            frame, flags = table(dataset.data_type, ts=pl.Series([at]), mark=[price(at)]), [True]
            frame = frame.with_columns(topic=pl.lit("btc"), received=pl.lit(at), closed=pl.Series(flags))
            steady = Us(at + MINUTE - first)
            recording.hear(Heard(bars=frame, at=Us(at + MINUTE)), at, steady)
            for _, batch in recording.batches(steady):
                writer.append(batch.rows, batch.notes)


class Told:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.rows = 0

    def beat(self, health: object) -> None: ...

    def folded(self, dataset: Dataset, key: str, state: State, rows: int) -> None:
        self.rows += rows

    def note(self, text: str, *, wrong: bool) -> None:
        self.notes.append(text)


def test_it_is_asked_for_and_kept_as_its_table_says(venue: Venue, lake: Lake, dataset: Dataset) -> None:
    state = backfilled(venue, lake, dataset)
    assert state.rows == 12 * 60 - 3  # one is wrong, one cannot be read, one runs
    assert dataset.parts == ("octopus", "marks", "BTC-USDT", "1m")
    assert Dataset.parse(str(dataset)) == dataset
    assert "marks/exchange=octopus/symbol=BTC-USDT/span=1m/period=2024-06-05" in state.path
    assert list(lake.datasets()) == [dataset]


def test_a_row_that_cannot_be_true_is_kept_beside_it(venue: Venue, lake: Lake, dataset: Dataset) -> None:
    state = backfilled(venue, lake, dataset)
    kept = lake.quarantined(dataset, KEY).sort("ts")
    assert kept.schema == {**TABLE.schema, "reason": pl.String()}
    assert kept.select(pl.col("ts").to_physical(), "mark").rows() == [(WRONG, -1.0), (UNREADABLE, None)]
    assert kept["reason"][0] == "mark is no positive number"
    assert kept["reason"][1].startswith("cannot be read: ")
    for gap, at in zip(state.ledger.gaps(), (WRONG, UNREADABLE), strict=True):
        assert (gap.span, gap.missing, gap.refused) == (TimeRange(at, Us(at + MINUTE)), 1, 1)


def test_it_is_read_and_checked(venue: Venue, lake: Lake, dataset: Dataset) -> None:
    state = backfilled(venue, lake, dataset)
    rows = lake.scan(dataset).collect()
    assert rows.schema == TABLE.schema
    assert rows["mark"].to_list() == [price(at) for at in rows["ts"].to_physical()]
    audit = Audit(dataset)
    for some in lake.chunks(dataset, KEY):
        audit.see(some)
    audit.judge_state(state, venue.exchange.finality_delay)
    assert audit.found == {"sanity": ["2 rows are in quarantine"]}
    crooked = Audit(dataset)
    crooked.see(pl.concat([rows.head(1).with_columns(mark=-1.0), rows.head(1)]))
    assert crooked.found == {
        "sanity": ["1 rows: mark is no positive number"],
        "order_and_uniqueness": ["2 rows share one ts"],
    }


def test_what_it_would_cost_is_known(venue: Venue, lake: Lake, dataset: Dataset) -> None:
    cost = asyncio.run(estimate(venue, lake, dataset, KEY))
    assert cost.rows in (719, 720)
    assert cost.bytes == cost.rows * TABLE.bytes_per_row


def test_it_is_recorded_folded_and_united_with_history(venue: Venue, lake: Lake, dataset: Dataset) -> None:
    first, told = Us(DAY + 6 * HOUR), Told()
    recorded(lake, dataset, first, 10)
    live = lake.scan(dataset).collect()
    assert live["mark"].to_list() == [price(first + at * MINUTE) for at in range(10)]
    asyncio.run(fold_all(venue, lake, [(dataset.data_type, MINUTE)], told))
    assert (told.notes, told.rows) == ([], 10)
    assert lake.segments() == []
    assert lake.scan(dataset).collect().equals(live)
    state = lake.state(dataset, KEY)
    assert state is not None
    [span] = state.ledger.streamed()
    assert span.end == first + 10 * MINUTE
    whole = backfilled(venue, lake, dataset)
    assert whole.rows == 12 * 60 - 3
    assert {asked.source for asked in whole.ledger.asked} == {Source.REST, Source.STREAM}
    assert condition(whole.ledger, TimeRange(DAY, NOW)) is Condition.DEGRADED  # by the rows that are refused
