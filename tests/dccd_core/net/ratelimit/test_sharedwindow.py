import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from dccd_core.adapter.contract import Limit
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import HOUR, MILLISECOND, MINUTE, SECOND, Us, parse_time
from dccd_core.net.clock import ManualClock
from dccd_core.net.ratelimit.sharedwindow import Booking, BreakerOpen, Cap, Queued, SharedWindow

NOON = parse_time("2026-11-22T12:00:00Z")
LIMITS = (Limit(100, MINUTE),)


class Bench:
    """A tally of 100 per minute, and a clock that the test moves."""

    def __init__(self, folder: Path, share: float = 1.0, limits: tuple[Limit, ...] = LIMITS) -> None:
        self.path = folder / "tally.sqlite"
        self.clock = ManualClock(NOON)
        self.tally = SharedWindow(self.path, limits, share, self.clock)

    def after(self, seconds: float) -> "Bench":
        self.clock.set(Us(self.clock.now() + int(seconds * SECOND)))
        return self

    def booked(self, weight: int, place: int | None = None) -> Booking:
        answer = self.tally.book(weight, place)
        assert isinstance(answer, Booking)
        return answer

    def spent(self, weight: int, used: int | None = None, ahead: int = 0) -> None:
        """Book and be answered at once by a venue whose clock is ahead of ours."""
        self.tally.settle(self.booked(weight), used, Us(self.clock.now() + ahead))

    def wait_s(self, weight: int, place: int | None = None) -> float:
        answer = self.tally.book(weight, place)
        assert isinstance(answer, Queued)
        if place is None:
            self.tally.leave(answer.place)
        return (answer.ready - self.clock.now()) / SECOND


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("amount", "share"), [(6_000, 0.95), (10, 0.95), (1, 0.95), (30, 0.9), (7, 1.0), (1, 0.01)]
)
def test_a_cap_gives_the_share_and_never_more_than_the_limit_at_once(amount: int, share: float) -> None:
    cap = Cap.of(Limit(amount, MINUTE), share)
    assert 1 <= cap.amount <= amount
    assert cap.amount / cap.period == pytest.approx(share * amount / MINUTE)


@pytest.mark.parametrize("share", [0, -1, 1.01])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="share"):
        Cap.of(LIMITS[0], share)


def test_what_does_not_fit_waits_until_enough_has_left(bench: Bench) -> None:
    for _ in range(10):
        bench.spent(10)
        bench.after(1)
    assert bench.wait_s(1) == bench.wait_s(10) == 50
    assert bench.wait_s(11) == 51
    assert bench.wait_s(100) == 59
    bench.after(50).booked(10)
    assert bench.wait_s(1) == 1


def test_every_limit_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limits=(Limit(10, SECOND), Limit(25, MINUTE)))
    bench.spent(10)
    assert bench.wait_s(1) == pytest.approx(1)
    bench.after(2).spent(10)
    bench.after(2).spent(5)
    assert bench.wait_s(1) == pytest.approx(56)


def test_what_is_in_flight_weighs_until_its_answer_and_a_period(bench: Bench) -> None:
    slow = bench.booked(100)
    bench.after(2)
    bench.tally.settle(slow, None, NOON)
    assert bench.wait_s(1) == 60


def test_a_very_slow_answer_weighs_little_longer_than_a_period(bench: Bench) -> None:
    slow = bench.booked(100)
    bench.after(30)
    bench.tally.settle(slow, None, NOON)
    assert bench.wait_s(1) == pytest.approx(60 + 5 - 30)


def test_what_was_never_answered_weighs_little_longer_than_a_period(bench: Bench) -> None:
    bench.booked(100)
    assert bench.wait_s(1) == 60
    assert bench.after(64).wait_s(1) <= 1
    bench.after(1).booked(100)


def test_what_the_fastest_answer_took_is_taken_off_once_it_is_known(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limits=(Limit(100, Us(10 * SECOND)),))
    for took_s, weight in [(0.6, 10), (0.5, 20), (0.3, 70)]:  # the first have to connect
        booking = bench.booked(weight)
        bench.after(took_s)
        bench.tally.settle(booking, None, NOON)
    assert bench.wait_s(1) == 10 - 0.8
    bench.after(6)
    assert bench.wait_s(1) == pytest.approx(3.2 - 0.3 + 0.1)
    assert bench.wait_s(11) == pytest.approx(3.2 + 0.5 - 0.3 + 0.1)


