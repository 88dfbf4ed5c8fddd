"""What ticks appended is told by claims alone, whatever streams and files say beside it."""

from pathlib import Path

import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import LakeError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY as ONE_DAY
from dccd_core.domain.timespan import SECOND, TimeRange, Us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.live.segments import segment_schema
from dccd_core.lake.partition.ledger import Answer, Asked, Hole, Ledger, Source
from dccd_core.tables import DataType
from tests.dccd_core.lake.samples import (
    DAY,
    SPAN,
    TRADES,
    at,
    began,
    begin,
    ended,
    live,
    many,
    notes,
    numbered,
    store,
)

ETH = Dataset("binance", Symbol("ETH", "USDT"), DataType.TRADES)
NEXT = "2024-02-01"


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    return LakeStore(tmp_path)


def answer(start: int, end: int, when: int, rows: int = 0) -> Answer:
    return Answer((Asked(TimeRange(at(start), at(end)), Source.REST, Us(when), 1, rows),))


def append(lake: LakeStore, rows: pl.DataFrame, *answers: Answer, dataset: Dataset = TRADES) -> int:
    symbol = str(dataset.symbol)
    return lake.tail(dataset).append(live(rows, symbol), {symbol: answers}, Us(answers[0].asked[0].at))


def spans(ledger: Ledger | None) -> list[tuple[int, int, str]]:
    assert ledger is not None
    return [
        ((one.span.start - SPAN.start) // SECOND, (one.span.end - SPAN.start) // SECOND, one.source.value)
        for one in ledger.asked
    ]


def test_nothing_is_known_of_what_nobody_asked_for(lake: LakeStore) -> None:
    assert lake.known(TRADES, DAY) is None
    assert lake.all_known(TRADES) == {}
    assert list(lake.tail(TRADES).read().parts()) == []


def test_what_was_asked_is_known_beside_what_is_stored(lake: LakeStore) -> None:
    stored = store(lake, numbered([1, 2]))
    assert lake.known(TRADES, DAY) == stored
    append(lake, numbered([3, 4]), answer(ONE_DAY // SECOND, ONE_DAY // SECOND + 5, 7, 2))
    state = lake.known(TRADES, NEXT)
    assert state
    assert (state.rows, state.first, state.unfolded, state.content_hash) == (0, None, 2, "")
    assert state.path == lake.path(TRADES, NEXT)
    assert list(lake.all_known(TRADES)) == [DAY, NEXT]
    assert lake.known(TRADES, DAY) == stored
    assert lake.known(ETH, NEXT) is None


def test_parts_tell_how_much_there_is_since_when(lake: LakeStore) -> None:
    append(lake, numbered([1]), answer(0, 5, 7, 1))
    append(lake, numbered([6]), answer(5, 10, 9, 1))
    append(lake, numbered([6]), answer(0, 3, 8, 1), dataset=ETH)
    [btc, eth] = lake.tail(TRADES).read().parts()
    assert (btc.dataset, btc.key, btc.rows, btc.since, btc.until) == (TRADES, DAY, 2, 7, at(10))
    assert (eth.dataset, eth.rows, eth.since, eth.until) == (ETH, 1, 8, at(3))


def test_streams_and_ticks_are_one_ledger(lake: LakeStore) -> None:
    with begin(lake) as writer:
        writer.append(live(numbered([3])), notes(at(5), [began(2)]))
        append(lake, numbered([1]), answer(0, 2, 7, 1))
        state = lake.known(TRADES, DAY)
        assert spans(state and state.ledger) == [(0, 2, "rest"), (2, 5, "stream")]
        writer.append(live(numbered([6])), notes(at(9), [ended(8, "connection lost"), began(9)]))
        append(lake, numbered([1]), answer(8, 9, 8, 1))
    state = lake.known(TRADES, DAY)
    assert state
    assert spans(state.ledger) == [(0, 2, "rest"), (2, 8, "stream"), (8, 9, "rest")]
    assert state.ledger.lost == ()


def test_a_living_segment_is_read_on_from_where_it_was(lake: LakeStore) -> None:
    tail = lake.tail(TRADES)
    with begin(lake) as writer:
        for n in range(1, 5):
            writer.append(live(numbered([n])), notes(at(n), [began(0)] if n == 1 else []))
            before = tail.read().ledger(TRADES, DAY, None)
            assert spans(before) == [(0, n, "stream")]
    assert spans(tail.read().ledger(TRADES, DAY, None)) == [(0, 4, "stream")]
    Path(writer.path).unlink()
    assert tail.read().ledger(TRADES, DAY, None) is None


def test_what_was_read_stays_as_it_was(lake: LakeStore) -> None:
    tail = lake.tail(TRADES)
    with begin(lake) as writer:
        writer.append(live(numbered([1])), notes(at(1), [began(0)]))
        before = tail.read()
        writer.append(live(numbered([2])), notes(at(2)))
        after = tail.read()
    assert spans(before.ledger(TRADES, DAY, None)) == [(0, 1, "stream")]
    assert spans(after.ledger(TRADES, DAY, None)) == [(0, 2, "stream")]


def test_an_append_is_one_write_of_what_is_new(lake: LakeStore, tmp_path: Path) -> None:
    store(lake, many(0, 50_000))
    rows = many(50_000, 1_300)
    written = append(lake, rows, answer(500, 560, 7, 1_300))
    [info] = lake.segments()
    assert written == info.bytes
    assert not info.living
    plain = live(rows).to_arrow().cast(segment_schema(DataType.TRADES).remove_metadata())
    assert written <= 3 * plain.nbytes
    assert written == append(LakeStore(tmp_path / "other"), rows, answer(500, 560, 7, 1_300))


def test_half_an_append_is_none(lake: LakeStore, tmp_path: Path) -> None:
    append(lake, numbered([1]), answer(0, 5, 7, 1))
    append(lake, numbered([6]), answer(5, 10, 9, 1))
    newest = Path(lake.segments()[-1].path)
    whole = newest.read_bytes()
    for size in range(0, len(whole), 97):
        newest.write_bytes(whole[:size])
        again = LakeStore(tmp_path)
        state = again.known(TRADES, DAY)
        assert spans(state and state.ledger) == [(0, 5, "rest")]
        assert again.scan(TRADES).collect()["trade_id"].to_list() == ["1"]
    newest.write_bytes(whole)
    state = LakeStore(tmp_path).known(TRADES, DAY)
    assert spans(state and state.ledger) == [(0, 10, "rest")]


def test_what_is_refused_leaves_nothing(lake: LakeStore) -> None:
    rows = numbered([1]).with_columns(price=pl.lit(None, pl.Float64))
    with pytest.raises(LakeError, match="nulls"):
        append(lake, rows, answer(0, 5, 7, 1))
    assert LakeStore(lake.url).known(TRADES, DAY) is None
    assert lake.scan(TRADES).collect().height == 0


def test_holes_travel_with_the_answer(lake: LakeStore) -> None:
    hole = Hole(TimeRange(at(1), at(2)), 3, (Us(7),), "nothing was traded", refused=1)
    told = Answer(answer(0, 5, 7).asked, (hole,), quarantined=1)
    append(lake, numbered([]), told)
    state = lake.known(TRADES, DAY)
    assert state
    assert state.ledger == Ledger(told.asked, (hole,), 1)


def test_a_thousand_appends_are_one_source_of_rows(lake: LakeStore) -> None:
    """As long as each goes on where the one before ended; rows without an id are not counted down then."""
    tail = lake.tail(TRADES)
    equal = numbered([1]).with_columns(trade_id=pl.lit(None, pl.String))
    for n in range(3):
        tail.append(live(pl.concat([equal, equal])), {"BTC/USDT": [answer(n, n + 1, n + 1, 2)]}, Us(n))
    with lake.harvest("binance", DataType.TRADES) as harvest:
        assert sum(rows.height for rows in harvest.rows(TRADES, DAY)) == 6
