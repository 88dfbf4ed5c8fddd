"""Pictures are taken on the grid, and none shows a book that was not the venue's."""

from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.live import BookChange, Channel
from dccd_core.domain.timespan import MILLISECOND, SECOND, Ns
from dccd_core.stream.book import Book
from dccd_core.stream.snapshots import BookKeeper, Shot, Turn

EVERY = SECOND


def at(ms: int) -> Ns:
    return Ns(ms * MILLISECOND)


def keeper(depth: int = 2) -> BookKeeper:
    return BookKeeper(Book(Channel(docs="")), depth, EVERY)


def change(ms: int | None, number: int | None, amount: str, *, whole: bool = False) -> BookChange:
    time = None if ms is None else at(ms)
    return BookChange("x", time, [("10", amount)], [("11", "1")], whole=whole, first=number, last=number)


def shots(keeper: BookKeeper) -> list[tuple[Ns, str]]:
    return [(shot.at, shot.bids[0][1]) for shot in keeper.taken()[0]]


def test_a_moment_shows_all_changes_up_to_it_and_none_after_it() -> None:
    one = keeper()
    for ms, number, amount in (
        (300, 1, "a"),
        (900, 2, "2"),
        (1_000, 3, "3"),
        (1_001, 4, "4"),
        (3_500, 5, "5"),
    ):
        one.hear(change(ms, number, amount.replace("a", "1"), whole=number == 1), Ns(7))
    assert shots(one) == [(SECOND, "3"), (2 * SECOND, "4"), (3 * SECOND, "4")]


def test_a_picture_says_when_its_proof_came_and_has_as_many_levels_as_wanted() -> None:
    one = keeper(depth=1)
    one.hear(BookChange("x", at(500), [("10", "1"), ("9", "1")], [("11", "1")], whole=True), Ns(1))
    one.hear(BookChange("x", at(1_500), [("8", "1")]), Ns(2))
    assert one.taken()[0] == [Shot(SECOND, [("10", "1")], [("11", "1")], Ns(2))]


def test_a_lost_change_costs_exactly_the_time_up_to_the_next_whole_book() -> None:
    one = keeper()
    one.hear(change(300, 1, "1", whole=True), Ns(0))
    one.hear(change(1_300, 2, "2"), Ns(0))
    one.hear(change(3_300, 4, "4"), Ns(0))
    assert one.book.lost == "updates 3 to 3 are missing"
    one.hear(change(4_300, 9, "9", whole=True), Ns(0))
    one.hear(change(5_300, 10, "10"), Ns(0))
    taken, turns = one.taken()
    assert [shot.at for shot in taken] == [SECOND, 5 * SECOND]
    assert turns == [
        Turn(at(300), began=True),
        Turn(at(1_300), began=False, reason="updates 3 to 3 are missing"),
        Turn(at(4_300), began=True),
    ]


def test_a_whole_book_that_does_not_follow_leaves_the_time_before_it_unknown() -> None:
    one = keeper()
    one.hear(change(300, 1, "1", whole=True), Ns(0))
    one.hear(change(2_300, 2, "2", whole=True), Ns(0))  # follows: venues repeat themselves
    one.hear(change(4_300, 1, "3", whole=True), Ns(0))  # the venue counts anew
    taken, turns = one.taken()
    assert [shot.at for shot in taken] == [SECOND, 2 * SECOND]
    assert [(turn.at, turn.began) for turn in turns] == [
        (at(300), True),
        (at(2_300), False),
        (at(4_300), True),
    ]


def test_a_snapshot_without_a_time_is_known_from_the_first_change_on() -> None:
    one = keeper()
    one.hear(change(None, 1, "1", whole=True), Ns(0))
    assert one.taken() == ([], [])
    one.hear(change(1_700, 2, "2"), Ns(0))
    one.hear(change(2_100, 3, "3"), Ns(0))
    taken, turns = one.taken()
    assert [(shot.at, shot.bids[0][1]) for shot in taken] == [(2 * SECOND, "2")]
    assert turns == [Turn(at(1_700), began=True)]


@given(
    steps=st.lists(st.tuples(st.integers(0, 2_500), st.booleans()), min_size=1, max_size=30),
    again=st.integers(1, 8),
)
def test_whatever_is_dropped_no_picture_is_wrong(steps: list[tuple[int, bool]], again: int) -> None:
    """Changes come some ms apart, some of them never; a whole book follows ``again`` changes after a loss."""
    one, ms, truth, waited = keeper(), 0, [(at(0), "1")], 0
    one.hear(change(0, 1, "1", whole=True), Ns(0))
    for number, (later, dropped) in enumerate(steps, start=2):
        ms += later
        truth.append((at(ms), str(number)))
        if one.book.lost:
            waited += 1
        if waited == again:
            waited = 0
            one.hear(change(ms, number, str(number), whole=True), Ns(0))
        elif not dropped:
            one.hear(change(ms, number, str(number)), Ns(0))
    taken, turns = one.taken()
    for shot in taken:
        assert shot.bids == [("10", [amount for time, amount in truth if time <= shot.at][-1])]
    assert len({shot.at for shot in taken}) == len(taken)
    ends = [turn.at for turn in turns] + ([] if one.known_until is None else [one.known_until])
    known = list(zip(ends[::2], ends[1::2], strict=True))
    grid = [n for start, end in known for n in range(-(-start // EVERY) * EVERY, end, EVERY)]
    assert [shot.at for shot in taken] == sorted(set(grid))
