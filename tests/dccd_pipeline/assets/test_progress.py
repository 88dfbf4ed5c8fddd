from hypothesis import given, settings
from hypothesis import strategies as st

from dccd_core.domain.dataset import partition_span
from dccd_core.domain.timespan import HOUR, MINUTE, TimeRange, Us, parse_time
from dccd_core.lake.lake import State
from dccd_core.lake.partition.ledger import Condition, Hole
from dccd_pipeline.assets.progress import (
    Progress,
    behind,
    condition_of,
    is_complete,
    progress,
    retry_at,
    runs_of,
)
from tests.dccd_pipeline.held import BOOKS, MINUTES, TRADES, state

KEYS = [f"{year}-{month:02}" for year in (2023, 2024) for month in range(1, 13)]
FIRST = parse_time("2024-06-01")


def gap(key: str, *asked: Us, proof: str | None = None) -> Hole:
    start = partition_span(MINUTES.grain, key).start
    return Hole(TimeRange(start, Us(start + MINUTE)), 1, asked, proof)


def made(kind: str, key: str) -> State:
    if kind == "open":
        return state(MINUTES, key, until=Us(partition_span(MINUTES.grain, key).start + HOUR))
    return state(MINUTES, key, *([gap(key, FIRST)] if kind == "gap" else []))


def test_a_condition_comes_from_the_ledger_but_a_book_promises_no_moment() -> None:
    middle = Us(partition_span(MINUTES.grain, "2024-01").start + HOUR)
    assert condition_of(MINUTES, "2024-01", None) is Condition.MISSING
    assert condition_of(MINUTES, "2024-01", state(MINUTES, "2024-01")) is Condition.AVAILABLE
    assert condition_of(MINUTES, "2024-01", state(MINUTES, "2024-01", until=middle)) is Condition.PENDING
    with_gap = state(MINUTES, "2024-01", gap("2024-01"))
    assert condition_of(MINUTES, "2024-01", with_gap) is Condition.DEGRADED
    explained = state(MINUTES, "2024-01", gap("2024-01", proof="nothing was traded"))
    assert condition_of(MINUTES, "2024-01", explained) is Condition.AVAILABLE
    assert condition_of(MINUTES, "2024-01", state(MINUTES, "2024-01", quarantined=1)) is Condition.DEGRADED

    day = partition_span(BOOKS.grain, "2024-01-01").start
    once = state(BOOKS, "2024-01-01", until=Us(day + 1))
    assert condition_of(BOOKS, "2024-01-01", once) is Condition.AVAILABLE
    assert condition_of(BOOKS, "2024-01-01", None) is Condition.MISSING


def test_a_book_that_a_stream_lost_is_degraded() -> None:
    day = partition_span(BOOKS.grain, "2024-01-01").start
    hole = Hole(TimeRange(day, Us(day + MINUTE)), 60, reason="the connection was lost")
    lost = state(BOOKS, "2024-01-01", hole)
    assert condition_of(BOOKS, "2024-01-01", lost) is Condition.DEGRADED


def test_what_is_finished_and_what_has_gaps_is_told() -> None:
    states = {key: state(MINUTES, key) for key in ("2024-02", "2023-12", "2024-01", "2024-05")}
    states["2024-06"] = state(MINUTES, "2024-06", until=partition_span(MINUTES.grain, "2024-06").start)
    states["2024-04"] = state(MINUTES, "2024-04", gap("2024-04", FIRST))
    told = progress(MINUTES, states)
    complete = frozenset({"2023-12", "2024-01", "2024-02", "2024-05"})
    assert told == Progress(complete, {"2024-04": Us(FIRST + 15 * MINUTE)})


def test_keys_are_written_as_runs() -> None:
    assert runs_of(MINUTES, ["2023-12", "2024-01", "2024-02", "2024-05"]) == [
        ("2023-12", "2024-02"),
        ("2024-05", "2024-05"),
    ]
    days = ("2024-02-28", "2024-02-29", "2024-03-01", "2024-03-03")
    assert runs_of(TRADES, days) == [("2024-02-28", "2024-03-01"), ("2024-03-03", "2024-03-03")]


def test_green_is_what_nothing_is_to_come_of() -> None:
    day = partition_span(BOOKS.grain, "2024-01-01")
    once = state(BOOKS, "2024-01-01", until=Us(day.start + 1))
    assert not is_complete(BOOKS, "2024-01-01", once, Us(day.end - 1))  # pictures may come until it is over
    assert is_complete(BOOKS, "2024-01-01", once, day.end)
    month = partition_span(MINUTES.grain, "2024-01")
    assert is_complete(MINUTES, "2024-01", state(MINUTES, "2024-01"), month.end)
    assert not is_complete(MINUTES, "2024-01", state(MINUTES, "2024-01", gap("2024-01")), month.end)
    assert not is_complete(MINUTES, "2024-01", made("open", "2024-01"), month.end)
    half = TimeRange(month.start, Us(month.start + HOUR))
    assert is_complete(MINUTES, "2024-01", made("open", "2024-01"), month.end, half)


def test_a_gap_is_asked_again_ever_later() -> None:
    assert retry_at(state(MINUTES, "2024-01", gap("2024-01", FIRST))) == FIRST + 15 * MINUTE
    twice = gap("2024-01", FIRST, Us(FIRST + 6 * HOUR))
    assert retry_at(state(MINUTES, "2024-01", twice)) == FIRST + 12 * HOUR
    earliest = state(MINUTES, "2024-01", twice, gap("2024-01", Us(FIRST + HOUR)), gap("2024-01"))
    assert retry_at(earliest) == FIRST + HOUR + 15 * MINUTE
    assert retry_at(state(MINUTES, "2024-01", gap("2024-01"))) == 0  # never asked: at once
    assert retry_at(state(MINUTES, "2024-01", gap("2024-01", FIRST, proof="before the listing"))) == 0


def test_of_what_is_not_known_all_is_behind() -> None:
    assert behind(progress(MINUTES, {}), iter(KEYS), FIRST) == KEYS


@given(
    kinds=st.fixed_dictionaries({key: st.sampled_from(["whole", "open", "gap", "absent"]) for key in KEYS}),
    minutes=st.integers(0, 30),
)
@settings(max_examples=50, deadline=None)
def test_behind_is_all_but_the_finished_and_the_gaps_that_may_rest(
    kinds: dict[str, str], minutes: int
) -> None:
    states = {key: made(kind, key) for key, kind in kinds.items() if kind != "absent"}
    told = progress(MINUTES, states)
    wanted = {"open", "absent", *(["gap"] if minutes >= 15 else [])}
    assert behind(told, KEYS, Us(FIRST + minutes * MINUTE)) == [key for key in KEYS if kinds[key] in wanted]
