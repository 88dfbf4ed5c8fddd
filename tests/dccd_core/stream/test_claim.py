"""What a topic may say: a claim has one beginning, never goes back, and says why it ended."""

from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.timespan import Us
from dccd_core.stream.claim import Claim
from dccd_core.stream.snapshots import Turn


def test_it_begins_once_and_reaches_only_forwards() -> None:
    claim = Claim()
    claim.reach(Us(5))
    assert (claim.began, claim.reached) == (None, None)
    claim.begin(Us(10))
    claim.begin(Us(7))
    claim.reach(Us(20))
    claim.reach(Us(15))
    assert (claim.began, claim.reached, claim.turns) == (10, 20, [Turn(Us(10), began=True)])


def test_it_ends_where_it_had_come_and_says_why_until_it_begins_again() -> None:
    claim = Claim()
    claim.end("never begun")
    assert (claim.ended, claim.turns) == (None, [])
    claim.begin(Us(10))
    claim.reach(Us(20))
    claim.end("gone", since=Us(12))
    claim.end("gone for other reasons")
    assert claim.ended == Turn(Us(20), began=False, reason="gone", since=Us(12))
    assert (claim.began, claim.reached) == (None, None)
    claim.begin(Us(30))
    assert claim.ended is None


def test_its_turns_are_taken_once() -> None:
    claim = Claim()
    claim.begin(Us(10))
    claim.end("gone")
    assert [turn.began for turn in claim.taken()] == [True, False]
    assert claim.taken() == []


@given(st.lists(st.tuples(st.sampled_from(["begin", "reach", "end"]), st.integers(0, 100))))
def test_beginnings_and_ends_alternate_and_no_end_lies_before_its_beginning(
    steps: list[tuple[str, int]],
) -> None:
    claim = Claim()
    for what, at in steps:
        match what:
            case "begin":
                claim.begin(Us(at))
            case "reach":
                claim.reach(Us(at))
            case _:
                claim.end("x")
        assert (claim.began is None) == (claim.reached is None)
    turns = claim.taken()
    assert [turn.began for turn in turns] == [n % 2 == 0 for n in range(len(turns))]
    assert all(end.at >= began.at for began, end in zip(turns[::2], turns[1::2], strict=False))
