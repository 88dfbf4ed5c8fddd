import itertools
from dataclasses import replace
from functools import reduce

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.timespan import DAY, HOUR, MINUTE, WEEK, TimeRange, Us
from dccd_core.lake.partition.ledger import Asked, Hole, Ledger, Source
from dccd_core.quality.holes import (
    ASKED_AGAIN,
    ASKED_AGAIN_AFTER,
    BEFORE_LISTING,
    NO_TRADES,
    BarCheck,
    BookCheck,
    Evidence,
    IdCheck,
    missing_bars,
)
from dccd_core.tables import TIME

NOW = Us(100 * DAY)
SPAN = TimeRange(Us(0), Us(HOUR))


def rows(times: list[int], ids: list[int] | None = None) -> pl.DataFrame:
    ts = pl.Series(times, dtype=pl.Int64).cast(TIME)
    return pl.DataFrame({"ts": ts, "trade_id": [str(i) for i in ids or range(len(times))]})


def asked(span: TimeRange, at: Us = NOW) -> Ledger:
    return Ledger((Asked(span, Source.REST, at, 1, 0),))


def judged(opens: list[int], evidence: Evidence, ledger: Ledger | None = None) -> tuple[Hole, ...]:
    judge = BarCheck(MINUTE, evidence)
    judge.see(rows(opens))
    return judge.assess(ledger or asked(SPAN)).holes


