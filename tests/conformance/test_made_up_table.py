"""Adding a data type takes its file and its line in the registry: here, a made-up one, of a made-up exchange.

Its file and the exchange's stand in ``made_up``. It is asked for, recorded, folded, read, refused where it
cannot be true, checked, judged and shown. ``test_made_up_project.py`` does the rest, in a copy of all.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import fields
from email.utils import format_datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import polars as pl
import pytest

from dccd_core import exchanges
from dccd_core.adapter.contract import Request, Response
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, TimeRange, Us, moment, parse_time
from dccd_core.fetch.estimate import estimate
from dccd_core.fetch.fill import Filled, fill
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore, State
from dccd_core.lake.partition.ledger import Condition, Source, condition
from dccd_core.net.clock import Clock, ManualClock
from dccd_core.net.virtual import VirtualClock, VirtualLoop, run_virtually
from dccd_core.net.websocket import Socket
from dccd_core.quality.audit import Audit
from dccd_core.stream.api import StreamPlan
from dccd_core.stream.fold import fold_all
from dccd_core.stream.run import run_stream
from dccd_core.tables import DataType, Table
from dccd_pipeline.assets.checks import check_specs
from dccd_pipeline.assets.metadata import partition_metadata, partition_view
from dccd_pipeline.assets.spec import dataset_spec
from dccd_pipeline.cli.capability_table import exchange_table
from dccd_pipeline.cli.inventory import holdings
from dccd_pipeline.tags import COLUMN_SCHEMA, DATA_TYPE
from tests.conformance.made_up.marks import TABLE

BTC = Symbol("BTC", "USDT")
DAY = parse_time("2024-06-05")
NOW = Us(DAY + 12 * HOUR)
KEY = "2024-06-05"
WRONG = Us(DAY + 7 * MINUTE)
UNREADABLE = Us(DAY + 70 * MINUTE)


def member() -> DataType:
    """Return what its line in ``DataType`` makes of the table."""
    name = str.__new__(DataType, TABLE.name)
    for attribute, value in {"_name_": "MARKS", "_value_": TABLE.name, "table": TABLE}.items():
        setattr(name, attribute, value)
    return name


MARKS = member()


@pytest.fixture
def marks(monkeypatch: pytest.MonkeyPatch) -> DataType:
    """Register the table and the exchange, as their lines would."""
    monkeypatch.setitem(DataType._value2member_map_, TABLE.name, MARKS)
    monkeypatch.setitem(DataType._member_map_, "MARKS", MARKS)
    monkeypatch.setattr(DataType, "_member_names_", [*DataType._member_names_, "MARKS"])
    monkeypatch.setattr(exchanges, "NAMES", (*exchanges.NAMES, "octopus"))
    for name in ("octopus", "octopus_live"):
        module = import_module(f"tests.conformance.made_up.{name}")
        monkeypatch.setitem(sys.modules, f"dccd_core.exchanges.{name}", module)
    return MARKS


def price(at: int) -> float:
    return -1.0 if at == WRONG else 100.0 + at // MINUTE % 7


class Octopus:
    """Answers with every minute's mark until now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def send(self, request: Request) -> Response:
        now, rows = self._clock.now(), list[tuple[int, object]]()
        if request.path == "/marks":
            start, end = max(DAY, int(request.params["from"])), int(request.params["to"])
            times = range(start, min(end, now), MINUTE)
            rows = [(at, "?" if at == UNREADABLE else price(at)) for at in times][:100]
        date = {"date": format_datetime(moment(now), usegmt=True)}
        return Response(200, date, msgspec.json.encode(rows), now)


