"""Only what is final is stored, at any moment of a minute, and nothing is lost when a clock is wrong."""

from pathlib import Path

import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, Us, parse_time
from dccd_core.lake.partition.ledger import Condition
from dccd_core.quality.audit import FINAL, Audit
from tests.dccd_core.fetch.world import TRADES, World, bars, same

START = parse_time("2024-06-01T00:30:00")
SETTLE = Us(5 * SECOND)
AHEAD = [Us(0), Us(7 * MINUTE), Us(-7 * MINUTE), Us(3 * SECOND), Us(30 * SECOND), Us(20 * HOUR)]
"""How far our clock is ahead of the venue's."""


def key_of(dataset: Dataset) -> str:
    return "2024-06" if dataset.span else "2024-06-01"


@pytest.mark.parametrize("dataset", [bars(), TRADES], ids=str)
def test_at_any_second_of_a_minute_only_what_is_final_is_stored(tmp_path: Path, dataset: Dataset) -> None:
    """One partition followed through: at each second what is stored is the truth up to the final moment."""
    world, key = World(tmp_path), key_of(dataset)
    length = dataset.span or Us(0)
    for second in range(126):
        now = Us(START + second * SECOND)
        world.at(now).fill(dataset, key)
        final = Us(now - SETTLE - length + (1 if length else 0))
        assert same(world.stored(dataset, key), world.truth(dataset, key, final)), f"second {second}"


@pytest.mark.parametrize("ahead", AHEAD, ids=lambda ahead: f"{ahead // SECOND}s")
@pytest.mark.parametrize("second", [0, 1, 4, 5, 6, 30, 59])
@pytest.mark.parametrize("dataset", [bars(), TRADES], ids=str)
def test_a_wrong_clock_neither_stores_too_early_nor_loses_anything(
    tmp_path: Path, dataset: Dataset, second: int, ahead: Us
) -> None:
    world, key = World(tmp_path), key_of(dataset)
    length = dataset.span or Us(0)
    venue_now = Us(START + second * SECOND)
    world.at(Us(venue_now + ahead), venue_now).fill(dataset, key)
    final = Us(venue_now - SETTLE - length + (1 if length else 0))
    early = world.stored(dataset, key)
    assert same(early, world.truth(dataset, key, final).head(early.height))
    if ahead >= 0:
        assert early.height == world.truth(dataset, key, final).height
    assert world.condition(dataset, key) in (Condition.PENDING, Condition.MISSING)

    later = Us(venue_now + HOUR)
    world.at(later).fill(dataset, key)
    final = Us(later - SETTLE - length + (1 if length else 0))
    assert same(world.stored(dataset, key), world.truth(dataset, key, final))


def test_trades_of_a_quiet_market_are_not_declared_complete_by_a_clock_that_is_ahead(tmp_path: Path) -> None:
    """Twenty trades a day: between two fills nothing happens, then something does."""
    world = World(tmp_path, trades_per_day={"BTC/USDT": 20})
    world.at(Us(START + 2 * HOUR), START).fill(TRADES, "2024-06-01")
    world.at(Us(START + 23 * HOUR)).fill(TRADES, "2024-06-01")
    truth = world.truth(TRADES, "2024-06-01", Us(START + 23 * HOUR - SETTLE))
    assert truth.height > 10
    assert same(world.stored(TRADES, "2024-06-01"), truth)


def test_the_audit_finds_no_bar_that_was_stored_too_early(tmp_path: Path) -> None:
    world = World(tmp_path)
    for second in (0, 4, 5, 31, 64, 65):
        world.at(Us(START + second * SECOND)).fill(bars(), "2024-06")
        audit = Audit(bars())
        for rows in world.lake.chunks(bars(), "2024-06"):
            audit.see(rows)
        state = world.lake.state(bars(), "2024-06")
        assert state is not None
        audit.judge_state(state, SETTLE)
        assert FINAL not in audit.findings
