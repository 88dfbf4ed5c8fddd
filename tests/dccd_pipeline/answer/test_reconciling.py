"""The nightly job: live rows held against the exchange, bars against trades; what differs is told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dccd_core.bars.differences import known_differences
from dccd_core.domain.dataset import Dataset, partition_keys
from dccd_core.domain.timespan import DAY, HOUR, TimeRange, Us, us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import VENUE_OUTAGE, Asked, Source
from dccd_core.quality.holes import NoCheck
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from dccd_pipeline.answer.reconciling import by_exchange, configured, reconcile_schedule
from dccd_pipeline.build import build_definitions
from dccd_pipeline.config.read import settings_of
from tests.dccd_core.bars.test_diff import spoiled
from tests.dccd_core.fetch.world import TRADES, bars, truth
from tests.dccd_pipeline.held import BOOKS, HOURS, hold, whole
from tests.dccd_pipeline.held import bars as bars_at

BARS = bars()
LIVE = "binance/ohlc/BTC-USDT/1m"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(trades_per_day={"BTC/USDT": 5_000}) as running:
        yield running


def made(folder: Path, sandbox: RunningSandbox, **more: Any) -> dg.Definitions:
    stream = {
        "name": "majors",
        "exchange": "binance",
        "symbols": ["BTC/USDT"],
        "data_types": ["trades", "ohlc"],
    }
    start = (datetime.now(UTC) - timedelta(days=3)).date().isoformat()
    bars = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "ohlc", "span": "1m", "start": start}
    raw = {
        "store": str(folder / "lake"),
        "exchanges": {"binance": {"rest_url": sandbox.rest_url("binance")}},
        "collect": [{**bars, "name": "bars"}],
        "stream": [{**stream, "span": "1m"}],
        **more,
    }
    return build_definitions(settings_of(raw))


def run(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dict[str, Any]:
    result = definitions.resolve_job_def("reconcile").execute_in_process(instance=instance)
    assert result.success
    (output,) = (event for event in result.all_events if event.event_type_value == "STEP_OUTPUT")
    return {name: value.value for name, value in output.step_output_data.metadata.items()}


def recorded(lake: LakeStore, sandbox: RunningSandbox, dataset: Dataset, wrong: list[int]) -> None:
    """Have three whole hours of yesterday's end recorded live, of which some rows are wrong."""
    now = us(datetime.now(UTC))
    end = Us(now - now % DAY - HOUR) if now % DAY < 23 * HOUR else Us(now - now % HOUR - HOUR)
    part = TimeRange(Us(end - 3 * HOUR), end)
    rows = truth(sandbox.market, dataset, part)
    (key,) = partition_keys(dataset.grain, part)
    with lake.draft(dataset, key) as draft:
        draft.append(spoiled(rows, wrong, "price" if dataset == TRADES else "close"))
        draft.commit([Asked(part, Source.STREAM, now, 1, rows.height)], NoCheck)


def evaluations(instance: dg.DagsterInstance, dataset: Dataset) -> list[bool]:
    key = dg.AssetCheckKey(dg.AssetKey(dataset.parts), "agrees")
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=9)
    return [one.status.value == "SUCCEEDED" for one in history]


def test_what_a_stream_recorded_otherwise_is_found_told_and_not_changed(
    tmp_path: Path, sandbox: RunningSandbox
) -> None:
    lake = LakeStore(tmp_path / "lake")
    recorded(lake, sandbox, BARS, list(range(180)))
    recorded(lake, sandbox, TRADES, [])
    before = {dataset: lake.scan(dataset).collect() for dataset in (BARS, TRADES)}
    with dg.DagsterInstance.ephemeral() as instance:
        numbers = run(made(tmp_path, sandbox), instance)
        assert numbers["datasets"] == 2
        assert numbers["differ"] >= 60
        assert 2 <= numbers["requests"] <= 60
        assert numbers["left_out"] == 0
        assert evaluations(instance, BARS) == [False]
        assert evaluations(instance, TRADES) == [True]
        known = known_differences(lake, [BARS, TRADES])
        assert set(known) == {BARS}
        assert {one.against for one in known[BARS]} == {"Binance", "the stored trades"}
        run(made(tmp_path, sandbox), instance)
        assert evaluations(instance, BARS) == [False], "it is no news"
    assert all(lake.scan(dataset).collect().equals(rows) for dataset, rows in before.items())


