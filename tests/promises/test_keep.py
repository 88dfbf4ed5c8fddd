"""What remotes hold is not downloaded again, comes back for whoever reads it, and is right."""

from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from dccd_core.domain.dataset import partition_key, partition_span
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, TimeRange, Us
from dccd_core.fetch.fill import Filled
from dccd_core.fetch.fold import fold_tail
from dccd_core.fetch.tick import Due, Folding, tick
from dccd_core.fetch.together import Outcome
from dccd_core.keep.purge import Purge, Rules
from dccd_core.keep.remotes.folder import FolderRemote
from dccd_core.keep.restore import Restorer
from dccd_core.keep.sync import sync
from dccd_core.lake.partition.ledger import Asked, Source
from dccd_core.quality.holes import NoCheck
from tests.dccd_core.fetch.world import TRADES, World, bars, truth

HOURS = bars(HOUR)
DAYS = ["2024-06-01", "2024-06-02", "2024-06-03", "2024-06-04"]
START = partition_span(TRADES.grain, "2024-06-05").start
BEGUN = Us(START + 10 * MINUTE)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Four days of trades and two years of hours, whole; half of it is on a remote only."""
    world = World(tmp_path, BEGUN, trades_per_day={"BTC/USDT": 300})
    for key in DAYS:
        world.fill(TRADES, key)
    for key in ("2022", "2023"):
        world.fill(HOURS, key)
    remote = FolderRemote("backup", tmp_path / "remote")
    assert sync(world.lake, remote, BEGUN).well
    report = Purge(world.lake, [remote], Rules(older_than=Us(2 * DAY)), BEGUN).run()
    assert [(one.dataset, one.key) for one in report.gone] == [
        (HOURS, "2022"),
        (HOURS, "2023"),
        (TRADES, DAYS[0]),
        (TRADES, DAYS[1]),
    ]
    world.lake.bring = Restorer(world.lake, lambda: [remote])
    return world


def test_a_day_of_ticks_downloads_nothing_of_what_remotes_hold(world: World) -> None:
    """All partitions are due at each of them, as they are for a scheduler that remembers nothing."""
    asked = list[tuple[str, str]]()
    before = world.requests()
    for hour in range(24):
        now = Us(START + hour * HOUR + 10 * MINUTE)
        world.at(now)
        keys = [*DAYS, partition_key(TRADES.grain, now)]
        due = [Due(TRADES, key) for key in keys] + [Due(HOURS, key) for key in ("2022", "2023", "2024")]
        told = list[Outcome]()
        world.with_venue(
            lambda venue, due=due, told=told: tick(
                venue, world.lake, due, world.progress, told.append, Folding([TRADES, HOURS], Us(6 * HOUR))
            )
        )
        for one in told:
            assert isinstance(one.result, Filled), one
            if one.result.requests:
                asked.append((str(one.dataset), one.key))
    assert set(asked) == {(str(TRADES), "2024-06-05"), (str(HOURS), "2024")}
    assert world.requests() > before
    world.with_venue(lambda venue: fold_tail(venue, world.lake, TRADES))
    assert world.lake.elsewhere(TRADES) == DAYS[:2]
    assert world.lake.elsewhere(HOURS) == ["2022", "2023"]


def test_a_read_of_one_day_brings_back_one_partition_and_equals_the_truth(world: World) -> None:
    day = partition_span(TRADES.grain, DAYS[1])
    rows = world.lake.scan(TRADES, day).collect()
    assert_frame_equal(rows.drop("received"), truth(world.market, TRADES, day).drop("received"))
    assert world.lake.elsewhere(TRADES) == [DAYS[0]]
    assert world.lake.elsewhere(HOURS) == ["2022", "2023"]


def test_a_late_answer_is_united_with_what_a_remote_holds(world: World) -> None:
    """Asked for again by hand, as after a repair: no small file lies beside the record."""
    whole = world.lake.state(TRADES, DAYS[0])
    assert whole
    span = partition_span(TRADES.grain, DAYS[0])
    rows = truth(world.market, TRADES, TimeRange(span.start, Us(span.start + HOUR)))
    with world.lake.draft(TRADES, DAYS[0]) as draft:
        draft.append(rows)
        state = draft.commit([Asked(span, Source.REST, Us(START + 1), 1, rows.height)], NoCheck)
    assert (state.rows, state.elsewhere) == (whole.rows, ())
    assert_frame_equal(world.stored(TRADES, DAYS[0]), truth(world.market, TRADES, span))
