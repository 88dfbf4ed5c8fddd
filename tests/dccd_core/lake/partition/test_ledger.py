from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.errors import DamagedFile
from dccd_core.domain.timespan import TimeRange, Us, union
from dccd_core.lake.partition.ledger import (
    Accepted,
    Answer,
    Asked,
    Condition,
    Hole,
    Ledger,
    Lost,
    Source,
    condition,
)
from tests.dccd_core.lake.samples import often


@st.composite
def spans(draw: st.DrawFn) -> TimeRange:
    start = draw(st.integers(0, 60))
    return TimeRange(Us(start), Us(start + draw(st.integers(1, 15))))


@st.composite
def askeds(draw: st.DrawFn) -> Asked:
    numbers = st.integers(0, 9)
    at, requests, rows = draw(numbers), draw(numbers), draw(numbers)
    return Asked(draw(spans()), draw(st.sampled_from(Source)), Us(at), requests, rows)


def ledger_of(parts: list[Asked]) -> Ledger:
    ledger = Ledger()
    for part in parts:
        ledger = ledger.add(part)
    return ledger


def rest(start: int, end: int, at: int = 0, requests: int = 1, rows: int = 0) -> Asked:
    return Asked(TimeRange(Us(start), Us(end)), Source.REST, Us(at), requests, rows)


@often
@given(parts=st.lists(askeds(), max_size=12), data=st.data())
def test_what_was_asked_is_covered_in_whatever_order_it_is_told(
    parts: list[Asked], data: st.DataObject
) -> None:
    ledger = ledger_of(parts)
    assert ledger.covered() == union(part.span for part in parts)
    assert ledger.requests == sum(part.requests for part in parts)
    assert sum(part.rows for part in ledger.asked) == sum(part.rows for part in parts)
    assert ledger == ledger_of(data.draw(st.permutations(parts)))


@often
@given(parts=st.lists(askeds(), max_size=12))
def test_no_two_intervals_of_one_source_touch(parts: list[Asked]) -> None:
    for source in Source:
        own = [part.span for part in ledger_of(parts).asked if part.source is source]
        assert all(one.end < other.start for one, other in pairwise(own))


@often
@given(parts=st.lists(askeds(), max_size=12), span=spans())
def test_covered_until_is_where_the_first_uncovered_moment_lies(parts: list[Asked], span: TimeRange) -> None:
    left = span.minus(part.span for part in parts)
    assert ledger_of(parts).covered_until(span) == (left[0].start if left else span.end)


def test_intervals_that_touch_add_up_and_keep_the_later_moment() -> None:
    ledger = ledger_of([rest(0, 10, at=5, requests=2, rows=7), rest(20, 30), rest(10, 20, at=3, rows=1)])
    assert ledger.asked == (rest(0, 30, at=5, requests=4, rows=8),)


def test_other_sources_are_kept_apart() -> None:
    live = Asked(TimeRange(Us(5), Us(15)), Source.STREAM, Us(0), 0, 0)
    assert ledger_of([rest(0, 10), live]).asked == (rest(0, 10), live)


@often
@given(parts=st.lists(askeds(), max_size=5), holes=st.lists(spans(), max_size=5), proof=st.none() | st.text())
def test_json_brings_everything_back(parts: list[Asked], holes: list[TimeRange], proof: str | None) -> None:
    found = tuple(Hole(span, 3, (Us(4), Us(1_700_000_000_123_456_789)), proof) for span in holes)
    ledger = Ledger(ledger_of(parts).asked, found, quarantined=2)
    assert Ledger.from_json(ledger.to_json()) == ledger


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"asked":[],"holes":[],"quarantined":0}',
        '{"version":1,"asked":[],"holes":[],"quarantined":0}',
        '{"version":2,"asked":[],"holes":[]}',
        '{"version":2,"asked":[{"span":{"start":2,"end":1},"source":"rest","at":0,"requests":1,"rows":0}],'
        '"holes":[],"quarantined":0}',
        '{"version":2,"asked":[{"span":{"start":1,"end":2},"source":"hearsay","at":0,"requests":1,"rows":0}],'
        '"holes":[],"quarantined":0}',
        '{"version":2,"asked":[],"holes":[],"quarantined":0,"extra":1}',
        b'{"version":2,"asked":[],"holes":[{"span":{"start":1,"end":2},"missing":1,"proof":"\xff"}],"quarantined":0}',
    ],
)
def test_a_ledger_that_is_not_understood_is_damage(text: str | bytes) -> None:
    with pytest.raises(DamagedFile, match="ledger"):
        Ledger.from_json(text)


def test_a_hole_without_proof_is_a_gap() -> None:
    gap, quiet = Hole(TimeRange(Us(1), Us(2)), 1), Hole(TimeRange(Us(3), Us(4)), 1, proof="nothing traded")
    assert Ledger(holes=(gap, quiet)).gaps() == (gap,)


WHOLE = TimeRange(Us(0), Us(10))


