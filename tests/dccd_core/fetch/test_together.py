import asyncio
from collections.abc import Callable

import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import Unavailable
from dccd_core.domain.symbol import Symbol
from dccd_core.fetch.fill import Filled
from dccd_core.fetch.together import AT_ONCE, Outcome, fill_all
from dccd_core.tables import DataType

BTC, ETH = (Dataset("binance", Symbol(base, "USDT"), DataType.TRADES) for base in ("BTC", "ETH"))
KEYS = [f"2024-01-{day:02}" for day in range(1, 11)]
JOBS = [(dataset, key) for key in KEYS for dataset in (BTC, ETH)]


class Crew:
    """Fills that take a few turns of the loop; ``trouble`` may raise."""

    def __init__(self, trouble: Callable[[Dataset, str], None] = lambda dataset, key: None) -> None:
        self.begun: list[tuple[Dataset, str]] = []
        self.most = self.now = 0
        self.outcomes: list[Outcome] = []
        self._trouble = trouble

    async def fill(self, dataset: Dataset, key: str) -> Filled:
        self.begun.append((dataset, key))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            self._trouble(dataset, key)
        finally:
            self.now -= 1
        return Filled(None)

    def work(self) -> None:
        asyncio.run(fill_all(JOBS, self.fill, self.outcomes.append))


def test_every_job_has_an_outcome_and_few_are_in_progress() -> None:
    crew = Crew()
    crew.work()
    assert crew.begun == JOBS
    assert {(outcome.dataset, outcome.key) for outcome in crew.outcomes} == set(JOBS)
    assert crew.most == AT_ONCE


def test_a_failure_stops_its_dataset_not_the_neighbour() -> None:
    failure = Unavailable("no")

    def trouble(dataset: Dataset, key: str) -> None:
        if (dataset, key) == (BTC, KEYS[2]):
            raise failure

    crew = Crew(trouble)
    crew.work()
    done = [outcome.key for outcome in crew.outcomes if outcome.dataset == ETH]
    assert sorted(done) == KEYS
    assert [outcome.result for outcome in crew.outcomes if outcome.key == KEYS[2]].count(failure) == 1
    left = [key for key in KEYS if (BTC, key) not in crew.begun]
    assert left
    assert left == KEYS[-len(left) :]
    assert len(left) >= len(KEYS) - 3 - AT_ONCE


def test_a_defect_is_shown_as_it_is_and_ends_the_others() -> None:
    def trouble(dataset: Dataset, key: str) -> None:
        raise ZeroDivisionError(key)

    crew = Crew(trouble)
    with pytest.raises(ZeroDivisionError):
        crew.work()
    assert crew.now == 0
    assert len(crew.begun) <= AT_ONCE