def test_with_no_requests_nobody_is_asked(tmp_path: Path, sandbox: RunningSandbox) -> None:
    recorded(LakeStore(tmp_path / "lake"), sandbox, BARS, [5])
    with dg.DagsterInstance.ephemeral() as instance:
        numbers = run(made(tmp_path, sandbox, reconcile={"requests": 0}), instance)
    assert (numbers["requests"], numbers["compared"]) == (0, 0)


def test_an_exchange_that_does_not_answer_and_a_file_that_cannot_be_read_fail_nothing(
    tmp_path: Path, sandbox: RunningSandbox
) -> None:
    lake = LakeStore(tmp_path / "lake")
    recorded(lake, sandbox, BARS, [5])
    recorded(lake, sandbox, TRADES, [])
    Path(lake.path(TRADES, lake.keys(TRADES)[0])).write_bytes(
        b"no parquet at all, but long enough for a footer"
    )
    nowhere = {"binance": {"rest_url": sandbox.rest_url("binance") + "/nothing-here"}}
    with dg.DagsterInstance.ephemeral() as instance:
        numbers = run(made(tmp_path, sandbox, exchanges=nowhere), instance)
    assert (numbers["compared"], numbers["left_out"]) == (0, 2)


def test_what_is_collected_or_recorded_is_looked_at_an_exchange_at_a_time() -> None:
    collect = [{"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "ohlc", "span": "1m"}]
    stream = {"name": "s", "exchange": "binance", "symbols": ["BTC/USDT"], "data_types": ["orderbook"]}
    other = {**stream, "name": "t", "symbols": ["ETH/USDT"], "enabled": False}
    settings = settings_of({"collect": collect, "stream": [stream, other]})
    assert configured(settings) == [BARS, BOOKS]
    eth = Dataset.parse("okx/ohlc/ETH-USDT/1m")
    assert by_exchange({BARS: {}, eth: {}, BOOKS: {}}) == {"binance": {BARS: {}, BOOKS: {}}, "okx": {eth: {}}}


def test_what_all_symbols_lack_at_once_is_named_an_outage_and_one_alone_is_not(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path / "lake")
    eth = Dataset.parse("binance/ohlc/ETH-USDT/1h")
    opens = list(whole(HOURS, "2024"))
    hold(lake, HOURS, "2024", bars_at([*opens[:10], *opens[13:100], *opens[102:]]))
    hold(lake, eth, "2024", bars_at([*opens[:11], *opens[13:]]))
    year = {"start": "2024-01-01", "end": "2025-01-01"}
    collect = {"exchange": "binance", "data_type": "ohlc", "span": "1h", **year}
    raw = {
        "store": str(tmp_path / "lake"),
        "collect": [{**collect, "symbols": ["BTC/USDT", "ETH/USDT"], "name": "hours"}],
        "reconcile": {"requests": 0},
    }
    with dg.DagsterInstance.ephemeral() as instance:
        run(build_definitions(settings_of(raw)), instance)
    states = {dataset: lake.state(dataset, "2024") for dataset in (HOURS, eth)}
    told = {
        dataset: [(one.missing, one.reason) for one in state.ledger.gaps()]
        for dataset, state in states.items()
        if state
    }
    assert told == {HOURS: [(1, None), (2, VENUE_OUTAGE), (2, None)], eth: [(2, VENUE_OUTAGE)]}


def test_it_runs_each_night() -> None:
    schedule = reconcile_schedule(running=True)
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("10 4 * * *", "UTC")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert reconcile_schedule(running=False).default_status is dg.DefaultScheduleStatus.STOPPED
