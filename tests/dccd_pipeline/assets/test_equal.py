"""H13: bars that the venue revised after they were stored."""

from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from dccd_core.adapter.contract import Request, Response
from dccd_core.bars.differences import known_differences
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, Us
from dccd_core.exchanges import NAMES, get
from dccd_core.lake.partition.ledger import Asked, Source
from dccd_core.quality.holes import NoCheck
from dccd_pipeline.assets.equal import CHECK, compare_parts, due_samples, newest_part
from dccd_pipeline.assets.history import history_assets
from dccd_pipeline.config.read import settings_of
from tests.dccd_core.fetch.world import NOW, World, bars

KEY = "2024-06"
FIVE = bars(Us(5 * MINUTE))


def revise(world: World, dataset: Dataset) -> None:
    """Store other closes than the venue has, as if it had revised its own since."""
    stored = world.stored(dataset, KEY)
    state = world.lake.state(dataset, KEY)
    assert state is not None
    with world.lake.draft(dataset, KEY) as draft:
        draft.append(stored.with_columns(close=pl.col("low"), high=pl.max_horizontal("open", "low")))
        draft.commit([], NoCheck)


def checked(world: World, dataset: Dataset, now: Us) -> list[dg.AssetCheckResult]:
    parts = due_samples({dataset: world.lake.states(dataset)}, now)
    return world.with_venue(lambda venue: compare_parts(venue, world.lake, parts))


def test_h13_a_revised_bar_is_reported_with_what_it_was_and_is(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(FIVE, KEY)
    assert checked(world, FIVE, Us(NOW + 5 * MINUTE)) == [], "it is not an hour old"
    later = Us(NOW + DAY + HOUR)
    [equal] = checked(world, FIVE, later)
    assert equal.passed
    revise(world, FIVE)
    [found] = checked(world, FIVE, later)
    assert not found.passed
    assert found.check_name == CHECK
    assert found.severity is dg.AssetCheckSeverity.ERROR
    told = str(found.metadata["bars"].value)
    assert "close was " in told
    assert ", is " in told
    known = known_differences(world.lake, [FIVE])[FIVE]
    assert len(known) == int(str(found.metadata["found"].value).split(", ")[1].split(" ")[0])
    assert all(one.against == "Binance" and " was " in one.said for one in known)


def test_h13_nothing_is_asked_again_of_what_was_never_asked(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert due_samples({FIVE: {}}, NOW) == []
    assert newest_part(FIVE, {}) is None
    assert checked(world, FIVE, NOW) == []
    assert world.requests() == 0


def test_h13_a_venue_that_cannot_be_asked_is_a_warning(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(FIVE, KEY)

    def closed(_: Request, response: Response) -> Response:
        return Response(200, response.headers, b'{"unheard":1}', response.received)

    world.alter = closed
    [found] = checked(world, FIVE, Us(NOW + DAY + HOUR))
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert "could not be compared" in str(found.metadata["found"].value)


@pytest.mark.parametrize("name", [name for name in NAMES if get(name).closed is None])
def test_h13_all_bars_have_the_check(tmp_path: Path, name: str) -> None:
    quote = "USD" if name in ("coinbase", "kraken") else "USDT"
    collect = {"exchange": name, "symbols": [f"BTC/{quote}"], "data_type": "ohlc", "span": "1h"}
    settings = settings_of({"store": str(tmp_path), "collect": [collect]})
    checks = [spec.name for spec in history_assets(settings.collect[0], settings.store).check_specs]
    assert CHECK in checks


def test_the_newest_part_is_a_page_at_most(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(FIVE, KEY)
    part = newest_part(FIVE, world.lake.states(FIVE))
    assert part is not None
    assert part.length == 500 * 5 * MINUTE
    assert Asked(part, Source.REST, NOW, 1, 500).span.end <= NOW