@pytest.mark.parametrize(
    ("ledger", "expected"),
    [
        (None, Condition.MISSING),
        (Ledger((rest(0, 10),)), Condition.AVAILABLE),
        (Ledger((rest(0, 9),)), Condition.PENDING),
        (Ledger((rest(1, 10),)), Condition.DEGRADED),
        (Ledger((rest(0, 10),), (Hole(WHOLE, 1, proof="outage"),)), Condition.AVAILABLE),
        (Ledger((rest(0, 10),), (Hole(WHOLE, 1),)), Condition.DEGRADED),
        (Ledger((rest(0, 5),), (Hole(WHOLE, 1),)), Condition.DEGRADED),
        (Ledger((rest(0, 10),), quarantined=1), Condition.DEGRADED),
    ],
)
def test_condition(ledger: Ledger | None, expected: Condition) -> None:
    assert condition(ledger, WHOLE) is expected


def of(start: int, end: int) -> TimeRange:
    return TimeRange(Us(start), Us(end))


def test_h4_an_accepted_gap_is_explained_and_stays_to_be_seen() -> None:
    ledger = Ledger((rest(0, 10),), (Hole(of(2, 6), 4, (Us(7),), refused=3),), quarantined=3)
    assert condition(ledger, WHOLE) is Condition.DEGRADED
    taken = ledger.accepting([Accepted(of(0, 8), "the venue's outage")])
    assert condition(taken, WHOLE) is Condition.AVAILABLE
    assert taken.holes == (Hole(of(2, 6), 4, (Us(7),), "accepted: the venue's outage", refused=3),)
    assert taken.gaps() == ()


def test_h4_what_is_accepted_of_a_gap_is_cut_out_of_it() -> None:
    ledger = Ledger((rest(0, 10),), (Hole(of(2, 8), 3, refused=3),), quarantined=3)
    taken = ledger.accepting([Accepted(of(4, 6), "known")])
    assert taken.holes == (
        Hole(of(2, 4), 1, refused=1),
        Hole(of(4, 6), 1, proof="accepted: known", refused=1),
        Hole(of(6, 8), 1, refused=1),
    )
    assert condition(taken, WHOLE) is Condition.DEGRADED
    assert taken.quarantined == 2


def test_h4_a_gap_in_ids_is_accepted_whole_or_not_at_all() -> None:
    ledger = Ledger((rest(0, 10),), (Hole(of(2, 9), 5),))
    assert ledger.accepting([Accepted(of(2, 8), "known")]) == ledger
    assert ledger.accepting([Accepted(of(2, 9), "known")]).gaps() == ()


def test_h4_what_is_proven_otherwise_keeps_its_proof() -> None:
    ledger = Ledger((rest(0, 10),), (Hole(of(2, 4), 1, proof="nothing was traded"),))
    assert ledger.accepting([Accepted(of(0, 10), "known")]) == ledger
    assert ledger.accepting([]) == ledger


def stream(start: int, end: int) -> Asked:
    return Asked(TimeRange(Us(start), Us(end)), Source.STREAM, Us(0), 0, 0)


def told(lost: list[tuple[TimeRange, str]]) -> list[tuple[int, int, str]]:
    return [(span.start, span.end, reason) for span, reason in lost]


def test_what_a_stream_lost_keeps_its_reason_until_somebody_asks_for_it() -> None:
    ledger = ledger_of([stream(0, 10), stream(30, 40)]).lose([(TimeRange(Us(10), Us(11)), "closed 1001")])
    assert told(ledger.unrecorded()) == [(10, 30, "closed 1001")]
    whole = ledger.lose(ledger.unrecorded())
    assert whole.add(rest(10, 25)).lost == (Lost(TimeRange(Us(25), Us(30)), "closed 1001"),)
    assert whole.add(rest(10, 30)).lost == ()
    assert Ledger.from_json(whole.to_json()) == whole


def test_each_part_of_a_loss_has_its_own_reason() -> None:
    ledger = ledger_of([stream(0, 10), stream(50, 60)])
    ledger = ledger.lose(
        [(TimeRange(Us(20), Us(30)), "paused by a user"), (TimeRange(Us(5), Us(15)), "closed")]
    )
    assert told(ledger.unrecorded()) == [(10, 20, "closed"), (20, 50, "paused by a user")]
    assert told(ledger_of([stream(0, 10), stream(50, 60)]).unrecorded()) == [(10, 50, "nothing was recorded")]


def test_what_a_stream_claimed_wrongly_is_covered_no_more() -> None:
    ledger = ledger_of([stream(0, 40), rest(15, 18)]).withdraw([TimeRange(Us(10), Us(20))])
    assert ledger.covered() == [
        TimeRange(Us(0), Us(10)),
        TimeRange(Us(15), Us(18)),
        TimeRange(Us(20), Us(40)),
    ]
    assert told(ledger.unrecorded()) == [
        (10, 15, "nothing was recorded"),
        (18, 20, "nothing was recorded"),
    ]


