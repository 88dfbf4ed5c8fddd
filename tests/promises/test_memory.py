"""A day of trades takes the same memory whatever it holds, many of them in one millisecond."""

from pathlib import Path

import pytest

from dccd_core.domain.dataset import partition_span
from dccd_core.domain.timespan import MINUTE, TimeRange, Us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Asked, Condition, Source, condition
from dccd_core.quality.holes import NoCheck
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.process import running_sandbox
from tests.dccd_core.fetch.world import TRADES, truth
from tests.promises.filler import Job, filler
from tests.promises.memory import GIVES_BACK

DAY = "2024-03-05"


def truth_hash(folder: Path, market: Market) -> str:
    """Write the truth through a lake of its own, some minutes at a time."""
    span, rows, ties = partition_span(TRADES.grain, DAY), 0, 0
    with LakeStore(folder).draft(TRADES, DAY) as draft:
        for part in span.split(Us(10 * MINUTE)):
            trades = truth(market, TRADES, TimeRange(part.start, part.end))
            rows += trades.height
            ties += trades.height - trades["ts"].n_unique()
            draft.append(trades)
        assert ties > rows / 2, "too few trades share a millisecond"
        asked = Asked(span, Source.DERIVED, span.end, 0, rows)
        return draft.commit([asked], NoCheck).content_hash


@pytest.mark.parametrize(
    ("trades", "limit_mb"), [(2_000_000, 600), pytest.param(10_000_000, 1_024, marks=pytest.mark.slow)]
)
def test_memory_stays_bounded_whatever_a_day_holds(tmp_path: Path, trades: int, limit_mb: int) -> None:
    with running_sandbox(trades_per_day={"BTC/USDT": trades}) as sandbox:
        job = Job(url=sandbox.rest_url("binance"), lake=str(tmp_path / "lake"), keys=[DAY])
        with filler(tmp_path, job, extra=GIVES_BACK) as process:
            process.go()
            report = process.report()
    print(f"{trades:,} trades: peak {report.peak_mb} MB, {report.cpu_s:.0f} s CPU")  # noqa: T201 -- the measurement
    assert report.errors == []
    assert report.rows == trades
    assert report.peak_mb < limit_mb
    state = LakeStore(tmp_path / "lake").state(TRADES, DAY)
    assert state is not None
    assert state.rows == trades
    assert condition(state.ledger, partition_span(TRADES.grain, DAY)) is Condition.AVAILABLE
    assert state.content_hash == truth_hash(tmp_path / "truth", sandbox.market)
