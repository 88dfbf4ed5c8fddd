"""Several processes on one lake and one venue: nothing is lost, whoever dies; a ban holds for all."""

from contextlib import ExitStack
from pathlib import Path

import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import MINUTE
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Condition, condition
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from tests.dccd_core.fetch.world import TRADES, bars, same, truth
from tests.promises.filler import Job, filler

DAYS = ["2024-05-28", "2024-05-29", "2024-05-30", "2024-05-31"]


def assert_true(sandbox: RunningSandbox, lake: LakeStore, dataset: Dataset, keys: list[str]) -> None:
    for key in keys:
        span = partition_span(dataset.grain, key)
        assert same(pl.concat(lake.chunks(dataset, key)), truth(sandbox.market, dataset, span))
        state = lake.verify(dataset, key)
        assert condition(state.ledger if state else None, span) is Condition.AVAILABLE


@pytest.mark.parametrize(("dataset", "key"), [(TRADES, "2024-05-31"), (bars(MINUTE), "2024-05")], ids=str)
def test_two_processes_that_fill_one_partition_at_once(tmp_path: Path, dataset: Dataset, key: str) -> None:
    with running_sandbox(rtt_ms=200, trades_per_day={"BTC/USDT": 50_000}) as sandbox, ExitStack() as stack:
        job = Job(url=sandbox.rest_url("binance"), lake=str(tmp_path / "lake"), keys=[key], bar=dataset.span)
        pair = [stack.enter_context(filler(tmp_path, job)) for _ in range(2)]
        for each in pair:
            each.go()
        reports = [each.report() for each in pair]
        assert [report.errors for report in reports] == [[], []]
        assert all(report.requests > 40 for report in reports), "they did not work at the same time"
        assert_true(sandbox, LakeStore(tmp_path / "lake"), dataset, [key])
        assert not list((tmp_path / "lake").rglob(".*.draft"))


@pytest.mark.parametrize("pages", [1, 75])
def test_what_was_finished_before_a_kill_stays_and_only_the_rest_is_asked(tmp_path: Path, pages: int) -> None:
    with running_sandbox(rtt_ms=20, trades_per_day={"BTC/USDT": 20_000}) as sandbox:
        lake = LakeStore(tmp_path / "lake")
        job = Job(url=sandbox.rest_url("binance"), lake=str(tmp_path / "lake"), keys=DAYS)
        with filler(tmp_path, job) as victim:
            victim.go()
            victim.pages(pages)
            victim.kill()
        finished = lake.states(TRADES)
        assert len(finished) < len(DAYS), "it was killed too late"
        sandbox.reset()
        with filler(tmp_path, job) as heir:
            heir.go()
            report = heir.report()
        assert report.errors == []
        assert_true(sandbox, lake, TRADES, DAYS)
        assert {key: lake.state(TRADES, key) for key in finished} == finished
        drafts = [path.parent.name for path in (tmp_path / "lake").rglob(".*.draft")]
        assert not {name.removeprefix("period=") for name in drafts} - set(finished)
        asked = {int(dict(params).get("fromId", -1)) for _, params in sandbox.stats().requests}
        for key in finished:
            span = partition_span(TRADES.grain, key)
            ids = truth(sandbox.market, TRADES, span)["trade_id"].cast(int)
            # a full last page of the day before does not tell that it was the last: one more is asked for
            assert not asked & set(range(ids[0] + 1, ids[-1] + 1))


def test_a_ban_holds_for_every_process(tmp_path: Path) -> None:
    banned = Fault(kind=FaultKind.STATUS, status=418, retry_after_s=600)
    with running_sandbox(faults=[banned]) as sandbox:
        job = Job(url=sandbox.rest_url("binance"), lake=str(tmp_path / "lake"), keys=DAYS[:1])
        for _ in range(2):
            with filler(tmp_path, job) as process:
                process.go()
                [error] = process.report().errors
            assert error.startswith(
                "Banned: [binance /api/v3/aggTrades BTC/USDT] HTTP 418: -1003 Way too much"
            )
            assert sandbox.stats().count() == 1, "the second process must not even ask"
    assert not list((tmp_path / "lake").rglob("*.parquet"))