class Pushing:
    """The client's end of a connection: an answer, then every mark as its minute ends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said = asyncio.Queue[bytes]()
        self.heard = clock.steady()

    async def send(self, message: bytes) -> None:
        said = msgspec.json.decode(message)
        if "listen" in said:
            self._said.put_nowait(msgspec.json.encode([said["id"]]))

    async def receive(self) -> tuple[list[bytes], list[Us]]:
        if self.heard and self._said.empty():
            minute = self._clock.now() // MINUTE * MINUTE
            await self._clock.sleep((minute + MINUTE - self._clock.now()) / SECOND)
            self._said.put_nowait(msgspec.json.encode(["BTCUSDT", minute, price(minute)]))
        message = await self._said.get()
        self.heard = max(Us(1), self._clock.steady())
        return [message], [self._clock.now()]


@pytest.fixture
def venue(marks: DataType) -> Venue:
    assert marks == TABLE.name
    clock = ManualClock(NOW)
    return Venue(exchanges.get("octopus"), Octopus(clock), clock)


@pytest.fixture
def dataset(marks: DataType) -> Dataset:
    return Dataset("octopus", BTC, marks, MINUTE)


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    return LakeStore(tmp_path / "lake")


def backfilled(venue: Venue, lake: LakeStore, dataset: Dataset) -> State:
    def unheeded(_: Dataset, __: str, ___: int, ____: Us) -> None: ...

    filled: Filled = asyncio.run(fill(venue, lake, dataset, KEY, unheeded))
    assert filled.state is not None
    return filled.state


class Told:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.rows = 0

    def beat(self, health: object) -> None: ...

    def folded(self, dataset: Dataset, key: str, state: State, rows: int) -> None:
        self.rows += rows

    def note(self, text: str, *, wrong: bool) -> None:
        self.notes.append(text)


def recorded(lake: LakeStore, dataset: Dataset, first: Us, minutes: int) -> Told:
    """Listen to the exchange's WebSocket for some minutes."""
    told = Told()

    async def record(loop: VirtualLoop) -> None:
        clock, stop = VirtualClock(loop, first), asyncio.Event()
        venue = Venue(exchanges.get(dataset.exchange), Octopus(clock), clock)

        @asynccontextmanager
        async def connect(_: str) -> AsyncGenerator[Socket]:
            yield Pushing(clock)

        running = run_stream(StreamPlan("all", (dataset,)), venue, connect, lake, stop, told)
        loop.call_later(minutes * 60 + 30, stop.set)
        await running

    run_virtually(record)
    return told


def test_it_is_asked_for_and_kept_as_its_table_says(venue: Venue, lake: LakeStore, dataset: Dataset) -> None:
    state = backfilled(venue, lake, dataset)
    assert state.rows == 12 * 60 - 3  # one is wrong, one cannot be read, one runs
    assert dataset.parts == ("octopus", "marks", "BTC-USDT", "1m")
    assert Dataset.parse(str(dataset)) == dataset
    assert "marks/exchange=octopus/symbol=BTC-USDT/span=1m/period=2024-06-05" in state.path
    assert list(lake.datasets()) == [dataset]


def test_a_row_that_cannot_be_true_is_kept_beside_it(venue: Venue, lake: LakeStore, dataset: Dataset) -> None:
    state = backfilled(venue, lake, dataset)
    kept = lake.quarantined(dataset, KEY).sort("ts")
    assert kept.schema == {**TABLE.schema, "reason": pl.String()}
    assert kept.select(pl.col("ts").to_physical(), "mark").rows() == [(WRONG, -1.0), (UNREADABLE, None)]
    assert kept["reason"][0] == "mark is no positive number"
    assert kept["reason"][1].startswith("cannot be read: ")
    for gap, at in zip(state.ledger.gaps(), (WRONG, UNREADABLE), strict=True):
        assert (gap.span, gap.missing, gap.refused) == (TimeRange(at, Us(at + MINUTE)), 1, 1)


def test_it_is_read_and_checked(venue: Venue, lake: LakeStore, dataset: Dataset) -> None:
    state = backfilled(venue, lake, dataset)
    rows = lake.scan(dataset).collect()
    assert rows.schema == TABLE.schema
    assert rows["mark"].to_list() == [price(at) for at in rows["ts"].to_physical()]
    audit = Audit(dataset)
    for some in lake.chunks(dataset, KEY):
        audit.see(some)
    audit.judge_state(state, venue.exchange.finality_delay)
    assert audit.findings == {"quarantine": ["2 rows are in quarantine"]}
    crooked = Audit(dataset)
    crooked.see(pl.concat([rows.head(1).with_columns(mark=-1.0), rows.head(1)]))
    assert crooked.findings == {
        "sanity": ["1 rows: mark is no positive number"],
        "order": ["2 rows share one ts"],
    }


def test_what_it_would_cost_is_known(venue: Venue, lake: LakeStore, dataset: Dataset) -> None:
    cost = asyncio.run(estimate(venue, lake, dataset, KEY))
    assert cost.rows in (719, 720)
    assert cost.bytes == cost.rows * TABLE.bytes_per_row


