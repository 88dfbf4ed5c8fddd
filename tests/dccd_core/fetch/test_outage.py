"""An outage of the venue stands in the ledgers of all its datasets, and nothing else does."""

from pathlib import Path

import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MINUTE, TimeRange, Us, parse_time
from dccd_core.fetch.outage import name_outages, outages
from dccd_core.lake.lake import State
from dccd_core.lake.partition.ledger import VENUE_OUTAGE, Asked, Source
from dccd_core.quality.holes import NoCheck
from tests.dccd_core.fetch.world import NOW, TRADES, World, bars, span, truth

AWAY = span("2024-05-20T10:00", "2024-05-20T13:00")
HOURS = {symbol: bars(HOUR, Symbol(symbol, "USDT")) for symbol in ("BTC", "ETH", "DOGE")}
KEY = "2024"


@pytest.fixture
def world(tmp_path: Path) -> World:
    traded = {str(dataset.symbol): 20_000 for dataset in HOURS.values()}
    return World(tmp_path, outages=("2024-05-20T10:00/2024-05-20T13:00",), trades_per_day=traded)


def held(world: World, *datasets: Dataset) -> dict[Dataset, dict[str, State]]:
    return {dataset: world.lake.all_known(dataset) for dataset in datasets}


def told(world: World, dataset: Dataset) -> list[tuple[TimeRange, int, str | None, str | None]]:
    state = world.lake.state(dataset, KEY)
    assert state is not None
    return [(one.span, one.missing, one.proof, one.reason) for one in state.ledger.holes]


def test_all_that_the_venue_has_is_empty_at_once(world: World) -> None:
    btc, eth = HOURS["BTC"], HOURS["ETH"]
    for dataset in (btc, eth):
        world.fill(dataset, KEY)
        assert [(one, reason) for one, _, _, reason in told(world, dataset)] == [(AWAY, None)]
    before = {dataset: world.stored(dataset, KEY) for dataset in (btc, eth)}
    assert name_outages(world.lake, held(world, btc)) == [], "one symbol alone is quiet"
    assert name_outages(world.lake, held(world, btc, eth)) == [(btc, KEY), (eth, KEY)]
    for dataset in (btc, eth):
        ((span, missing, proof, reason),) = told(world, dataset)
        assert (span, missing, reason) == (AWAY, 3, VENUE_OUTAGE)
        assert proof
        assert world.stored(dataset, KEY).equals(before[dataset])
    assert name_outages(world.lake, held(world, btc, eth)) == [], "it is named once"
    world.at(Us(NOW + 2 * HOUR)).fill(btc, KEY)
    assert told(world, btc)[0][3] == VENUE_OUTAGE


def test_a_trade_in_that_time_says_that_the_venue_was_there(world: World) -> None:
    btc, eth = HOURS["BTC"], HOURS["ETH"]
    for dataset in (btc, eth):
        world.fill(dataset, KEY)
    rows = truth(world.market, TRADES, TimeRange(Us(AWAY.end), Us(AWAY.end + HOUR))).head(1)
    moved = rows.with_columns(ts=rows["ts"].dt.offset_by("-90m"))
    with world.lake.draft(TRADES, "2024-05-20") as draft:
        draft.append(moved)
        draft.commit([Asked(AWAY, Source.REST, NOW, 1, 1)], NoCheck)
    found = outages(world.lake, held(world, btc, eth, TRADES))
    middle = TimeRange(Us(AWAY.start + HOUR), Us(AWAY.start + 2 * HOUR))
    assert found == AWAY.minus([middle])
    name_outages(world.lake, held(world, btc, eth, TRADES))
    assert [(span, reason) for span, _, _, reason in told(world, eth)] == [
        (TimeRange(AWAY.start, middle.start), VENUE_OUTAGE),
        (middle, None),
        (TimeRange(middle.end, AWAY.end), VENUE_OUTAGE),
    ]


def test_a_third_market_that_went_on_says_so_too(world: World) -> None:
    btc, eth, doge = HOURS.values()
    for dataset in (btc, eth):
        world.fill(dataset, KEY)
    after = TimeRange(Us(parse_time("2024-05-20")), AWAY.start)
    some = truth(world.market, doge, after).head(3)
    shifted = some.with_columns(ts=some["ts"].dt.offset_by("10h"))
    with world.lake.draft(doge, KEY) as draft:
        draft.append(shifted)
        draft.commit([Asked(AWAY, Source.REST, NOW, 1, 3)], NoCheck)
    assert name_outages(world.lake, held(world, btc, eth, doge)) == []


def test_longer_bars_that_go_on_after_it_do_not_deny_it(world: World) -> None:
    minutes = [bars(MINUTE, Symbol(name, "USDT")) for name in ("BTC", "ETH")]
    days = bars(Us(24 * HOUR))
    for dataset in minutes:
        world.fill(dataset, "2024-05")
    world.fill(days, KEY)
    done = name_outages(world.lake, held(world, *minutes, days))
    assert done == [(dataset, "2024-05") for dataset in minutes]
    assert told(world, days) == []
