"""H4: what is known to be missing is accepted in ``dccd.yaml``: it is shown, and fails nothing."""

from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.dataset import partition_span
from dccd_core.domain.timespan import HOUR, TimeRange, parse_time
from dccd_core.lake.partition.ledger import Condition
from dccd_pipeline.assets.checks import COMPLETE, INTACT, Looked, judge
from dccd_pipeline.assets.progress import condition_of
from dccd_pipeline.build import default_resources
from dccd_pipeline.config.read import SettingsError, entry_of, parse_settings
from dccd_pipeline.config.settings import Origin, Settings
from dccd_pipeline.resources import LakeResource
from tests.dccd_core.fetch.test_work import GRID_LOST, OUTAGE, shifted
from tests.dccd_core.fetch.world import NOW, World, bars

BTC = "binance/trades/BTC-USDT"


def gap(dataset: str, start: str = "2023-01-01", end: str = "2023-01-02", why: str = "x") -> str:
    return f"{{dataset: {dataset}, start: {start}, end: {end}, why: {why}}}"


LOST = gap("binance/ohlc/BTC-USDT/1h", "2023-02-09T09:00", "2023-02-11T03:00", "off the grid")
HOURS = bars(HOUR)
ENTRY = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "ohlc", "span": "1h"}


def settings(folder: Path, accepted: str) -> Settings:
    return parse_settings(f"store: lake\naccepted: [{accepted}]\n", Origin("dccd.yaml", folder))


def test_h4_an_accepted_irregularity_stays_to_be_seen_and_fails_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, outages=[OUTAGE])
    world.alter = shifted(*GRID_LOST)
    world.fill(HOURS, "2023")
    for accepted, wanted in (("", Condition.DEGRADED), (LOST, Condition.AVAILABLE)):
        mine = settings(tmp_path, accepted)
        resource = default_resources(mine)["lake"]
        assert isinstance(resource, LakeResource)
        for lake in (mine.lake(), resource.open()):
            states = lake.states(HOURS)
            assert condition_of(HOURS, "2023", states["2023"]) is wanted
            with dg.DagsterInstance.ephemeral() as instance:
                entry, looked = entry_of({**ENTRY, "every": "never"}, NOW), {HOURS: Looked(states)}
                checks = {one.check_name: one for one in judge(instance, lake, entry, looked, NOW)}
            assert checks[COMPLETE].passed == checks[INTACT].passed == bool(accepted)
    [hole] = [one for one in states["2023"].ledger.holes if one.span == TimeRange(*GRID_LOST)]
    assert (hole.proof, hole.missing, hole.refused) == ("accepted: off the grid", 42, 42)
    assert partition_span(HOURS.grain, "2023").clip(hole.span) == hole.span


@pytest.mark.parametrize(
    ("accepted", "said"),
    [
        (gap("binance/ohlc/BTC-USDT"), "is no dataset"),
        (gap("binance/ohlc/BTC-USDT/1h/x"), "is no dataset"),
        (gap("binanse/trades/BTC-USDT"), "did you mean"),
        (gap("binance/trades/BTC"), "is no symbol slug"),
        (gap(BTC, start="soon"), "accepted[0].start"),
        (gap(BTC, start="2023-01-02"), "is not after start"),
        (gap(BTC, why="''"), "accepted[0].why"),
        (gap(BTC).replace(", why: x", ""), "accepted[0].why: missing"),
        (gap(BTC).replace("start", "begin"), "unknown key"),
    ],
)
def test_h4_a_mistake_in_what_is_accepted_is_one_line(tmp_path: Path, accepted: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, accepted)
    assert said in str(caught.value)


def test_days_and_moments_are_both_understood(tmp_path: Path) -> None:
    [one] = settings(tmp_path, gap("kraken/trades/BTC-USD", end="2023-01-02T03:00")).accepted
    assert one.span == TimeRange(parse_time("2023-01-01"), parse_time("2023-01-02T03:00"))
