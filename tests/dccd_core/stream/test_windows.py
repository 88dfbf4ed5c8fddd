"""What is open is exactly the time between recordings that nobody recorded, filled or gave up."""

from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.stream.claim import LATENESS, PAUSED, REMOVED
from dccd_core.stream.snapshots import Turn
from dccd_core.stream.windows import Windows
from dccd_core.tables import DataType

A = Dataset("x", Symbol.parse("A/USD"), DataType.TRADES)
B = Dataset("x", Symbol.parse("B/USD"), DataType.TRADES)


def end(at: int, reason: str = "gone") -> Turn:
    return Turn(Us(at), began=False, reason=reason)


def span(start: int, stop: int) -> TimeRange:
    return TimeRange(Us(start), Us(stop))


def recorded(*spans: tuple[int, int], going_on: int | None = None) -> Windows:
    """Return what one connection after the other recorded; the last one goes on."""
    windows = Windows()
    for who, (start, stop) in enumerate(spans):
        windows.began(A, who, Us(start))
        windows.ended(A, who, end(stop))
    if going_on is not None:
        windows.began(A, 99, Us(going_on))
    return windows


class TestOpen:
    def test_what_lies_between_two_recordings(self) -> None:
        assert recorded((10, 20), (30, 40), going_on=50).open(A) == [span(20, 30), span(40, 50)]

    def test_nothing_before_anything_is_recorded_again(self) -> None:
        assert recorded((10, 20)).open(A) == []
        assert Windows().open(A) == []

    def test_nothing_where_they_overlap(self) -> None:
        windows = Windows()
        windows.began(A, 1, Us(10))
        windows.began(A, 2, Us(15))
        windows.ended(A, 1, end(20))
        assert windows.open(A) == []
        windows.began(A, 3, Us(30))
        assert windows.open(A) == []  # the second one goes on

    def test_what_is_withdrawn_of_one_is_open_again(self) -> None:
        windows = Windows()
        windows.began(A, 1, Us(10))
        windows.ended(A, 1, Turn(Us(30), began=False, reason="wrong", since=Us(20)))
        windows.began(A, 1, Us(40))
        assert windows.open(A) == [span(20, 40)]
        windows.settled(A, span(20, 40))
        assert windows.open(A) == []

    def test_each_dataset_has_its_own(self) -> None:
        assert recorded((10, 20), going_on=30).open(B) == []

    def test_what_was_filled_or_given_up_is_not_asked_for_again(self) -> None:
        windows = recorded((10, 20), going_on=60)
        windows.settled(A, span(20, 30))
        windows.settled(A, span(40, 45))
        assert windows.open(A) == [span(30, 40), span(45, 60)]

    def test_where_earlier_runs_stopped_it_begins(self) -> None:
        windows = Windows()
        windows.resume({A: end(5)})
        windows.began(A, 1, Us(10))
        assert windows.open(A) == [span(5, 10)]

    def test_also_when_that_is_known_only_later(self) -> None:
        windows = recorded(going_on=10)
        windows.resume({A: end(5)})
        assert windows.open(A) == [span(5, 10)]

    def test_an_earlier_run_that_knew_more_than_this_one_leaves_nothing_open(self) -> None:
        windows = recorded(going_on=10)
        windows.resume({A: end(12)})
        assert windows.open(A) == []


class TestPaused:
    def test_what_a_user_paused_is_not_asked_for(self) -> None:
        windows = Windows()
        windows.began(A, 1, Us(10))
        windows.ended(A, 1, end(20, PAUSED))
        windows.began(A, 2, Us(30))
        assert windows.open(A) == []
        windows.ended(A, 2, end(40))
        windows.began(A, 3, Us(50))
        assert windows.open(A) == [span(40, 50)]

    def test_what_was_open_before_the_pause_still_is(self) -> None:
        windows = Windows()
        windows.began(A, 1, Us(10))
        windows.ended(A, 1, end(20))
        windows.began(A, 1, Us(25))
        windows.ended(A, 1, end(30, REMOVED))
        windows.began(A, 2, Us(60))
        assert windows.open(A) == [span(20, 25)]

    def test_two_connections_that_are_paused_at_once(self) -> None:
        for first, second in ((20, 22), (22, 20)):
            windows = Windows()
            windows.began(A, 1, Us(10))
            windows.began(A, 2, Us(15))
            windows.ended(A, 1, end(first, PAUSED))
            windows.ended(A, 2, end(second, PAUSED))
            windows.began(A, 3, Us(50))
            assert windows.open(A) == []

    def test_a_pause_that_began_in_an_earlier_run(self) -> None:
        windows = Windows()
        windows.resume({A: end(5, PAUSED)})
        windows.began(A, 1, Us(10))
        assert windows.open(A) == []
        late = recorded(going_on=10)
        late.resume({A: end(5, PAUSED)})
        assert late.open(A) == []


