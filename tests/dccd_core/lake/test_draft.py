"""Fresh rows made one with those that are stored: who wins, and what makes way."""

from pathlib import Path

import polars as pl
import pytest

from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import SECOND, TimeRange, Us
from dccd_core.lake.draft import CompletenessCheck, PartitionDraft
from dccd_core.lake.lake import LakeStore, State
from dccd_core.lake.partition.ledger import Asked, Ledger, Source
from dccd_core.lake.store.folder import Folder
from tests.dccd_core.lake.samples import (
    DAY,
    SPAN,
    TRADES,
    Witness,
    asked,
    at,
    bringing,
    numbered,
    store,
    stored,
    take_away,
    trades,
)


class TakenOver(Witness):
    """A judge that knows the whole day as taken over."""

    def assess(self, ledger: Ledger) -> Ledger:
        return ledger.take_over(SPAN.minus(ledger.covered()))


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    return LakeStore(tmp_path)


def take_over(lake: LakeStore, rows: pl.DataFrame, *, fill_gaps: bool = False) -> tuple[State, int]:
    """Commit rows that nobody was asked for; return the state, and how many rows that added."""
    with lake.draft(TRADES, DAY) as draft:
        draft.yield_to_stored(fill_gaps=fill_gaps)
        draft.append(rows)
        return draft.commit([], TakenOver), draft.added


def answer(lake: LakeStore, rows: pl.DataFrame, start: int, end: int, *, judge: CompletenessCheck) -> State:
    """Commit rows that the venue gave for some seconds of the day."""
    with lake.draft(TRADES, DAY) as draft:
        draft.append(rows)
        return draft.commit([asked(start * SECOND, end * SECOND, rows=rows.height)], lambda: judge)


def nameless(*seconds: int) -> pl.DataFrame:
    return trades((second * SECOND, None, float(second)) for second in seconds)


def test_what_is_taken_over_has_no_place_in_time_that_was_asked_for(lake: LakeStore) -> None:
    answer(lake, numbered([1, 3]), 0, 4, judge=Witness())
    state, added = take_over(lake, numbered(range(6)))
    assert (state.rows, added) == (4, 2)
    assert stored(lake)["trade_id"].to_list() == ["1", "3", "4", "5"]
    assert state.ledger.imported == (TimeRange(at(4), SPAN.end),)
    assert state.ledger.covered() == [TimeRange(SPAN.start, at(4))]


def test_stored_rows_win_where_nothing_is_proven(lake: LakeStore) -> None:
    with lake.draft(TRADES, DAY) as draft:
        draft.append(trades([(1, "1", 7.0)]))
        draft.commit([], Witness)
    take_over(lake, trades([(1, "1", 8.0), (2, "2", 9.0)]))
    assert stored(lake)["price"].to_list() == [7.0, 9.0]


def test_taking_over_twice_adds_nothing_not_even_rows_without_ids(lake: LakeStore) -> None:
    first, added = take_over(lake, nameless(1, 1, 2))
    again, more = take_over(lake, nameless(1, 1, 2))
    assert (first, added, more) == (again, 3, 0)


def test_what_was_taken_over_makes_way_for_the_answer_of_its_time_alone(lake: LakeStore) -> None:
    take_over(lake, nameless(1, 2, 3, 4))
    state = answer(lake, numbered([2, 3]), 2, 4, judge=Witness())
    assert stored(lake).select("price", "trade_id").rows() == [
        (1.0, None),
        (2.0, "2"),
        (3.0, "3"),
        (4.0, None),
    ]
    assert state.ledger.imported == (TimeRange(SPAN.start, at(2)), TimeRange(at(4), SPAN.end))


def test_an_answer_without_a_row_takes_none_away(lake: LakeStore) -> None:
    take_over(lake, nameless(1, 2))
    state = answer(lake, numbered([]), 0, 4, judge=Witness())
    assert stored(lake).height == 2
    assert state.ledger.imported == (SPAN,)


def test_an_answer_that_only_the_judge_is_told_of_counts_too(lake: LakeStore) -> None:
    """As where a tail is folded: its ledger learns in the judge."""
    take_over(lake, nameless(1, 2))
    told = Asked(TimeRange(SPAN.start, at(2)), Source.STREAM, Us(1), 0, 1)
    with lake.draft(TRADES, DAY) as draft:
        draft.answered = [told]
        draft.append(numbered([1]))
        draft.commit([], Witness)
    assert stored(lake)["trade_id"].to_list() == ["1", None]


def test_what_was_asked_for_before_stays_whatever_is_answered(lake: LakeStore) -> None:
    store(lake, numbered([1, 2]))
    answer(lake, numbered([2]), 0, 4, judge=Witness())
    assert stored(lake)["trade_id"].to_list() == ["1", "2"]


def test_what_goes_elsewhere_while_it_is_drafted_is_brought_back(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    store(lake, numbered([1]))
    with lake.draft(TRADES, DAY) as draft:
        draft.append(numbered([2]))
        bringing(lake, {(TRADES, DAY): take_away(lake)})
        state = draft.commit([asked()], Witness)
    assert state.rows == 2


def test_a_draft_of_a_partition_that_nobody_holds_is_a_new_one(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    brought = bringing(lake, {})
    assert store(lake, numbered([1])).rows == 1
    assert brought == []


def test_a_draft_that_knows_no_remotes_never_writes_beside_a_record(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    store(lake, numbered([1]))
    take_away(lake)
    folder = Folder(tmp_path)
    with folder.scratch() as file:
        draft = PartitionDraft(folder, TRADES, DAY, file, lambda: None)
        with pytest.raises(LakeError, match="knows no remotes"):
            draft.commit([asked()], Witness)
    assert not Path(lake.path(TRADES, DAY)).exists()
