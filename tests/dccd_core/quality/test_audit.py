"""The audit finds what does not belong into a partition, wherever the rows are cut."""

from dataclasses import replace

import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, SECOND, TimeRange, Us
from dccd_core.lake.lake import State
from dccd_core.lake.partition.ledger import Asked, Ledger, Source
from dccd_core.quality.audit import FINAL, ORDER, QUARANTINE, SANITY, SCHEMA, Audit, Auditor
from dccd_core.quality.holes import NoCheck
from dccd_core.tables import DataType

BTC = Symbol("BTC", "USDT")
BARS = Dataset("binance", BTC, DataType.OHLC, MINUTE)
TRADES = Dataset("binance", BTC, DataType.TRADES)
BOOKS = Dataset("binance", BTC, DataType.ORDERBOOK)
SETTLE = Us(5 * SECOND)


def bars(*minutes: int, **values: object) -> pl.DataFrame:
    row: dict[str, object] = {"open": 2.0, "high": 3.0, "low": 1.0, "close": 2.0, "volume": 1.0}
    rows: list[dict[str, object]] = [
        {**row, "quote_volume": None, "trades": None, "ts": at * MINUTE, **values} for at in minutes
    ]
    return table(DataType.OHLC, rows)


def trades(*rows: tuple[int, str | None]) -> pl.DataFrame:
    row = {"price": 1.0, "amount": 1.0, "side": None, "received": None}
    return table(DataType.TRADES, [{**row, "ts": ts, "trade_id": name} for ts, name in rows])


def table(data_type: DataType, rows: list[dict[str, object]]) -> pl.DataFrame:
    schema = data_type.table.schema
    frame = pl.DataFrame([dict.fromkeys(schema) | row for row in rows])
    return frame.select(schema.names()).cast(schema)


def found(dataset: Dataset, *chunks: pl.DataFrame) -> dict[str, list[str]]:
    audit = Audit(dataset)
    for rows in chunks:
        audit.see(rows)
    return audit.findings


def state(rows: int, last: int | None, asked: int, quarantined: int = 0) -> State:
    span = TimeRange(Us(0), Us(60 * MINUTE))
    ledger = Ledger((Asked(span, Source.REST, Us(asked), 1, rows),), (), quarantined)
    return State("", rows, Us(0), None if last is None else Us(last), 1, "", ledger)


def test_nothing_is_wrong_with_good_rows() -> None:
    assert found(BARS, bars(1, 2, 3), bars(1).clear(), bars(4, 6)) == {}
    assert found(TRADES, trades((5, "9"), (5, "10")), trades((5, "11"), (7, "12"))) == {}
    assert found(TRADES, trades((5, None), (5, None)), trades((5, None))) == {}, (
        "equal trades without ids are two"
    )


@pytest.mark.parametrize(
    "chunks",
    [
        [bars(1, 2, 2, 3)],
        [bars(1, 2), bars(2, 3)],
        [bars(1), bars(2), bars(2), bars(3)],
    ],
    ids=["in one", "over a border", "alone"],
)
def test_a_bar_that_stands_twice_is_found(chunks: list[pl.DataFrame]) -> None:
    assert found(BARS, *chunks) == {ORDER: ["2 rows share one ts"]}


@pytest.mark.parametrize(
    "chunks",
    [
        [trades((1, "7"), (1, "8"), (1, "7"))],
        [trades((1, "7"), (1, "8")), trades((1, "9"), (1, "7"), (2, None))],
    ],
    ids=["in one", "over a border"],
)
def test_an_id_that_stands_twice_is_found(chunks: list[pl.DataFrame]) -> None:
    assert found(TRADES, *chunks) == {ORDER: ["2 rows share one trade_id"]}


def test_what_was_found_twice_is_not_found_again_at_the_next_border() -> None:
    assert found(BARS, bars(1, 2, 2), bars(3)) == {ORDER: ["2 rows share one ts"]}