@given(present=st.sets(st.integers(0, 59)))
def test_holes_and_bars_together_are_the_grid(present: set[int]) -> None:
    opens = np.array(sorted(minute * MINUTE for minute in present), dtype=np.int64)
    holes = missing_bars(opens, MINUTE, [SPAN])
    absent = [at for span, _ in holes for at in range(span.start, span.end, MINUTE)]
    assert sorted([*absent, *opens]) == list(range(0, HOUR, MINUTE))
    assert [span.length // MINUTE for span, _ in holes] == [missing for _, missing in holes]
    assert all(a.end < b.start for (a, _), (b, _) in itertools.pairwise(holes))


def test_the_grid_starts_at_the_first_whole_bar() -> None:
    [(span, missing)] = missing_bars(np.empty(0, np.int64), WEEK, [TimeRange(Us(0), Us(12 * DAY))])
    assert (span.start, missing) == (4 * DAY, 2)


def test_a_hole_nobody_explains_is_a_gap() -> None:
    [hole] = judged([m * MINUTE for m in range(60) if m not in (7, 8)], Evidence(NOW, [SPAN]))
    assert hole == Hole(TimeRange(Us(7 * MINUTE), Us(9 * MINUTE)), 2, (NOW,), None)


def test_what_was_not_asked_is_no_hole() -> None:
    ledger = asked(TimeRange(Us(0), Us(30 * MINUTE)))
    assert judged([m * MINUTE for m in range(30)], Evidence(NOW), ledger) == ()


def test_a_hole_in_which_nothing_was_traded_is_explained() -> None:
    quiet = TimeRange(Us(7 * MINUTE), Us(9 * MINUTE))
    opens = [m * MINUTE for m in range(60) if m not in (7, 8)]
    [hole] = judged(opens, Evidence(NOW, [SPAN], [(quiet, NO_TRADES)]))
    assert hole.proof == NO_TRADES


def test_a_proof_does_not_spread_to_its_neighbours() -> None:
    listed = TimeRange(Us(0), Us(10 * MINUTE))
    opens = [m * MINUTE for m in range(12, 60)]
    first, second = judged(opens, Evidence(NOW, [SPAN], [(listed, BEFORE_LISTING)]))
    assert (first.span, first.proof) == (listed, BEFORE_LISTING)
    assert (second.missing, second.proof) == (2, None)


def test_a_known_proof_is_kept_when_the_partition_grows() -> None:
    quiet = Hole(TimeRange(Us(0), Us(MINUTE)), 1, (Us(1),), NO_TRADES)
    ledger = replace(asked(SPAN), holes=(quiet,))
    kept, gap = judged(
        [m * MINUTE for m in range(2, 60)], Evidence(NOW, [TimeRange(Us(MINUTE), Us(HOUR))]), ledger
    )
    assert kept.proof == NO_TRADES
    assert gap.proof is None


def test_asking_again_later_explains_asking_at_once_does_not() -> None:
    opens = [m * MINUTE for m in range(1, 60)]
    [hole] = judged(opens, Evidence(NOW, [SPAN]))
    ledger = replace(asked(SPAN), holes=(hole,))
    [soon] = judged(opens, Evidence(Us(NOW + 1), [SPAN]), ledger)
    assert soon.proof is None
    [later] = judged(opens, Evidence(Us(NOW + ASKED_AGAIN_AFTER), [SPAN]), replace(ledger, holes=(soon,)))
    assert later.proof == ASKED_AGAIN
    assert later.asked == (NOW, NOW + ASKED_AGAIN_AFTER)


def test_a_hole_whose_row_was_refused_is_never_explained_by_asking_again() -> None:
    opens = [m * MINUTE for m in range(1, 60)]
    refused = rows([0])
    judge = BarCheck(MINUTE, Evidence(Us(NOW + DAY), [SPAN], refused=refused))
    judge.see(rows(opens))
    before = Hole(TimeRange(Us(0), Us(MINUTE)), 1, (NOW,), None)
    ledger = judge.assess(replace(asked(SPAN), holes=(before,)))
    assert ledger.holes[0].proof is None
    assert ledger.quarantined == 1


def test_a_good_row_mends_the_quarantine() -> None:
    judge = BarCheck(MINUTE, Evidence(NOW, [SPAN], refused=rows([0])))
    judge.see(rows([m * MINUTE for m in range(60)]))
    assert judge.assess(asked(SPAN)) == asked(SPAN)


@given(absent=st.sets(st.integers(1, 38)), cuts=st.lists(st.integers(0, 39), max_size=3))
def test_missing_ids_are_found_wherever_the_chunks_are_cut(absent: set[int], cuts: list[int]) -> None:
    present = [i for i in range(40) if i not in absent]
    judge = IdCheck(Evidence(NOW, [SPAN]))
    borders = [0, *sorted(cuts), 40]
    for start, end in itertools.pairwise(borders):
        chunk = [i for i in present if start <= i < end]
        judge.see(rows([i * MINUTE for i in chunk], chunk))
    holes = judge.assess(asked(SPAN)).holes
    assert sum(hole.missing for hole in holes) == len(absent)
    assert all(hole.proof is None for hole in holes)


def test_ids_between_two_parts_that_were_asked_are_no_hole() -> None:
    judge = IdCheck(Evidence(NOW))
    judge.see(rows([0, 50 * MINUTE], [1, 99]))
    ledger = asked(TimeRange(Us(0), Us(MINUTE))).add(
        Asked(TimeRange(Us(40 * MINUTE), Us(HOUR)), Source.REST, NOW, 1, 1)
    )
    assert judge.assess(ledger).holes == ()


def test_ids_absent_at_the_end_are_a_gap() -> None:
    tail = TimeRange(Us(5 * MINUTE), Us(HOUR))
    judge = IdCheck(Evidence(NOW, [SPAN]), [(tail, 3)])
    judge.see(rows([0, 5 * MINUTE], [1, 2]))
    [hole] = judge.assess(asked(SPAN)).holes
    assert (hole.span, hole.missing) == (tail, 3)


def test_a_refused_trade_counts_until_a_good_one_comes() -> None:
    evidence = Evidence(NOW, [SPAN], refused=rows([MINUTE], [7]))
    judge = IdCheck(evidence)
    judge.see(rows([0, 2 * MINUTE], [6, 8]))
    assert judge.assess(asked(SPAN)).quarantined == 1
    mended = IdCheck(evidence)
    mended.see(rows([0, MINUTE, 2 * MINUTE], [6, 7, 8]))
    assert mended.assess(asked(SPAN)).quarantined == 0


class TestBookCheck:
    @staticmethod
    def ledger(*spans: TimeRange, source: Source = Source.STREAM) -> Ledger:
        return reduce(Ledger.add, [Asked(span, source, Us(0), 0, 0) for span in spans], Ledger())

    def test_what_lies_between_two_recordings_is_a_hole_with_its_reason(self) -> None:
        judge = BookCheck()
        judge.see(rows([0, 0, 5, 10, 15, 40]))
        ledger = self.ledger(TimeRange(Us(0), Us(20)), TimeRange(Us(40), Us(60)))
        ledger = judge.assess(ledger.lose([(TimeRange(Us(20), Us(40)), "updates are missing")]))
        assert ledger.holes == (Hole(TimeRange(Us(20), Us(40)), 4, reason="updates are missing"),)
        assert ledger.gaps() == ledger.holes

    def test_a_reason_that_is_known_already_stays(self) -> None:
        first = self.ledger(TimeRange(Us(0), Us(20)), TimeRange(Us(40), Us(60)))
        first = BookCheck().assess(first.lose([(TimeRange(Us(20), Us(40)), "x")]))
        again = BookCheck().assess(first)
        assert [hole.reason for hole in again.holes] == ["x"]

    def test_nobody_knows_why_a_process_was_away(self) -> None:
        ledger = BookCheck().assess(self.ledger(TimeRange(Us(0), Us(20)), TimeRange(Us(40), Us(60))))
        assert [hole.reason for hole in ledger.holes] == ["nothing was recorded"]

    def test_what_another_recording_covers_is_no_hole(self) -> None:
        ledger = self.ledger(TimeRange(Us(0), Us(30)), TimeRange(Us(25), Us(60)))
        assert BookCheck().assess(ledger.lose([(TimeRange(Us(20), Us(40)), "x")])).holes == ()

    def test_pictures_asked_for_by_rest_expect_no_others(self) -> None:
        spans = [TimeRange(Us(at), Us(at + 1)) for at in (0, 100)]
        assert BookCheck().assess(self.ledger(*spans, source=Source.REST)).holes == ()
