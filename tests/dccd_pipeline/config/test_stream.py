"""One entry of ``stream``: what is accepted, what is refused, and what is said then."""

from datetime import date
from pathlib import Path

import jsonschema
import pytest
import yaml

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, Us
from dccd_core.exchanges import get
from dccd_core.stream.api import StreamPlan
from dccd_core.tables import DataType
from dccd_pipeline.config.capabilities import listed_spans
from dccd_pipeline.config.read import SettingsError, json_schema, parse_settings
from dccd_pipeline.config.settings import Origin
from dccd_pipeline.config.stream import StreamEntry
from tests.dccd_pipeline.held import BOOKS, HOURS, TRADES

HERE = Origin("dccd.yaml", Path("/etc/dccd"))
ETH = Symbol("ETH", "USDT")


def entry(changes: str = "", drop: str = "") -> str:
    """Write one sound stream, but for ``changes`` and the keys in ``drop``."""
    keys = {"name": "majors", "exchange": "binance", "symbols": "[BTC/USDT]", "data_types": "[trades]"}
    kept = [f"{key}: {value}" for key, value in keys.items() if f"{key}: " not in changes and key != drop]
    return f"{{{', '.join([*kept, changes] if changes else kept)}}}"


def read(*streams: str, more: str = "") -> tuple[StreamEntry, ...]:
    return parse_settings("\n".join([more, "stream:", *(f"  - {one}" for one in streams)]), HERE).stream


def lines(*streams: str, more: str = "") -> tuple[str, ...]:
    with pytest.raises(SettingsError) as e:
        read(*streams, more=more)
    return e.value.lines


def test_an_entry_is_a_plan() -> None:
    changes = (
        "data_types: [trades, orderbook], symbols: [BTC/USDT, ETH/USDT], depth: 20, snapshot_every: 500ms"
    )
    (found,) = read(entry(changes))
    datasets = (
        TRADES,
        BOOKS,
        Dataset("binance", ETH, DataType.TRADES),
        Dataset("binance", ETH, DataType.ORDERBOOK),
    )
    assert found.plan == StreamPlan("majors", datasets, 20, Us(500 * MILLISECOND))
    assert found.job == "stream_majors"


def test_what_is_left_out_has_a_default() -> None:
    (books,) = read(entry("data_types: [orderbook]"))
    assert (books.depth, books.snapshot_every) == (50, SECOND)
    (bars,) = read(entry("data_types: [ohlc], span: 1h"))
    assert bars.datasets == (HOURS,)
    assert (bars.depth, bars.snapshot_every) == (None, None)


def test_a_start_may_be_left_out() -> None:
    (found,) = read(entry())
    assert found.start is None
    assert read(entry("start: 2024-05-06"))[0].start == date(2024, 5, 6)


@pytest.mark.parametrize(
    ("typed", "every"), [("100ms", 100 * MILLISECOND), ("2", 2 * SECOND), ("1s", SECOND), ("1m", MINUTE)]
)
def test_intervals_of_snapshots(typed: str, every: int) -> None:
    assert read(entry(f"data_types: [orderbook], snapshot_every: {typed}"))[0].snapshot_every == every


@pytest.mark.parametrize(
    ("typed", "length"), [("10m", 10 * MINUTE), ("1h", HOUR), ("90", 90 * SECOND), ("1d", DAY)]
)
def test_how_long_it_may_be_silent(typed: str, length: int) -> None:
    assert read(entry(f"silent_after: {typed}"))[0].silent_after == length
    assert read(entry())[0].silent_after == 10 * MINUTE


@pytest.mark.parametrize(
    ("typed", "length"), [("10m", 10 * MINUTE), ("1d", DAY), ("90", 90 * SECOND), ("auto", None)]
)
def test_how_often_it_is_folded(typed: str, length: int | None) -> None:
    (found,) = read(entry(f"fold_every: {typed}"))
    assert (found.fold_every, found.plan.fold_every) == (length, length or HOUR)
    assert (read(entry())[0].fold_every, read(entry())[0].plan.fold_every) == (None, HOUR)


def said_spans(exchange: str) -> str:
    live = get(exchange).live
    assert live is not None
    channel = live.channel("spot", DataType.OHLC)
    assert channel is not None
    return listed_spans(channel.spans)


