"""Bars built from stored shorter ones: what the trades make, and only where the short ones prove it."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dccd_core.bars.derive import Style, derive
from dccd_core.bars.lengthen import Short, lengthen
from dccd_core.bars.longer import longer
from dccd_core.domain.dataset import Dataset, ListingPeriod, partition_keys, partition_span
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, WEEK, TimeRange, Us, moment, parse_time, union
from dccd_core.fetch.fill import Filled
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Accepted, Asked, Condition, Hole, Ledger, Lost, Source, condition
from dccd_core.quality.holes import BEFORE_LISTING, NO_TRADES
from dccd_core.tables import TIME, DataType

HOURS = Dataset.parse("kraken/ohlc/BTC-USD/1h")
WINTER = TimeRange(parse_time("2023-12-18"), parse_time("2024-01-15"))  # four weeks, from a Monday on
NOW = parse_time("2024-06-01")
KINDS = ("there", "quiet", "gap", "never asked")
WHY = "the venue lost it"


def unheeded(_dataset: Dataset, _key: str, _rows: int, _until: Us) -> None:
    """Let the pages pass."""


class Told:
    """Judges that these are the holes."""

    def __init__(self, holes: Sequence[Hole]) -> None:
        self._holes = holes

    def see(self, rows: pl.DataFrame) -> None: ...

    def assess(self, ledger: Ledger) -> Ledger:
        return replace(ledger, holes=tuple(self._holes))


def store(lake: LakeStore, dataset: Dataset, part: TimeRange, kinds: Sequence[str]) -> None:
    """Store short bars of which so many are there, or absent for a reason, one after another."""
    assert dataset.span is not None
    at = {Us(part.start + n * dataset.span): kind for n, kind in enumerate(kinds)}
    for key in partition_keys(dataset.grain, part):
        span = partition_span(dataset.grain, key)
        inside = {one: kind for one, kind in at.items() if span.start <= one < span.end}
        holes = [
            Hole(run(opens, dataset.span), len(opens), proof=proof, reason=why)
            for kind, proof, why in (("quiet", NO_TRADES, None), ("gap", None, WHY))
            for opens in runs([one for one, of in inside.items() if of == kind], dataset.span)
        ]
        asked = [
            Asked(run(opens, dataset.span), Source.REST, NOW, 1, len(opens))
            for opens in runs([one for one, kind in inside.items() if kind != "never asked"], dataset.span)
        ]
        with lake.draft(dataset, key) as draft:
            draft.append(bars_at([one for one, kind in inside.items() if kind == "there"]))
            draft.commit(asked, partial(Told, sorted(holes, key=lambda one: one.span)))


def runs(opens: Sequence[Us], bar: Us) -> list[list[Us]]:
    """Return those that follow one another together."""
    grouped = groupby(enumerate(opens), key=lambda pair: pair[1] - pair[0] * bar)
    return [[at for _, at in group] for _, group in grouped]


def run(opens: Sequence[Us], bar: Us) -> TimeRange:
    return TimeRange(opens[0], Us(opens[-1] + bar))


def bars_at(opens: Sequence[Us]) -> pl.DataFrame:
    tenths = [(at, at // HOUR % 97 + 10) for at in opens]
    rows = [(moment(at), n / 10, (n + 3) / 10, (n - 3) / 10, (n + 1) / 10, 0.1, n / 7, 2) for at, n in tenths]
    return pl.DataFrame(rows, schema=DataType.OHLC.table.schema, orient="row")


def of(dataset: Dataset, bar: Us) -> Dataset:
    return replace(dataset, span=bar)


def build(lake: LakeStore, bar: Us, key: str, style: Style | None = None) -> Filled:
    return lengthen(lake, of(HOURS, bar), key, Short(HOUR, style or Style()), NOW, unheeded)


STYLES = [Style(sparse, carried) for sparse in (False, True) for carried in (False, True)]
STRETCHES = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 90)), min_size=1, max_size=14)
"""Hours of one kind, one stretch after another; what is left of the time is there."""


def hours_of(stretches: list[tuple[str, int]]) -> list[str]:
    kinds = [kind for kind, length in stretches for _ in range(length)]
    return (kinds + ["there"] * (4 * 168))[: 4 * 168]


@settings(max_examples=25, deadline=None)
@given(STRETCHES, st.sampled_from([Us(4 * HOUR), DAY, WEEK]), st.sampled_from(STYLES))
def test_no_more_is_claimed_than_the_short_bars_prove(
    stretches: list[tuple[str, int]], bar: Us, style: Style
) -> None:
    kinds = hours_of(stretches)
    with tempfile.TemporaryDirectory() as folder:
        lake = LakeStore(folder)
        store(lake, HOURS, WINTER, kinds)
        for key in ("2023", "2024"):
            build(lake, bar, key, style)
        states, rows = lake.states(of(HOURS, bar)), lake.scan(of(HOURS, bar)).collect()
    there, proven, absent, lost = list[Us](), list[TimeRange](), list[TimeRange](), list[TimeRange]()
    for n, whole in enumerate(WINTER.split(bar)):
        inside = set(kinds[n * bar // HOUR : (n + 1) * bar // HOUR])
        if inside <= {"there", "quiet"}:
            proven.append(whole)
            there += [whole.start] if "there" in inside else []
            absent += [] if "there" in inside else [whole]
        elif "gap" in inside:
            lost.append(whole)
    assert_frame_equal(rows, longer(hourly(kinds), bar, proven), check_exact=True)
    assert rows["ts"].to_physical().to_list() == there
    ledgers = [state.ledger for state in states.values()]
    assert union(part for one in ledgers for part in one.covered()) == union(proven)
    holes = [hole for one in ledgers for hole in one.holes]
    assert {hole.proof for hole in holes} <= {NO_TRADES}
    assert union(hole.span for hole in holes) == ([] if style.sparse else union(absent))
    said = union(one.span for ledger in ledgers for one in ledger.lost)
    if len(states) == 2:
        assert said == union(lost)
    assert {one.reason for ledger in ledgers for one in ledger.lost} <= {WHY}


def hourly(kinds: Sequence[str]) -> pl.DataFrame:
    return bars_at([Us(WINTER.start + n * HOUR) for n, kind in enumerate(kinds) if kind == "there"])


TRADES = st.lists(
    st.tuples(st.integers(0, 3 * DAY - 1), st.integers(1, 10**6), st.integers(1, 10**6)), max_size=40
)
"""When, at which price (hundredths), how much (ten-thousandths)."""
PIECES = st.lists(st.tuples(st.integers(0, 3 * 1440), st.integers(1, 2000)), min_size=1, max_size=5)
"""Minutes in which all trades are known."""
THREE = TimeRange(parse_time("2024-01-02"), parse_time("2024-01-05"))


@settings(max_examples=15, deadline=None)
@given(
    TRADES,
    PIECES,
    st.sampled_from(STYLES),
    st.sampled_from([Us(5 * MINUTE), HOUR, Us(12 * HOUR), DAY]),
)
def test_built_in_two_steps_they_are_what_the_trades_make(
    rows: list[tuple[int, int, int]], pieces: list[tuple[int, int]], style: Style, bar: Us
) -> None:
    known = union(
        part
        for a, length in pieces
        if (part := TimeRange(minute(a), minute(a + length)).clip(THREE)) is not None
    )
    key = "2024" if bar >= HOUR else "2024-01"
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        steps, directly = LakeStore(first), LakeStore(second)
        for lake in (steps, directly):
            trade(lake, rows, known)
        derive(steps, of(HOURS, MINUTE), "2024-01", style, NOW, unheeded)
        made = lengthen(steps, of(HOURS, bar), key, Short(MINUTE, style), NOW, unheeded)
        expected = derive(directly, of(HOURS, bar), key, style, NOW, unheeded)
        assert (made.state is None) is (expected.state is None)
        if made.state is None or expected.state is None:
            return
        assert_frame_equal(
            steps.scan(of(HOURS, bar)).collect(), directly.scan(of(HOURS, bar)).collect(), check_exact=True
        )
        assert made.state.ledger == expected.state.ledger


def minute(number: int) -> Us:
    return Us(THREE.start + number * MINUTE)


def trade(lake: LakeStore, rows: list[tuple[int, int, int]], known: Sequence[TimeRange]) -> None:
    """Store the trades that lie in what is known."""
    trades = Dataset(HOURS.exchange, HOURS.symbol, DataType.TRADES)
    for key in partition_keys(trades.grain, THREE):
        day = partition_span(trades.grain, key)
        inside = [part for one in known if (part := one.clip(day))]
        held = sorted(
            (Us(THREE.start + at), price, amount)
            for at, price, amount in rows
            if any(part.start <= THREE.start + at < part.end for part in inside)
        )
        frame = trades.data_type.table.empty()
        if held:
            columns = {
                "ts": pl.Series([at for at, _, _ in held]).cast(TIME),
                "trade_id": [f"{n:05}" for n in range(len(held))],
                "price": [price / 100 for _, price, _ in held],
                "amount": [amount / 10_000 for _, _, amount in held],
                "side": ["buy"] * len(held),
            }
            schema = trades.data_type.table.schema
            frame = pl.DataFrame(columns).select(
                (pl.col(name) if name in columns else pl.lit(None).alias(name)).cast(dtype)
                for name, dtype in schema.items()
            )
        if inside:
            with lake.draft(trades, key) as draft:
                draft.append(frame)
                draft.commit([Asked(part, Source.REST, NOW, 1, 0) for part in inside], lambda: Told(()))


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    return LakeStore(tmp_path)


def with_gap(at: int) -> list[str]:
    kinds = ["there"] * (4 * 168)
    kinds[at] = "gap"
    return kinds


def test_what_is_mended_is_built_and_its_reason_goes(lake: LakeStore) -> None:
    store(lake, HOURS, WINTER, with_gap(15 * 24 + 5))  # 2 January
    state = build(lake, DAY, "2024").state
    day = TimeRange(parse_time("2024-01-02"), parse_time("2024-01-03"))
    assert state
    assert state.ledger.lost == (Lost(day, WHY),)
    assert state.ledger.gaps() == ()
    assert build(lake, DAY, "2024") == Filled(state), "nothing is known that was not"
    store(lake, HOURS, WINTER, ["there"] * (4 * 168))
    mended = build(lake, DAY, "2024")
    assert mended.state
    assert (mended.rows, mended.state.ledger.lost) == (1, ())
    assert lake.scan(of(HOURS, DAY)).collect().height == 14


def test_a_gap_that_is_found_later_is_told_of_though_there_is_nothing_to_build(lake: LakeStore) -> None:
    store(lake, HOURS, WINTER, with_gap(-1)[:-24] + ["never asked"] * 24)
    state = build(lake, DAY, "2024").state
    assert state
    assert state.ledger.lost == ()
    store(lake, HOURS, WINTER, with_gap(-1))
    told = build(lake, DAY, "2024").state
    assert told
    assert told.ledger.lost == (Lost(TimeRange(Us(WINTER.end - DAY), WINTER.end), WHY),)
    assert told.rows == state.rows


def test_what_somebody_accepted_is_not_proven(tmp_path: Path) -> None:
    gap = TimeRange(Us(WINTER.end - HOUR), WINTER.end)
    lake = LakeStore(tmp_path, accepted={str(HOURS): [Accepted(gap, "so be it")]})
    store(lake, HOURS, WINTER, with_gap(-1))
    state = build(lake, DAY, "2024").state
    assert state
    assert state.ledger.covered()[-1].end == gap.end - DAY
    assert [one.reason for one in state.ledger.lost] == [WHY]


def test_a_week_is_kept_in_the_year_in_which_it_opens(lake: LakeStore) -> None:
    store(lake, HOURS, TimeRange(parse_time("2024-12-16"), parse_time("2025-01-13")), ["there"] * (4 * 168))
    states = [state for key in ("2024", "2025") if (state := build(lake, WEEK, key).state)]
    assert [state.first for state in states] == [parse_time("2024-12-16"), parse_time("2025-01-06")]
    assert [state.rows for state in states] == [3, 1]
    assert [state.ledger.covered() for state in states] == [
        [TimeRange(parse_time("2024-12-16"), parse_time("2025-01-01"))],
        [TimeRange(parse_time("2025-01-01"), parse_time("2025-01-13"))],
    ]


def test_before_the_listing_and_after_the_end_there_is_nothing_to_build(lake: LakeStore) -> None:
    life = ListingPeriod(WINTER.start, WINTER.end)
    store(lake, HOURS, WINTER, ["there"] * (4 * 168))
    for key in ("2023", "2024"):
        state = build(lake, DAY, key, Style(life=life)).state
        assert state
        assert condition(state.ledger, partition_span(HOURS.grain, key)) is Condition.AVAILABLE
    assert lake.scan(of(HOURS, DAY)).collect().height == 28
    first = lake.state(of(HOURS, DAY), "2023")
    assert first
    assert [hole.proof for hole in first.ledger.holes] == [BEFORE_LISTING]


def test_only_whole_bars_of_what_was_asked_for_are_built(lake: LakeStore) -> None:
    store(lake, HOURS, WINTER, ["there"] * (4 * 168))
    part = TimeRange(Us(WINTER.start + HOUR), Us(WINTER.start + 3 * DAY + HOUR))
    lengthen(lake, of(HOURS, DAY), "2023", Short(HOUR, Style()), NOW, unheeded, within=part)
    state = lake.state(of(HOURS, DAY), "2023")
    assert state
    assert state.ledger.covered() == [TimeRange(Us(WINTER.start + DAY), Us(WINTER.start + 3 * DAY))]


def test_a_bar_whose_parts_are_absent_for_different_reasons_is_absent(lake: LakeStore) -> None:
    day = TimeRange(parse_time("2024-01-02"), parse_time("2024-01-03"))
    noon = Us(day.start + DAY // 2)
    halves = (TimeRange(day.start, noon), TimeRange(noon, day.end))
    holes = [Hole(half, 12, proof=why) for half, why in zip(halves, (BEFORE_LISTING, NO_TRADES), strict=True)]
    with lake.draft(HOURS, "2024") as draft:
        draft.commit([Asked(day, Source.REST, NOW, 1, 0)], lambda: Told(holes))
    state = build(lake, DAY, "2024").state
    assert state
    assert (state.ledger.covered(), state.rows) == ([day], 0)
    (hole,) = state.ledger.holes
    assert (hole.span, hole.missing, hole.proof) == (day, 1, BEFORE_LISTING)


def test_without_short_bars_there_is_nothing_to_know(lake: LakeStore) -> None:
    assert build(lake, DAY, "2024") == Filled(None)


def test_whoever_listens_hears_how_far_it_is(lake: LakeStore) -> None:
    store(lake, HOURS, WINTER, ["there"] * (4 * 168))
    told = list[tuple[int, Us]]()
    lengthen(
        lake,
        of(HOURS, DAY),
        "2024",
        Short(HOUR, Style()),
        NOW,
        lambda _dataset, _key, rows, until: told.append((rows, until)),
    )
    assert told == [(14, WINTER.end)]