def test_it_is_recorded_folded_and_united_with_history(
    venue: Venue, lake: LakeStore, dataset: Dataset
) -> None:
    first = Us(DAY + 6 * HOUR)
    told = recorded(lake, dataset, first, 10)
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


def test_it_is_shown_in_the_inventory(venue: Venue, lake: LakeStore, dataset: Dataset) -> None:
    state = backfilled(venue, lake, dataset)
    [one] = holdings(lake, NOW)
    assert (one.dataset, one.condition, one.rows, one.partitions) == (dataset, Condition.DEGRADED, 717, 1)
    assert (one.first, one.last, one.gaps, one.quarantined) == (DAY, NOW - 2 * MINUTE, 2, 2)
    assert one.bytes == state.bytes


@pytest.mark.usefixtures("marks")
def test_it_is_shown_among_what_the_exchange_serves() -> None:
    [row] = [row for row in exchange_table(["octopus"]) if row["data_type"] == "marks"]
    assert (row["reach"], row["spans"], row["page_limit"]) == ("full history", ["1m"], 100)
    assert (row["paging"], row["limits"]) == ("time windows", ["8 per 1s"])
    assert (row["live"], row["live_docs"]) == ("final mark prices", "https://octopus.example/live")


def test_its_asset_says_what_it_is(venue: Venue, lake: LakeStore, dataset: Dataset) -> None:
    state = backfilled(venue, lake, dataset)
    spec = dataset_spec(dataset, "s3://bucket", "Octopus")
    assert spec.tags[DATA_TYPE] == "marks"
    said = partition_metadata(dataset, KEY, {KEY: state})
    for schema in (spec.metadata[COLUMN_SCHEMA], said[COLUMN_SCHEMA].value):
        assert isinstance(schema, dg.TableSchema)
        described = {column.name: column.description for column in schema.columns}
        assert described == dict(TABLE.descriptions)
        assert not any(column.constraints.nullable for column in schema.columns)
    view = partition_view(lake, dataset, KEY)
    last = view["last_rows"]
    assert isinstance(last, dg.TableMetadataValue)
    assert last.records[-1].data["mark"] == price(NOW - 2 * MINUTE)
    assert "![mark](data:image/png" in str(view["chart"].value)
    assert {check.name for check in check_specs(dataset)} == {"intact", "complete", "up_to_date"}


PARTS: dict[str, Any] = {field.name: getattr(TABLE, field.name) for field in fields(Table)}
OPTIONAL = {"tolerance", "last_wins", "takes_span", "takes_depth", "two_sided", "vast", "synonyms"}
BUILT = {"built_from", "lineage"}


@pytest.mark.parametrize("part", sorted({*PARTS} - OPTIONAL - BUILT))
def test_a_part_that_is_forgotten_is_named(part: str) -> None:
    with pytest.raises(TypeError, match=f"'{part}'"):
        Table(**{name: value for name, value in PARTS.items() if name != part})


@pytest.mark.parametrize(
    ("part", "value", "named"),
    [
        ("schema", pl.Schema({"mark": pl.Float64()}), "ts is to be a required column"),
        (
            "schema",
            pl.Schema({**TABLE.schema, "ts": pl.Datetime("ms")}),
            "ts is to be a required column",
        ),
        ("schema", pl.Schema({**TABLE.schema, "index": pl.Float64()}), "descriptions says nothing of index"),
        ("descriptions", {"ts": "the minute, UTC"}, "descriptions says nothing of mark"),
        (
            "descriptions",
            {**TABLE.descriptions, "index": "the index"},
            "descriptions names index, which is no column",
        ),
        ("required", ("mark",), "ts is to be a required column"),
        ("required", ("ts", "index"), "required names index, which is no column"),
        ("key", (), "key is empty"),
        ("key", ("trade_id",), "key names trade_id, which is no column"),
        ("order", (), "order is empty"),
        ("order", (pl.col("ts"), pl.col("level")), "order names level, which is no column"),
        ("chart", "price", "chart names price, which is no column"),
        ("dictionaries", ("side",), "dictionaries names side, which is no column"),
        ("built_from", "trades", "lineage says nothing of mark"),
        ("lineage", {"open": ("price",)}, "lineage names open, which is no column"),
    ],
)
def test_parts_that_do_not_fit_together_are_named(part: str, value: Any, named: str) -> None:
    with pytest.raises(ValueError, match=f"the table marks: .*{named}"):
        Table(**{**PARTS, part: value})