DEEPEST = 1000
REFUSALS = [
    (entry(drop="name"), "name: missing -> write name: majors"),
    (entry("name: my-name"), "name: 'my-name' is not letters, digits and _ after a letter -> write my_name"),
    (entry("exchange: binanc"), "exchange: unknown exchange 'binanc' -> did you mean 'binance'?"),
    (
        entry("symbols: [BTCUSDT]"),
        "symbols[0]: symbol 'BTCUSDT' is not in unified notation -> write BTC/USDT",
    ),
    (entry("symbols: []"), "symbols: has nothing in it -> write symbols: [BTC/USDT, ETH/USDT]"),
    (entry("data_types: [trade]"), "data_types[0]: unknown data type 'trade' -> did you mean trades?"),
    (entry("data_types: [x]"), "data_types[0]: unknown data type 'x' -> known: ohlc, trades, orderbook"),
    (entry("data_types: []"), "data_types: has nothing in it -> write data_types: [trades, orderbook]"),
    (entry("data_types: [trades, trades]"), "data_types: trades is there twice -> remove one of the two"),
    (
        entry("data_types: trades"),
        "data_types: should be a list, not 'trades' -> write data_types: [trades, orderbook]",
    ),
    (entry("data_type: [trades]", drop="data_types"), "data_type: unknown key -> did you mean data_types?"),
    (entry("data_types: [ohlc]"), f"span: missing, ohlc needs one -> write one of {said_spans('binance')}"),
    (entry("span: 1m"), "span: only ohlc has a span -> remove it, or add ohlc to data_types"),
    (
        entry("data_types: [ohlc], span: 7m"),
        f"span: binance pushes no 7m bars -> nearest is 5m, it pushes {said_spans('binance')}",
    ),
    (entry("depth: 10"), "depth: only orderbook has a depth -> remove it, or add orderbook to data_types"),
    (
        entry(f"exchange: kraken, symbols: [BTC/USD], data_types: [orderbook], depth: {DEEPEST + 1}"),
        f"depth: kraken pushes at most {DEEPEST} levels, not {DEEPEST + 1} -> write {DEEPEST}",
    ),
    (
        entry("data_types: [orderbook], depth: 0"),
        "depth: should be greater than or equal to 1, not 0 -> write depth: 50",
    ),
    (
        entry("snapshot_every: 1s"),
        "snapshot_every: only orderbook has a snapshot_every -> remove it, or add orderbook to data_types",
    ),
    (
        entry("data_types: [orderbook], snapshot_every: 99ms"),
        "snapshot_every: 99ms is more often than can be kept -> write 100ms or more",
    ),
    (
        entry("data_types: [orderbook], snapshot_every: often"),
        "snapshot_every: 'often' is no interval -> write it like 100ms, 1s or 1m",
    ),
    (
        entry("silent_after: soon"),
        "silent_after: 'soon' is no length of time -> write it like 10m or 1h",
    ),
    (
        entry("silent_after: 10s"),
        "silent_after: 10s is too short to be told from a quiet market -> write 1m or more",
    ),
    (entry("fold_every: 0"), "fold_every: a stream has no ticks to fold at -> write 1m or more"),
    (entry("fold_every: 10s"), "fold_every: cannot fold every 10s -> write 1m or more, or auto"),
    (entry("fold_every: 2d"), "fold_every: cannot fold every 2d -> write 1d or less, or auto"),
    (
        entry("fold_every: often"),
        "fold_every: 'often' is no length of time -> write it like 10m, 1h or auto",
    ),
    (entry("name: pause"), "name: 'pause' is a word of `dccd stream` -> write pause_1"),
    (entry("start: tomorrow"), "start: 'tomorrow' is no day -> write it like 2024-01-01"),
    (
        entry("symbols: [BTC/USD:BTC]"),
        "symbols[0]: binance has no inverse markets, so no BTC/USD:BTC -> its spot market would be BTC/USD",
    ),
]


@pytest.mark.parametrize(("text", "line"), REFUSALS, ids=[line.partition(" ->")[0] for _, line in REFUSALS])
def test_each_mistake_is_one_line(text: str, line: str) -> None:
    assert lines(text) == (f"stream[0].{line}",)


def test_a_closed_exchange_says_when_and_which_are_open() -> None:
    (line,) = lines(entry("exchange: bitmex, symbols: [BTC/USD:BTC]"))
    assert line.startswith("stream[0].exchange: BitMEX closed on 2026-")
    assert "binance" in line.partition(" -> ")[2]
    assert "bitmex" not in line.partition(" -> ")[2]


def test_a_start_in_the_future_is_refused_with_today() -> None:
    (line,) = lines(entry("start: 2999-01-01"))
    assert line.startswith("stream[0].start: 2999-01-01 is in the future -> write 20")


def test_a_dataset_is_recorded_once_and_a_name_given_once() -> None:
    second = "name: majors, symbols: [ETH/USDT, BTC/USDT]"
    way_out = "remove one of the two"
    assert lines(entry(), entry(second), entry("name: twice, symbols: [A/USDT, A/USDT]")) == (
        "stream[1].name: majors is already the name of stream[0]"
        " -> give one of the two a name of its own, like majors_2",
        f"stream[1].symbols[1]: binance/trades/BTC-USDT is already recorded by stream[0] -> {way_out}",
        f"stream[2].symbols[1]: binance/trades/A-USDT is already recorded by stream[2] -> {way_out}",
    )


def test_what_is_collected_may_be_recorded_too_but_not_under_one_name() -> None:
    collect = "collect: [{exchange: binance, symbols: [BTC/USDT], data_type: trades}]"
    assert read(entry(), more=collect)
    taken = collect.replace("[{", "[{name: stream_majors, ")
    assert lines(entry(), more=taken) == (
        "stream[0].name: its job would be called like that of collect[0]"
        " -> give one of the two another name, like majors_live",
    )


def test_clashes_show_beside_other_mistakes() -> None:
    first, second = entry(), entry("name: other, snapshot_every: 1s")
    assert [line.partition(": ")[0] for line in lines(first, second)] == [
        "stream[1].symbols[0]",
        "stream[1].snapshot_every",
    ]


def test_the_schema_knows_streams() -> None:
    check = jsonschema.Draft202012Validator(json_schema())
    sound = yaml.load(entry("data_types: [ohlc], span: 1m, start: 2024-01-01"), yaml.BaseLoader)
    assert check.is_valid({"stream": [sound]})
    for wrong in ({"symbols": ["BTCUSDT"]}, {"data_types": ["trade"]}, {"name": "a-b"}, {"colour": "red"}):
        assert not check.is_valid({"stream": [{**sound, **wrong}]})
    assert all(field["description"] for field in json_schema()["$defs"]["StreamEntry"]["properties"].values())
