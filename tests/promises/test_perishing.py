"""What a venue shows for a limited time: every loss is told of before it happens, and named afterwards.

Outages of an hour to forty days on a clock that is given; whoever looks has only what the lake says.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

from dccd_core.adapter.contract import Request, Response
from dccd_core.domain.dataset import Dataset, partition_keys
from dccd_core.domain.errors import OutOfReach, Unavailable
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, TimeRange, Us, iso, parse_time, union
from dccd_core.exchanges import get
from dccd_core.fetch.fill import fill
from dccd_core.fetch.planner import settled
from dccd_core.quality.coverage import covered
from dccd_core.quality.deadline import Deadline, Safety, deadline
from tests.dccd_core.fetch.world import World

START = parse_time("2026-03-02T00:00")
MINUTES = Dataset.parse("kraken/ohlc/BTC-USD/1m")
HOURS = Dataset.parse("kraken/ohlc/BTC-USD/1h")
DAILY = Dataset.parse("binance/trades/BTC-USDT_USDT")
"""Shown for 24 hours."""
QUARTERLY = Dataset.parse("okx/trades/BTC-USDT")
"""Shown for 90 days."""
NEWEST = Dataset.parse("bybit/trades/BTC-USDT_USDT")
"""The last 1,000 are shown."""
DENSITY = {"binance": 400, "okx": 40, "bybit": 20_000, "kraken": 6_000}

HOURS_AWAY = (1, 5, 10, 24, 3 * 24, 9 * 24, 28 * 24, 40 * 24)
OUTAGES = [
    pytest.param(Us(hours * HOUR), id=f"{hours}h", marks=[] if hours == 10 else [pytest.mark.slow])
    for hours in HOURS_AWAY
]


@dataclass(slots=True)
class Life:
    """A dataset that is brought up to date every ``every``, but for an outage; what was said when."""

    world: World
    dataset: Dataset
    every: Us
    said: list[tuple[Us, Deadline]] = field(default_factory=list[tuple[Us, Deadline]])

    def live(self, until: Us) -> None:
        """Look and fetch every so often."""
        while self.now < until:
            self.world.at(Us(min(until, self.now + self.every)))
            self.look()
            self.bring()

    def wait(self, until: Us) -> None:
        """Look and try to fetch while the venue does not answer; more rarely once that has lasted."""
        self.world.alter = _refuse
        self.bring()
        for often in (1,) * 40 + (10,) * 60 + (1_000,) * 60:
            if self.now < until:
                self.world.at(Us(min(until, self.now + often * self.every)))
                self.look()
        assert self.now == until
        self.world.alter = lambda _, response: response

    def sleep(self, until: Us) -> None:
        """Nobody is there to look, or to fetch."""
        self.world.at(until)

    def look(self) -> None:
        self.said.append((self.now, self.deadline()))

    def bring(self) -> None:
        now, span = self.now, TimeRange(START, self.now)
        for key in partition_keys(self.dataset.grain, span):
            try:
                self.world.with_venue(
                    lambda venue, key=key: fill(
                        venue, self.world.lake, self.dataset, key, self.world.progress, within=span
                    )
                )
            except (OutOfReach, Unavailable):
                continue
            finally:
                self.world.at(now)

    @property
    def now(self) -> Us:
        return self.world.clock.now()

    @property
    def final(self) -> Us:
        return settled(self.dataset, self.now, get(self.dataset.exchange).finality_delay)

    def deadline(self) -> Deadline:
        endpoint = get(self.dataset.exchange).endpoint(
            self.dataset.symbol.market_type, self.dataset.data_type
        )
        assert endpoint
        states = self.world.lake.all_known(self.dataset)
        found = deadline(self.dataset, states, endpoint.reach, TimeRange(START, self.final), self.now)
        assert found
        return found

    def lost(self) -> list[TimeRange]:
        """Return what nobody has, once all that can be had was fetched."""
        held = covered(self.world.lake.all_known(self.dataset))
        return TimeRange(held[0].start, self.final).minus(held)


def _refuse(_: Request, __: Response) -> NoReturn:
    raise Unavailable("the venue does not answer", hint="wait")


def life(folder: Path, dataset: Dataset, every: Us) -> Life:
    """Return one that has been well for a while: as long as the venue shows what it has, at most two days."""
    density = {str(dataset.symbol): DENSITY[dataset.exchange]}
    made = Life(World(folder, START, dataset.exchange, trades_per_day=density), dataset, every)
    made.world.at(Us(START + every))
    made.bring()
    made.live(Us(START + 12 * every))
    assert [one.safety for _, one in made.said] == [Safety.SAFE] * len(made.said)
    return made


CASES = [
    pytest.param(dataset, Us(minutes * MINUTE), id=str(dataset))
    for dataset, minutes in (
        (MINUTES, 40),
        (HOURS, 24 * 60),
        (DAILY, 80),
        (QUARTERLY, 4 * 24 * 60),
        (NEWEST, 4),
    )
]


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize(("dataset", "every"), CASES)
def test_while_the_venue_is_away_every_loss_is_told_of_before_it_happens(
    tmp_path: Path, dataset: Dataset, every: Us, outage: Us
) -> None:
    one = life(tmp_path, dataset, min(every, Us(outage // 2)))
    gone = one.now
    one.every = every  # however long it takes, somebody looks
    one.wait(Us(gone + outage))
    one.live(Us(one.now + 3 * every))
    assert_told(one, gone)


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize(("dataset", "every"), CASES)
def test_what_was_lost_while_nobody_was_there_is_named_afterwards(
    tmp_path: Path, dataset: Dataset, every: Us, outage: Us
) -> None:
    one = life(tmp_path, dataset, every)
    one.sleep(Us(one.now + outage))
    one.look()
    one.bring()
    one.live(Us(one.now + 3 * every))
    assert_named(one)


def assert_told(one: Life, gone: Us) -> None:
    """Whoever looked when the first moment was lost had heard of it before; and what is lost is named."""
    assert_named(one)
    if lost := one.lost():
        at = gone_at(one, lost[0].start)
        told, said = next((when, said) for when, said in one.said if said.safety is not Safety.SAFE)
        assert gone < told < at, f"at {iso(at)} it was lost, and before that nobody had said so"
        assert said.safety is Safety.AT_RISK
        assert said.since == lost[0].start
        first = next(when for when, said in one.said if said.safety is Safety.LOST)
        assert first >= at or not said.exact


def assert_named(one: Life) -> None:
    now = one.deadline()
    lost = one.lost()
    assert union(gap.span for gap in now.lost) == lost
    assert now.safety is (Safety.LOST if lost else Safety.SAFE)
    assert not now.at_risk, "it is up to date again"
    for part in lost:
        assert f"lost: {iso(part.start)} to {iso(part.end)}" in str(now)


def gone_at(one: Life, first: Us) -> Us:
    """Return when the row at ``first`` was really gone: what the venue itself would have shown."""
    endpoint = get(one.dataset.exchange).endpoint(one.dataset.symbol.market_type, one.dataset.data_type)
    assert endpoint
    if endpoint.reach.period is not None:
        return Us(first + endpoint.reach.period)
    assert endpoint.reach.rows is not None
    if one.dataset.span is not None:
        return Us(first + endpoint.reach.rows * one.dataset.span)
    span = TimeRange(first, Us(first + 3 * DAY))
    after = one.world.market.truth_trades(one.dataset.exchange, one.dataset.symbol, span)
    return Us(int(after["ts"].to_physical()[endpoint.reach.rows]))
