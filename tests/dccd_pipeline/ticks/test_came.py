"""What came of a tick so far: states, failures, and what may work a little later."""

from dataclasses import replace
from typing import Final

import pytest

from dccd_core.domain.errors import DccdError, OutOfReach, Rejected, Unavailable, UnknownSymbol
from dccd_core.fetch.fill import Filled
from dccd_core.fetch.tick import TickReport
from dccd_core.fetch.together import Outcome
from dccd_core.quality.audit import Audit
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.ticks.came import Came, Change
from dccd_pipeline.ticks.due import Found
from tests.dccd_pipeline.held import HOURS, MINUTES, TRADES, state

DAY: Final = "2024-01-31"
(ENTRY,) = settings_of(
    {
        "collect": [
            {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "trades", "start": "2024-01-01"}
        ]
    }
).collect


@pytest.fixture
def came() -> Came:
    return Came(ENTRY, Found({TRADES: {}, HOURS: {}}))


def test_what_was_stored_is_the_state_from_then_on(came: Came) -> None:
    stored = state(TRADES, DAY)
    assert came.take(Outcome(TRADES, DAY, Filled(stored, 2, 3))) == Change(TRADES, DAY, None, stored)
    more = replace(stored, rows=9)
    assert came.take(Outcome(TRADES, DAY, Filled(more, 1, 6))) == Change(TRADES, DAY, stored, more)
    assert came.take(Outcome(HOURS, "2024", Filled(None, 1))) is None
    assert came.states == {TRADES: {DAY: more}, HOURS: {}}
    assert (came.totals.rows, came.totals.requests) == (9, 4)
    assert came.done == {(TRADES, DAY), (HOURS, "2024")}


@pytest.mark.parametrize(("before", "written"), [(None, True), ("", True), ("a hash", False)])
def test_a_file_where_there_was_none_is_noted(came: Came, before: str | None, *, written: bool) -> None:
    after = state(TRADES, DAY)
    if before is not None:
        came.states[TRADES][DAY] = replace(after, content_hash=before)
    came.take(Outcome(TRADES, DAY, Filled(after)))
    assert came.written is written


def test_nothing_was_written_where_nothing_is_known(came: Came) -> None:
    came.take(Outcome(TRADES, DAY, Filled(None)))
    assert not came.written


def test_what_was_seen_of_a_file_counts_unless_somebody_has_written_it_since(came: Came) -> None:
    stored = state(TRADES, DAY)
    came.take(Outcome(TRADES, DAY, Filled(stored, audit=Audit(TRADES, rows=stored.rows - 1))))
    assert came.audits == {}
    audit = Audit(TRADES, rows=stored.rows)
    came.take(Outcome(TRADES, DAY, Filled(stored, audit=audit)))
    assert came.audits == {TRADES: {DAY: audit}}


def test_of_a_fold_the_partitions_of_the_entry_are_taken(came: Came) -> None:
    stored = state(TRADES, DAY)
    folded = [
        (TRADES, DAY, Filled(stored)),
        (MINUTES, "2024-01", Filled(stored)),
        (HOURS, "2024", Filled(None)),
    ]
    changes = list(came.take_folded(TickReport(bytes=7, why="it is over", folded=folded)))
    assert changes == [Change(TRADES, DAY, None, stored)]
    list(came.take_folded(TickReport(bytes=1)))
    assert (came.totals.bytes, came.totals.folded, came.totals.why) == (8, 3, "it is over")


@pytest.mark.parametrize(
    ("error", "stored", "fails"),
    [
        (Rejected("no"), True, True),
        (OutOfReach("too old"), False, False),
        (UnknownSymbol("unknown"), False, True),
        (UnknownSymbol("unknown"), True, False),
    ],
)
def test_what_the_exchange_does_not_know_any_more_is_no_failure(
    came: Came, error: DccdError, *, stored: bool, fails: bool
) -> None:
    if stored:
        came.states[TRADES][DAY] = state(TRADES, DAY)
    assert came.take(Outcome(TRADES, DAY, error)) is None
    assert (came.errors if fails else came.warned) == [(TRADES, DAY, error)]
    assert (came.warned if fails else came.errors) == []


def test_what_may_work_later_is_told_apart_and_what_never_will_stays_a_failure(came: Came) -> None:
    jobs = [(TRADES, DAY), (TRADES, "2024-02-01"), (HOURS, "2024")]
    came.take(Outcome(TRADES, DAY, Filled(state(TRADES, DAY))))
    came.take(Outcome(TRADES, "2024-02-01", Unavailable("it is down")))
    came.take(Outcome(HOURS, "2024", Rejected("no")))
    again = came.retryable(jobs)
    assert again == [(TRADES, "2024-02-01")]
    assert came.failed == {str(TRADES): "it is down", str(HOURS): "no"}
    came.forget_failures(again)
    assert came.failed == {str(HOURS): "no"}


def test_a_damaged_file_is_a_failure_from_the_beginning() -> None:
    damaged = DccdError("cut off")
    assert Came(ENTRY, Found(damaged=[(TRADES, damaged)])).errors == [(TRADES, "as stored", damaged)]