def test_an_answer_adds_what_was_asked_and_says_anew_what_is_missing_there() -> None:
    old, apart = Hole(TimeRange(Us(2), Us(3)), 1, (Us(4),)), Hole(TimeRange(Us(7), Us(8)), 1, (Us(4),))
    ledger = Ledger((rest(0, 10, at=4),), (old, apart))
    again = Hole(old.span, 1, (Us(4), Us(9)), "asked again later, still empty")
    learnt = ledger.learn(Answer((rest(2, 3, at=9),), (again,), quarantined=2))
    assert (learnt.asked, learnt.holes) == ((rest(0, 10, at=9, requests=2),), (again, apart))
    assert learnt.quarantined == 2
    mended = learnt.learn(Answer((rest(7, 8, at=12, rows=1),)))
    assert mended.holes == (again,)


def test_an_answer_that_is_known_brings_no_hole_back() -> None:
    hole = Hole(TimeRange(Us(2), Us(3)), 1, (Us(4),))
    told = Answer((rest(0, 5, at=4),), (hole,))
    ledger = Ledger().learn(told)
    assert ledger.learn(told) == ledger
    mended = ledger.learn(Answer((rest(2, 3, at=6, rows=1),)))
    assert mended.learn(told) == mended
    assert mended.holes == ()


def test_what_a_stream_claims_twice_counts_once() -> None:
    claim = Asked(TimeRange(Us(0), Us(5)), Source.STREAM, Us(3), 0, 7)
    ledger = Ledger((claim,))
    assert ledger.knows(Asked(TimeRange(Us(1), Us(4)), Source.STREAM, Us(9), 0, 2))
    assert not ledger.knows(Asked(TimeRange(Us(1), Us(6)), Source.STREAM, Us(9), 0, 2))
    assert not ledger.knows(rest(1, 4))


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    asked = tuple(draw(st.lists(askeds(), min_size=1, max_size=2)))
    inside = [one.span for one in asked if draw(st.booleans())]
    return Answer(asked, tuple(Hole(span, 1) for span in dict.fromkeys(inside)), draw(st.integers(0, 1)))


@often
@given(parts=st.lists(askeds(), max_size=4), told=st.lists(answers(), max_size=8))
def test_many_answers_teach_what_each_does_in_its_turn(parts: list[Asked], told: list[Answer]) -> None:
    one_by_one = ledger = ledger_of(parts)
    for answer in told:
        one_by_one = one_by_one.learn(answer)
    whole = ledger.learn_all(told)
    assert (whole.covered(), whole.holes, whole.quarantined) == (
        one_by_one.covered(),
        one_by_one.holes,
        one_by_one.quarantined,
    )
    assert ledger.learn_all([*told, *told]).covered() == whole.covered()


def test_what_was_taken_over_proves_nothing_and_is_forgotten_where_rows_are_answered() -> None:
    ledger = Ledger().take_over([TimeRange(Us(10), Us(20)), TimeRange(Us(20), Us(30))])
    assert ledger.imported == (TimeRange(Us(10), Us(30)),)
    assert ledger.covered() == []
    none, some = (Asked(TimeRange(Us(12), Us(14)), Source.REST, Us(1), 1, rows) for rows in (0, 3))
    assert ledger.told_by([none]) == []
    assert ledger.told_by([none, some]) == [TimeRange(Us(12), Us(14))]
    assert ledger.add(none).imported == ledger.imported
    after = ledger.add(some)
    assert after.imported == (TimeRange(Us(10), Us(12)), TimeRange(Us(14), Us(30)))
    assert (after.replaced, ledger.add(none).replaced) == ((TimeRange(Us(12), Us(14)),), ())
    assert (after.replaces(ledger), Ledger().replaces(ledger)) == ([TimeRange(Us(12), Us(14))], [])
    assert Ledger.from_json(after.to_json()) == after


def test_a_ledger_that_knows_of_nothing_taken_over_says_nothing_of_it() -> None:
    assert "imported" not in Ledger().to_json()
    ledger = Ledger().take_over([TimeRange(Us(10), Us(20))])
    assert Ledger.from_json(ledger.to_json()) == ledger


def test_what_a_ledger_accepts_is_written_down_and_what_is_said_elsewhere_wins() -> None:
    ledger = Ledger((), (Hole(of(2, 4), 2), Hole(of(6, 7), 1, refused=1)), 1)
    taken = Ledger.from_json(ledger.accept([of(2, 3), of(6, 7)], "here").to_json())
    assert taken.holes == ledger.holes
    here = taken.accepting([])
    assert [hole.proof for hole in here.holes] == ["accepted: here", None, "accepted: here"]
    assert here.quarantined == 0
    there = taken.accepting([Accepted(of(0, 3), "there")])
    assert [hole.proof for hole in there.holes] == ["accepted: there", None, "accepted: here"]
    again = taken.accept([of(6, 9)], "again")
    assert again.accepted == (Accepted(of(2, 3), "here"), Accepted(of(6, 9), "again"))
