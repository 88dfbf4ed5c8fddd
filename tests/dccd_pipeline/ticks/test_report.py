"""The report of a tick: totals always, a row of what is odd, of all of them once an hour."""

import dagster as dg

from dccd_core.domain.dataset import partition_span
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, TimeRange, Us
from dccd_core.lake.partition.ledger import Hole
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.ticks.report import Row, Totals, collect_asset, collect_spec, report, row_of
from tests.dccd_pipeline.held import MINUTES, state

OPEN = partition_span(MINUTES.grain, "2024-02")
NOW = Us(OPEN.start + 5 * HOUR + 30 * SECOND)


def entry(data_type: str = "ohlc", **more: str) -> Entry:
    raw = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": data_type, "start": "2024-01-01"}
    (made,) = settings_of({"collect": [{**raw, "name": "bars", **more}]}).collect
    return made


def bars(until: Us, gaps_before: int = 0, trouble: str = "", *holes: Hole) -> Row:
    states = {"2024-01": state(MINUTES, "2024-01"), "2024-02": state(MINUTES, "2024-02", *holes, until=until)}
    return row_of(entry(span="1m"), MINUTES, states, gaps_before, trouble, NOW)


def test_a_dataset_is_behind_by_the_rule_of_its_check() -> None:
    late, well = bars(OPEN.start), bars(Us(OPEN.start + 5 * HOUR))
    assert (bool(late.behind), well.behind, well.odd) == (True, "", False)
    assert (well.rows, well.until) == (6, OPEN.start + 5 * HOUR)
    assert row_of(entry(span="1m"), MINUTES, {}, 0, "", NOW).behind


def test_gaps_are_odd_when_there_are_more_than_before() -> None:
    gap = Hole(TimeRange(OPEN.start, Us(OPEN.start + MINUTE)), 1)
    until = Us(OPEN.start + 5 * HOUR)
    assert bars(until, 0, "", gap).odd
    known = bars(until, 1, "", gap)
    assert (known.gaps, known.odd) == (1, False)


def test_green_is_what_is_up_to_date_and_only_what_is_odd_has_a_row() -> None:
    well = bars(Us(OPEN.start + 5 * HOUR))
    told = report(entry(span="1m"), [well] * 3, Totals(15, 3, 900, 0), whole=False)
    assert isinstance(told, dg.AssetMaterialization)
    assert told.asset_key == collect_asset("bars") == collect_spec(entry(span="1m")).key
    numbers = {name: value.value for name, value in told.metadata.items()}
    assert numbers == {
        "datasets": 3,
        "up_to_date": 3,
        "behind": 0,
        "failing": 0,
        "gaps": 0,
        "new_rows": 15,
        "requests": 3,
        "bytes": 900,
        "folded": 0,
        "proven_until": "2024-02-01T05:00:00Z",
    }

    failing = bars(Us(OPEN.start + HOUR), 0, "it is down")
    told = report(entry(span="1m"), [well, failing], Totals(), whole=False)
    assert isinstance(told, dg.AssetObservation)
    assert rows(told) == [
        {
            "dataset": "binance/ohlc/BTC-USDT/1m",
            "rows": 6,
            "proven_until": "2024-02-01T01:00:00Z",
            "gaps": 0,
            "said": "it is down",
        }
    ]
    assert len(rows(report(entry(span="1m"), [well, failing], Totals(), whole=True))) == 2


def test_what_has_gaps_is_not_green_though_it_is_up_to_date() -> None:
    """36c92f8: the catalog showed `collect/NAME` green while `dccd status` named a gap in it."""
    gap = Hole(TimeRange(OPEN.start, Us(OPEN.start + MINUTE)), 1)
    known = bars(Us(OPEN.start + 5 * HOUR), 1, "", gap)
    told = report(entry(span="1m"), [known], Totals(), whole=False)
    assert known.well
    assert isinstance(told, dg.AssetObservation)


def test_of_very_many_odd_ones_the_first_are_shown_and_the_rest_counted() -> None:
    failing = bars(Us(OPEN.start + HOUR), 0, "it is down")
    told = report(entry(span="1m"), [failing] * 130, Totals(), whole=False)
    assert len(rows(told)) == 100
    assert told.metadata["of_the_others"].value == "30 more are not shown"


def rows(told: dg.AssetMaterialization | dg.AssetObservation) -> list[object]:
    table = told.metadata["shown"]
    assert isinstance(table, dg.TableMetadataValue)
    return [record.data for record in table.records]
