"""The check that blocks: who depends on rows that two sources tell differently is not made of them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from dccd_core.bars.diff import Difference
from dccd_core.bars.differences import known_differences, note_differences
from dccd_core.domain.dataset import partition_span
from dccd_core.domain.timespan import HOUR, MINUTE, Us, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.options import Options
from dccd_pipeline.assets.agrees import AGREES, agreement, agreement_checks, agrees_result
from dccd_pipeline.assets.changed import tell_checks
from dccd_pipeline.build import build_definitions
from dccd_pipeline.config.read import settings_of
from tests.dccd_core.bars.test_diff import hold, spoiled, times
from tests.dccd_core.fetch.world import TRADES, bars, span, truth
from tests.dccd_pipeline.held import BOOKS

BARS = bars()
Evaluated = dg.EvaluateAutomationConditionsResult
ASSET = dg.AssetKey(BARS.parts)
MONTH, DAY = "2024-05", "2024-05-31"
PART = span("2024-05-31T10:00", "2024-05-31T13:20")
WIDE = span("2024-05-31T09:00", "2024-05-31T13:20")
NOW = parse_time("2024-06-01T00:30")


@pytest.fixture
def market() -> Market:
    return Options(trades_per_day={"BTC/USDT": 20_000}).market()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


def mine(folder: Path, *more: dg.AssetsDefinition) -> dg.Definitions:
    """Return the project of a user who makes something of what dccd collects."""
    collect = {"exchange": "binance", "symbols": ["BTC/USDT"], "start": "2024-04-01", "end": "2024-06-01"}
    settings = settings_of(
        {
            "store": str(folder / "lake"),
            "collect": [
                {**collect, "name": "bars", "data_type": "ohlc", "span": "1m"},
                {**collect, "name": "trades", "data_type": "trades"},
            ],
            "exchanges": {"binance": {"rest_url": "http://127.0.0.1:9"}},
        }
    )
    dccd = build_definitions(settings)

    trades = dg.AssetKey(TRADES.parts)
    days, months = (dccd.get_assets_def(key).partitions_def for key in (trades, ASSET))

    @dg.asset(deps=[ASSET], partitions_def=months)
    def features() -> None: ...

    @dg.asset(deps=[trades], partitions_def=days)
    def flow() -> None: ...

    @dg.asset(deps=[ASSET], partitions_def=days)
    def daily() -> None: ...

    jobs = [
        dg.define_asset_job(f"{name}_job", dg.AssetSelection.assets(name) | dg.AssetSelection.checks(check))
        for name, check in (
            ("features", dg.AssetCheckKey(ASSET, AGREES)),
            ("flow", dg.AssetCheckKey(trades, AGREES)),
            ("daily", dg.AssetCheckKey(ASSET, AGREES)),
        )
    ]
    return dg.Definitions.merge(dccd, dg.Definitions(assets=[features, flow, daily, *more], jobs=jobs))


def run(folder: Path, instance: dg.DagsterInstance, job: str, key: str) -> dg.ExecuteInProcessResult:
    made = mine(folder).resolve_job_def(job)
    return made.execute_in_process(instance=instance, partition_key=key, raise_on_error=False)


def made(result: dg.ExecuteInProcessResult) -> set[str]:
    return {
        event.asset_key.to_user_string()
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }


def found(result: dg.ExecuteInProcessResult) -> list[dg.AssetCheckEvaluation]:
    return [one for one in result.get_asset_check_evaluations() if one.check_name == AGREES]


def fill(lake: LakeStore, market: Market, wrong: Sequence[int] = ()) -> pl.DataFrame:
    """Store bars, of which some are wrong, and the trades that they are of, as answers for all the time."""
    right = truth(market, BARS, PART)
    hold(lake, BARS, MONTH, spoiled(right, [*wrong], "close"), PART)
    hold(lake, TRADES, DAY, truth(market, TRADES, WIDE), WIDE)
    return right


def test_what_is_made_of_a_day_is_not_made_while_the_day_differs(
    tmp_path: Path, market: Market, instance: dg.DagsterInstance
) -> None:
    lake, wrong = LakeStore(tmp_path / "lake"), [41, 141]  # one in a hundred of 200, by a thousandth
    right = fill(lake, market, wrong)
    result = run(tmp_path, instance, "features_job", MONTH)
    assert not result.success
    assert "features" not in made(result)
    assert instance.get_latest_materialization_event(dg.AssetKey("features")) is None
    (told,) = found(result)
    assert not told.passed
    assert told.blocking
    assert told.metadata["differ"].value == 2
    said = str(told.metadata["found"].value)
    assert said.startswith(
        "2 rows differ: 2 from the stored trades; the first 2024-05-31T10:41:00Z: close is"
    )
    assert [one.at for one in known_differences(lake, [BARS])[BARS]] == times(right, wrong)
    assert lake.scan(BARS, PART).collect().equals(spoiled(right, wrong, "close")), "nothing is changed"

    hold(lake, BARS, MONTH, right, PART)
    mended = run(tmp_path, instance, "features_job", MONTH)
    assert mended.success
    assert "features" in made(mended)
    assert [one.passed for one in found(mended)] == [True]
    assert known_differences(lake, [BARS]) == {}


def test_another_day_is_not_blocked(tmp_path: Path, market: Market, instance: dg.DagsterInstance) -> None:
    lake = LakeStore(tmp_path / "lake")
    for day in ("2024-05-30", DAY):
        hold(lake, TRADES, day, truth(market, TRADES, PART).clear(), partition_span(TRADES.grain, day))
    live = Difference(PART.start, "77", "missing here")
    note_differences(lake, TRADES, [PART], "Binance", [live], NOW)
    blocked = run(tmp_path, instance, "flow_job", DAY)
    assert (blocked.success, made(blocked) & {"flow"}) == (False, set())
    other = run(tmp_path, instance, "flow_job", "2024-05-30")
    assert (other.success, made(other) & {"flow"}) == (True, {"flow"})


def test_days_of_a_month_and_runs_over_several_are_judged_by_their_own_time(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    lake = LakeStore(tmp_path / "lake")
    note_differences(lake, BARS, [PART], "Binance", [Difference(PART.start, "", "close is 1, there 2")], NOW)
    told = {key: run(tmp_path, instance, "daily_job", key).success for key in ("2024-05-30", DAY)}
    assert told == {"2024-05-30": True, DAY: False}
    job, ends = mine(tmp_path).resolve_job_def("daily_job"), "dagster/asset_partition_range_"
    for last, well in (("2024-05-30", True), (DAY, False)):
        tags = {f"{ends}start": "2024-05-29", f"{ends}end": last}
        assert job.execute_in_process(instance=instance, tags=tags, raise_on_error=False).success is well


def test_the_job_of_the_entry_fetches_whatever_is_known(
    tmp_path: Path, market: Market, instance: dg.DagsterInstance
) -> None:
    lake = LakeStore(tmp_path / "lake")
    hold(lake, BARS, MONTH, truth(market, BARS, PART), partition_span(BARS.grain, MONTH))
    note_differences(lake, BARS, [PART], "Binance", [Difference(PART.start, "", "close is 1, there 2")], NOW)
    result = run(tmp_path, instance, "bars", MONTH)
    assert result.success
    (told,) = found(result)
    assert not told.passed, "it is told all the same, for who waits for it"


def test_by_automation_what_is_downstream_waits_until_the_sources_agree(
    tmp_path: Path, market: Market, instance: dg.DagsterInstance
) -> None:
    lake = LakeStore(tmp_path / "lake")
    fill(lake, market)
    condition = dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed()

    months = mine(tmp_path).get_assets_def(ASSET).partitions_def

    @dg.asset(deps=[ASSET], partitions_def=months, automation_condition=condition)
    def wanted() -> None: ...

    seen = list[Evaluated]()

    def requested() -> int:
        only, cursor = dg.AssetSelection.assets("wanted"), seen[-1].cursor if seen else None
        made = mine(tmp_path, wanted)
        seen.append(dg.evaluate_automation_conditions(made, instance, only, cursor=cursor))
        return seen[-1].total_requested

    def tell() -> None:
        @dg.op
        def telling(context: dg.OpExecutionContext) -> None:
            context.log_event(dg.AssetMaterialization(ASSET, partition=MONTH))
            tell_checks(context, agreement(lake, [BARS]), {ASSET})

        @dg.job
        def tick() -> None:
            telling()

        assert tick.execute_in_process(instance=instance).success

    requested()
    note_differences(lake, BARS, [PART], "Binance", [Difference(PART.start, "", "close is 1, there 2")], NOW)
    tell()
    assert requested() == 0
    note_differences(lake, BARS, [PART], "Binance", [], Us(NOW + HOUR))
    tell()
    assert requested() == 1


def test_what_nobody_shows_the_past_of_has_no_such_check() -> None:
    assert agreement_checks("books", [BOOKS]) == []
    (one,) = agreement_checks("mixed", [BOOKS, TRADES])
    assert [spec.asset_key for spec in one.check_specs] == [dg.AssetKey(TRADES.parts)]
    assert all(spec.blocking for spec in one.check_specs)


def test_what_is_accepted_by_name_blocks_nothing(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path / "lake")
    rows = [Difference(Us(PART.start + n * MINUTE), "", "close is 1, there 2") for n in range(30)]
    note_differences(lake, BARS, [PART], "Binance", rows, NOW)
    day = {"dataset": str(BARS), "start": "2024-05-31", "end": "2024-06-01", "why": "so it was"}
    accepted = settings_of({"store": str(tmp_path / "lake"), "accepted": [day]}).lake()
    assert [one.passed for one in agreement(lake, [BARS, BOOKS])] == [False]
    assert [one.passed for one in agreement(accepted, [BARS])] == [True]
    text = str(agrees_result(BARS, known_differences(lake, [BARS])[BARS]).metadata["found"].value)
    assert text.startswith("30 rows differ: 30 from Binance")
    assert text.count("\n- ") == 20