def test_a_time_that_all_answers_take_does_not_make_a_period_longer(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limits=(Limit(1, SECOND),))
    left_s = 0.0
    for _ in range(8):
        booking = bench.after(left_s).booked(1)
        bench.after(0.25)
        bench.tally.settle(booking, None, NOON)
        left_s = bench.wait_s(1)
    assert left_s == pytest.approx(0.75 + 0.01)
    stalled = bench.after(left_s).booked(1)
    assert bench.after(4).wait_s(1) > 0
    bench.tally.settle(stalled, None, NOON)
    assert bench.wait_s(1) == pytest.approx(0.75 + 0.01), "it may have come to the venue just now"


def test_others_share_and_see_the_same(bench: Bench) -> None:
    bench.spent(60)
    other = SharedWindow(bench.path, LIMITS, 1.0, bench.clock)
    assert isinstance(other.book(41), Queued)
    assert isinstance(SharedWindow(bench.path, LIMITS, 1.0, bench.clock).book(40), Queued), (
        "the 41 came first"
    )


def test_a_place_in_the_line_is_kept_free_and_lost_with_its_owner(bench: Bench) -> None:
    bench.spent(50)
    heavy = bench.tally.book(60)
    assert isinstance(heavy, Queued)
    assert heavy.ready == NOON + MINUTE
    assert bench.wait_s(30) == bench.wait_s(41) == 60
    bench.after(60)
    assert bench.wait_s(41) > 0, "the heavy one may still come"
    bench.after(1).booked(100)


def test_who_waits_behind_looks_again_when_those_before_are_overdue(bench: Bench) -> None:
    bench.after(10).spent(50)
    bench.after(10).spent(50, used=100)
    heavy = bench.tally.book(50)
    assert isinstance(heavy, Queued)
    assert heavy.ready == NOON + 70 * SECOND
    assert bench.wait_s(50) == 51


def test_who_comes_in_time_gets_the_place(bench: Bench) -> None:
    bench.spent(50)
    heavy = bench.tally.book(60)
    assert isinstance(heavy, Queued)
    assert bench.after(59).wait_s(60, heavy.place) == 1
    bench.after(1).booked(60, heavy.place)
    bench.booked(40)


def test_the_line_is_first_come_first_served(bench: Bench) -> None:
    bench.spent(100)
    first, second = bench.tally.book(70), bench.tally.book(30)
    assert isinstance(first, Queued)
    assert isinstance(second, Queued)
    bench.after(60).booked(30, second.place)
    bench.booked(70, first.place)
    assert bench.wait_s(1) == 60