@pytest.mark.parametrize("chunks", [[bars(1, 3, 2)], [bars(1, 3), bars(2)]], ids=["in one", "over a border"])
def test_rows_out_of_order_are_found(chunks: list[pl.DataFrame]) -> None:
    assert found(BARS, *chunks) == {ORDER: ["rows are not in the order of time"]}


def test_impossible_and_missing_values_are_found_by_their_names() -> None:
    audit = found(BARS, bars(1, 2, high=0.5), bars(3), bars(4, close=None), bars(5, volume=float("nan")))
    impossible = ["high is below another price", "low is above another price"]
    assert audit == {
        SANITY: [*(f"2 rows: {text}" for text in impossible), "1 rows: volume is negative or no number"],
        SCHEMA: ["1 rows: close is missing"],
    }


def test_another_table_is_found() -> None:
    [text] = found(BARS, bars(1).drop("volume"))[SCHEMA]
    assert "volume" in text


def test_a_book_whose_level_stands_twice_is_found() -> None:
    row: dict[str, object] = {"ts": 1, "side": "bid", "level": 0, "price": 1.0, "amount": 1.0}
    book = table(DataType.ORDERBOOK, [row, {**row, "side": "ask"}, {**row, "level": 1}])
    assert found(BOOKS, book) == {}
    assert found(BOOKS, book, book.head(1)) == {ORDER: ["2 rows share one ts and side and level"]}


@pytest.mark.parametrize("late", [-1, 0, 1])
def test_a_bar_must_be_older_than_the_question(late: int) -> None:
    """Closed, and settled, before it was asked for."""
    audit = Audit(BARS)
    audit.see(bars(0, 1))
    audit.judge_state(state(2, MINUTE, 2 * MINUTE + SETTLE + late), SETTLE)
    assert (FINAL in audit.findings) == (late < 0)


def test_the_footer_must_agree_and_quarantine_is_not_forgotten() -> None:
    audit = Audit(TRADES)
    audit.see(trades((5, "9")))
    audit.judge_state(state(2, 5, 10**18, quarantined=3), SETTLE)
    assert audit.findings == {
        SCHEMA: ["the footer says 2 rows, there are 1"],
        QUARANTINE: ["3 rows are in quarantine"],
    }


def test_an_empty_partition_is_no_fault() -> None:
    audit = Audit(BARS)
    audit.judge_state(replace(state(0, None, 0), first=None), SETTLE)
    assert audit.findings == {}


def test_rows_without_what_tells_them_apart_may_be_equal_beside_others() -> None:
    assert found(TRADES, trades((5, None), (5, "9"), (5, None), (6, "9"), (6, "10"), (6, None))) == {}
    assert found(TRADES, trades((5, "9"), (5, None), (5, "10")), trades((5, "9"))) == {
        ORDER: ["2 rows share one trade_id"]
    }


def test_what_is_written_is_audited_anew_when_it_is_written_anew() -> None:
    auditor, ledger = Auditor(BARS), Ledger(quarantined=7)
    assert auditor.audit is None
    for opens in ((1, 1), (1, 2)):
        judge = auditor.beside(NoCheck())
        judge.see(bars(*opens))
        assert judge.assess(ledger) == ledger
    assert auditor.audit is not None
    assert (auditor.audit.rows, auditor.audit.findings) == (2, {})


def test_a_bar_that_was_imported_was_not_stored_by_us_before_it_was_final() -> None:
    late = state(1, last=59 * MINUTE, asked=59 * MINUTE)
    imported = replace(late, ledger=late.ledger.take_over([TimeRange(Us(50 * MINUTE), Us(60 * MINUTE))]))
    for one, findings in ((late, [FINAL]), (imported, [])):
        audit = Audit(BARS)
        audit.see(bars(59))
        audit.judge_state(one, SETTLE)
        assert list(audit.findings) == findings
