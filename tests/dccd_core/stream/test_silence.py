"""How long a silence needs no proof: by how often the topic was heard of, within bounds."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.timespan import MINUTE, SECOND, ZERO, Us
from dccd_core.stream.silence import Pace


def every(step: float, count: int) -> tuple[Pace, Us]:
    pace, now = Pace(ZERO), ZERO
    for _ in range(count):
        now = Us(now + round(step * SECOND))
        pace.count(now, 1)
    return pace, now


def test_twenty_gaps_of_it() -> None:
    pace, now = every(2, 300)
    assert abs(pace.allowed - 40 * SECOND) < SECOND
    assert not pace.silent(Us(now + 39 * SECOND))
    assert pace.silent(Us(now + 41 * SECOND))


def test_of_what_is_hardly_known_half_a_minute() -> None:
    assert Pace(ZERO).allowed == 30 * SECOND
    assert every(0.001, 4)[0].allowed == 30 * SECOND
    assert every(700, 100)[0].allowed == 30 * SECOND  # what came long ago is hardly known any more


def test_a_flood_makes_nobody_impatient_and_a_trickle_nobody_careless() -> None:
    assert every(0.001, 1_000)[0].allowed == 10 * SECOND
    assert every(60, 100)[0].allowed == 10 * MINUTE


def test_many_at_once_are_many() -> None:
    pace = Pace(ZERO)
    pace.count(Us(10 * SECOND), 100)
    assert pace.allowed == 10 * SECOND
    pace.count(Us(200 * SECOND), 1)
    assert 30 * SECOND < pace.allowed < 60 * SECOND


def test_it_forgets() -> None:
    pace, now = every(0.1, 1_000)
    for _ in range(60):
        now = Us(now + 20 * SECOND)
        pace.count(now, 1)
    assert pace.allowed > 60 * SECOND


def test_a_word_ends_a_silence_but_is_no_row() -> None:
    pace, now = every(1, 100)
    allowed = pace.allowed
    pace.beat(Us(now + 19 * SECOND))
    assert not pace.silent(Us(now + 38 * SECOND))
    assert pace.allowed == allowed


def test_no_time_that_goes_back_makes_it_fresher() -> None:
    pace, now = every(1, 100)
    pace.count(Us(now - 50 * SECOND), 1)
    pace.beat(Us(now - 50 * SECOND))
    assert pace.heard == now


def test_it_is_asked_about_ever_more_rarely_until_it_is_heard_of() -> None:
    pace, now = every(0.1, 100)
    last, asked = now, list[int]()
    while len(asked) < 8:
        now = Us(now + SECOND)
        if pace.due(now):
            pace.ask(now)
            asked.append((now - last) // SECOND)
            last = now
    assert asked == [11, 10, 20, 40, 80, 160, 320, 600]
    pace.beat(now)  # REST says that it is quiet: it may be asked about as rarely as that
    assert not pace.due(Us(now + 599 * SECOND))
    pace.count(now, 1)
    pace.ask(Us(now + 601 * SECOND))
    assert pace.due(Us(now + 611 * SECOND))


def test_it_alarms_only_after_there_was_time_to_ask() -> None:
    pace, now = every(1, 100)
    assert not pace.alarming(Us(now + 50 * SECOND))
    assert pace.alarming(Us(now + 51 * SECOND))
    for later in (21, 31, 51):
        pace.ask(Us(now + later * SECOND))
    assert not pace.alarming(Us(now + 99 * SECOND))
    assert pace.alarming(Us(now + 101 * SECOND))


@given(st.lists(st.tuples(st.floats(0, 2_000), st.integers(1, 10_000)), max_size=50))
def test_it_stays_within_its_bounds(steps: list[tuple[float, int]]) -> None:
    pace, now = Pace(ZERO), ZERO
    for step, count in steps:
        now = Us(now + round(step * SECOND))
        pace.count(now, count)
        assert 10 * SECOND <= pace.allowed <= 10 * MINUTE


def test_independent_trades_are_hardly_ever_silent() -> None:
    random, pace, now, silent = Random(7), Pace(ZERO), ZERO, 0
    for _ in range(20_000):
        now = Us(now + round(random.expovariate(0.5) * SECOND))
        silent += pace.silent(now)
        pace.count(now, 1)
    assert silent == 0