def test_old_rows_go(bench: Bench) -> None:
    for _ in range(100):
        bench.spent(10)
        bench.booked(1)
        bench.tally.book(100)
        bench.after(70)
    with closing(sqlite3.connect(bench.path)) as db:
        for table in ("answered", "flying", "line"):
            (rows,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()
            assert 0 < rows < 10


def test_a_breaker_is_seen_by_all_and_only_prolonged(bench: Bench) -> None:
    other = SharedWindow(bench.path, LIMITS, 1.0, bench.clock)
    assert bench.tally.trip(Us(NOON + MINUTE), "HTTP 429")
    assert not bench.tally.trip(Us(NOON + SECOND), "HTTP 418")
    assert other.book(1) == BreakerOpen(Us(NOON + MINUTE), "HTTP 429")
    assert other.trip(Us(NOON + HOUR), "HTTP 418")
    assert bench.tally.book(1) == BreakerOpen(Us(NOON + HOUR), "HTTP 418")
    bench.after(3_600).booked(1)


class TestVenueCount:
    """The venue counts in windows of a minute of its own clock; noon is the start of one."""

    def test_foreign_use_counts(self, bench: Bench) -> None:
        bench.after(10).spent(10, used=70)
        assert bench.wait_s(31) == 50
        bench.spent(30, used=100)
        assert bench.wait_s(1) == 50

    def test_it_ends_with_its_window(self, bench: Bench) -> None:
        bench.after(10).spent(1, used=100)
        bench.after(49.5)
        assert bench.wait_s(1) == 0.5
        bench.after(0.5).booked(99)

    def test_in_flight_comes_on_top_and_is_soon_looked_at_again(self, bench: Bench) -> None:
        bench.after(10)
        in_flight = bench.booked(20)
        bench.spent(1, used=70)
        assert bench.wait_s(20) == 0.05
        bench.tally.settle(in_flight, 71, bench.clock.now())
        bench.booked(20)

    def test_overtaken_answers_change_nothing(self, bench: Bench) -> None:
        bench.after(10)
        early, late = bench.booked(1), bench.booked(1)
        bench.after(0.1)
        bench.tally.settle(late, 100, bench.clock.now())
        bench.tally.settle(early, 50, bench.clock.now())
        assert bench.wait_s(1) > 49

    @pytest.mark.parametrize("ahead", [-7 * SECOND, 9 * SECOND, -3 * HOUR])
    def test_its_windows_follow_the_venue_s_clock(self, bench: Bench, ahead: int) -> None:
        bench.after(10).spent(1, used=100, ahead=ahead)
        left = MINUTE - (10 * SECOND + ahead) % MINUTE
        assert bench.wait_s(1) == left / SECOND

    def test_whole_seconds_become_exact_with_time(self, bench: Bench) -> None:
        for used in range(92, 101):
            bench.after(0.3)
            bench.tally.settle(bench.booked(1), used, Us(bench.clock.now() // SECOND * SECOND))
        assert bench.wait_s(1) == 60 - 2.7 + 0.1

    def test_an_answer_that_may_count_the_window_before_is_not_taken(self, bench: Bench) -> None:
        bench.after(59.95)
        in_flight = bench.booked(1)
        bench.after(0.1)
        bench.tally.settle(in_flight, 100, Us(NOON + MINUTE))
        bench.booked(1)

    def test_an_answer_from_the_window_before_is_not_taken(self, bench: Bench) -> None:
        bench.after(50)
        in_flight = bench.booked(1)
        bench.after(11).spent(1, used=99)
        bench.tally.settle(in_flight, 5, Us(NOON + 59 * SECOND))
        assert bench.wait_s(2) == 59

    def test_what_was_answered_without_a_sure_count_is_added(self, bench: Bench) -> None:
        bench.after(59.95)
        in_flight = bench.booked(5)
        bench.after(0.1).spent(1, used=50)
        bench.tally.settle(in_flight, 100, Us(NOON + MINUTE))
        bench.spent(5)
        assert bench.wait_s(41) == pytest.approx(59.95)
        bench.booked(40)

    def test_a_wrong_date_is_forgotten_with_the_next_right_one(self, bench: Bench) -> None:
        bench.after(10).spent(1, used=100, ahead=HOUR)
        assert bench.wait_s(1) == 50
        bench.tally.settle(Booking(bench.clock.now(), 1), 5, bench.clock.now())
        bench.booked(1)


class TestSteppedClock:
    def test_back_by_hours_blocks_no_longer_than_without_the_step(self, bench: Bench) -> None:
        for _ in range(10):
            bench.spent(10, used=5)
            bench.after(0.001)
        bench.tally.trip(Us(bench.clock.now() + 20 * SECOND), "HTTP 429")
        bench.after(-5 * 3_600)
        shut = bench.tally.book(1)
        assert isinstance(shut, BreakerOpen)
        assert shut.until - bench.clock.now() == pytest.approx(20 * SECOND, abs=5 * MILLISECOND)
        bench.after(20.1)
        assert bench.wait_s(1) == pytest.approx(40, abs=0.2)
        bench.after(41).booked(100)

    def test_back_while_in_flight(self, bench: Bench) -> None:
        in_flight = bench.booked(100)
        bench.after(-3_600)
        assert bench.wait_s(1) == pytest.approx(60, abs=0.1)
        bench.tally.settle(in_flight, 90, bench.clock.now())
        bench.after(66).spent(100, used=100)
        assert bench.wait_s(1) > 50

    def test_back_among_venue_counts(self, bench: Bench) -> None:
        bench.after(10).spent(1, used=100)
        bench.after(-7_200)
        assert bench.wait_s(1) == pytest.approx(50, abs=0.1)
        bench.after(51).spent(1, used=1, ahead=7_200 * SECOND)
        bench.booked(98)

    def test_back_while_somebody_in_the_line_died(self, bench: Bench) -> None:
        bench.spent(50)
        assert isinstance(bench.tally.book(60), Queued)
        bench.after(-7_200).booked(50)

    def test_forward_frees_at_most_one_more_period_and_the_venue_s_count_ends_even_that(
        self, bench: Bench
    ) -> None:
        bench.after(10).spent(90, used=90)
        bench.after(7_200)
        bench.spent(10, used=100, ahead=-7_200 * SECOND)
        assert bench.wait_s(1) == pytest.approx(50, abs=1.1)

    def test_many_bookings_at_one_reading_of_a_coarse_clock(self, bench: Bench) -> None:
        bookings = [bench.booked(1) for _ in range(100)]
        assert all(a.at < b.at for a, b in pairwise(bookings))
        assert bench.wait_s(1) == 60
        for booking in bookings:
            bench.tally.settle(booking, None, NOON)
        assert bench.wait_s(1) == pytest.approx(60)
