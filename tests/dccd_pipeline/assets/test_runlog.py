"""A line once a minute, whatever the number of pages; and a thread hears of a stop at its next page."""

import asyncio
import logging
from typing import cast

import dagster as dg
import pytest

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import HOUR, MINUTE, TimeRange, Us
from dccd_core.fetch.fill import Halted
from dccd_core.net.clock import ManualClock
from dccd_pipeline.assets.runlog import RunLog
from dccd_pipeline.build import silent
from tests.dccd_pipeline.held import HOURS

YEAR = partition_span(HOURS.grain, "2024")


def test_it_says_once_a_minute_how_far_it_is(caplog: pytest.LogCaptureFixture) -> None:
    clock, pages = ManualClock(Us(0)), list[tuple[Dataset, str, int, Us]]()

    def progress(dataset: Dataset, key: str, rows: int, until: Us) -> None:
        pages.append((dataset, key, rows, until))

    logger = cast("dg.DagsterLogManager", logging.getLogger("a run"))
    log = RunLog(logger, progress, clock)
    log.begin({(HOURS, "2024"): [TimeRange(YEAR.start, Us(YEAR.start + 4 * HOUR))]})
    with caplog.at_level(logging.INFO):
        for n in range(1, 5):
            asyncio.run(clock.sleep(20))
            log.page(HOURS, "2024", 1, Us(YEAR.start + n * HOUR))
    assert len(pages) == 4
    assert [record.getMessage() for record in caplog.records] == [
        f"75% done, 3 rows, 0 rows/s, about 20 s left; {HOURS} 2024: up to 2024-01-01T03:00:00Z"
    ]


def test_once_it_is_to_stop_the_next_page_is_the_end() -> None:
    log = RunLog(cast("dg.DagsterLogManager", logging.getLogger("a run")), silent)
    log.halt.set()
    with pytest.raises(Halted, match="stopped while bars were built"):
        log.page(HOURS, "2024", 1, MINUTE)