class TestLastEnd:
    def test_it_is_that_of_the_last_recording(self) -> None:
        windows = recorded((10, 20))
        assert windows.last_end(A) == end(20)
        assert windows.last_end(B) is None

    def test_one_that_another_outlives_is_none(self) -> None:
        windows = Windows()
        windows.began(A, 1, Us(10))
        windows.began(A, 2, Us(12))
        windows.ended(A, 1, end(20))
        assert windows.last_end(A) is None
        windows.ended(A, 2, end(25, "later"))
        assert windows.last_end(A) == end(25, "later")

    def test_that_of_an_earlier_run_counts_until_there_is_one(self) -> None:
        windows = Windows()
        windows.resume({A: end(5)})
        assert windows.last_end(A) == end(5)
        windows.began(A, 1, Us(10))
        windows.ended(A, 1, end(20))
        assert windows.last_end(A) == end(20)


Step = tuple[int, int, int, str]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 6),
        st.integers(0, 8),
        st.sampled_from(["turn", "turn", "turn", "settled", PAUSED]),
    ),
    max_size=40,
)


@given(STEPS)
def test_it_is_what_nobody_recorded_filled_or_gave_up(steps: list[Step]) -> None:
    """Held against moments that are counted one by one."""
    windows, now = Windows(), 0
    active, done, first, left_at = dict[int, int](), set[int](), None, None
    for who, step, length, what in steps:
        now += step
        if what == "settled":
            windows.settled(A, span(now, now + length))
            done |= set(range(now, now + length))
        elif who in active:
            reason = PAUSED if what == PAUSED and len(active) == 1 else "gone"
            done |= set(range(active.pop(who), now))
            windows.ended(A, who, end(now, reason))
            left_at = now if reason == PAUSED else left_at
        else:
            if left_at is not None:
                done |= set(range(left_at, now))
                left_at = None
            first = now if first is None else first
            active[who] = now
            windows.began(A, who, Us(now))
        last = max(active.values(), default=0)
        wanted = set(range(first or 0, last)) - done if active else set[int]()
        wanted -= {at for begun in active.values() for at in range(begun, last)}
        found = windows.open(A)
        assert {at for one in found for at in range(one.start, one.end)} == wanted
        assert found == sorted(found)


class TestAgreed:
    """As soon as the venue agrees to send it again, what was missed until then can be asked for."""

    def test_it_need_not_be_proven_yet(self) -> None:
        windows = recorded((10, 20))
        windows.agreed(A, 2, Us(30))
        assert windows.open(A) == [span(20, 30)]
        windows.settled(A, span(20, 30))
        windows.began(A, 2, Us(35))
        assert windows.open(A) == [span(30, 35)]

    def test_a_connection_that_is_gone_has_not_agreed(self) -> None:
        windows = recorded((10, 20))
        windows.agreed(A, 2, Us(30))
        windows.gone(A, 2)
        assert windows.open(A) == []

    def test_nothing_is_missing_while_another_one_goes_on(self) -> None:
        windows = recorded(going_on=10)
        windows.agreed(A, 2, Us(30))
        assert windows.open(A) == []

    def test_nor_before_it_was_ever_recorded(self) -> None:
        windows = Windows()
        windows.agreed(A, 1, Us(30))
        assert windows.open(A) == []

    def test_what_a_user_paused_is_not_asked_for(self) -> None:
        windows = Windows()
        windows.began(A, 1, Us(10))
        windows.ended(A, 1, end(20, PAUSED))
        windows.agreed(A, 2, Us(30))
        assert windows.open(A) == []
        windows.began(A, 2, Us(35))
        assert windows.open(A) == [span(30, 35)]


class TestIds:
    def known(self, last: int | None, before: int | None, *, length: int = 10 * LATENESS) -> range | None:
        windows = Windows()
        windows.began(A, 1, Us(10))
        windows.ended(A, 1, Turn(Us(20), began=False, reason="gone", id=last))
        windows.began(A, 2, Us(20 + length), before)
        return windows.ids(A, span(20, 20 + length))

    def test_those_between_are_missing(self) -> None:
        assert self.known(7, 9) == range(8, 10)
        assert not self.known(7, 7)

    def test_where_one_is_not_known_none_is(self) -> None:
        assert self.known(None, 9) is None
        assert self.known(7, None) is None

    def test_what_came_last_may_be_told_again(self) -> None:
        assert self.known(7, 5, length=LATENESS) == range(8, 8)

    def test_but_ids_that_go_back_later_prove_nothing(self) -> None:
        assert self.known(7, 5) is None
