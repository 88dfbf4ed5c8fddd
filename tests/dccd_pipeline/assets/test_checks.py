from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import MINUTE, SECOND, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.lake.lake import LakeStore
from dccd_core.tables import DataType
from dccd_pipeline.assets.checks import check_names, check_specs, evaluate
from tests.dccd_pipeline.held import BOOKS, HOURS, TRADES, bars, hold, whole

NAMES = ["schema", "order_and_uniqueness", "sanity", "final_bars", "completeness"]


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    return LakeStore(tmp_path)


def results(lake: LakeStore, *keys: str) -> dict[str, dg.AssetCheckResult]:
    found = evaluate(lake, get("binance"), HOURS, keys, lake.states(HOURS))
    return {str(result.check_name): result for result in found}


def failing(lake: LakeStore, *keys: str) -> dict[str, str]:
    """Return what the failing checks found."""
    return {
        name: str(result.metadata["found"].value)
        for name, result in results(lake, *keys).items()
        if not result.passed
    }


@pytest.mark.parametrize(
    ("dataset", "names"),
    [
        (HOURS, NAMES),
        (TRADES, [n for n in NAMES if n != "final_bars"]),
        (BOOKS, ["schema", "order_and_uniqueness", "sanity", "crossed", "completeness"]),
    ],
    ids=str,
)
def test_bars_are_checked_for_being_final_and_books_for_being_crossed(
    dataset: Dataset, names: list[str]
) -> None:
    assert check_names(dataset) == names
    specs = check_specs(dataset)
    assert [spec.name for spec in specs] == names
    assert {spec.asset_key for spec in specs} == {dg.AssetKey(dataset.parts)}
    assert all(spec.description for spec in specs)


def test_what_is_right_passes_every_check(lake: LakeStore) -> None:
    for key in ("2023", "2024"):
        hold(lake, HOURS, key, bars(whole(HOURS, key)))
    found = results(lake, "2023", "2024")
    assert list(found) == NAMES
    for result in found.values():
        assert result.passed
        assert result.asset_key == dg.AssetKey(HOURS.parts)
        assert {name: value.value for name, value in result.metadata.items()} == {
            "partitions_read": 2,
            "problems": 0,
            "found": "nothing",
        }


def test_a_damaged_file_fails_the_check_of_the_schema(lake: LakeStore) -> None:
    hold(lake, HOURS, "2023", bars(whole(HOURS, "2023")))
    state = hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    states = lake.states(HOURS)
    file = Path(state.path)
    content = bytearray(file.read_bytes())
    content[100:140] = bytes(40)
    file.write_bytes(content)
    found = {r.check_name: r for r in evaluate(lake, get("binance"), HOURS, ["2023", "2024"], states)}
    assert [name for name, result in found.items() if not result.passed] == ["schema"]
    said = str(found["schema"].metadata["found"].value)
    assert said.startswith("- 2024: ")
    assert state.path in said
    assert found["schema"].severity is dg.AssetCheckSeverity.ERROR


def test_a_file_of_other_columns_fails_the_check_of_the_schema(lake: LakeStore) -> None:
    state = hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    states = lake.states(HOURS)
    pl.read_parquet(state.path).drop("volume").write_parquet(state.path)
    found = {r.check_name: r for r in evaluate(lake, get("binance"), HOURS, ["2024"], states)}
    assert not found["schema"].passed


def test_rows_that_cannot_be_true_are_counted(lake: LakeStore) -> None:
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024"), volume=-1.0))
    assert failing(lake, "2024") == {"sanity": "- 2024: 8784 rows: volume is negative or no number"}


def test_a_bar_stored_before_it_was_final_is_found(lake: LakeStore) -> None:
    opens = whole(HOURS, "2024")
    until = Us(opens[4])
    hold(lake, HOURS, "2024", bars(opens[:4]), until=until, at=Us(until + MINUTE))
    assert failing(lake, "2024") == {}
    hold(lake, HOURS, "2024", bars([opens[4]]), until=Us(opens[5]), at=Us(opens[5] - 1))
    assert failing(lake, "2024") == {
        "final_bars": "- 2024: the bar of 2024-01-01T04:00:00Z was stored before it was final"
    }


def test_a_gap_is_a_warning_and_speaks_of_all_that_is_stored(lake: LakeStore) -> None:
    opens = list(whole(HOURS, "2023"))
    hold(lake, HOURS, "2023", bars(opens[:10] + opens[12:20] + opens[21:]))
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    assert failing(lake, "2024") == {"completeness": "- 2023: 2 gaps, 3 rows missing"}
    assert results(lake, "2024")["completeness"].severity is dg.AssetCheckSeverity.WARN


def test_what_is_in_quarantine_is_not_forgotten_by_the_next_run(lake: LakeStore) -> None:
    opens = list(whole(HOURS, "2023"))
    bad = bars([opens[5]], high=0.5).with_columns(reason=pl.lit("high is below another price"))
    lake.quarantine(HOURS, "2023", bad)
    hold(lake, HOURS, "2023", bars(opens[:5] + opens[6:]))
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    expected = {
        "sanity": "- 2023: 1 rows are in quarantine",
        "completeness": "- 2023: 1 gaps, 1 rows missing",
    }
    assert failing(lake, "2023") == expected
    assert failing(lake, "2024") == expected


def test_of_many_problems_the_first_are_shown(lake: LakeStore) -> None:
    for key in (str(year) for year in range(1990, 2015)):
        opens = whole(HOURS, key)
        hold(lake, HOURS, key, bars(opens[:1]), until=Us(opens[2]))
    result = results(lake)["completeness"]
    assert result.metadata["problems"].value == 25
    assert str(result.metadata["found"].value).count("\n") == 19


def pictures(day: str, *best: tuple[float, float]) -> pl.DataFrame:
    """One level a side, a picture each second."""
    start = parse_time(day)
    rows = [
        {"ts": start + second * SECOND, "side": side, "level": 0, "price": price, "amount": 1.0}
        for second, prices in enumerate(best)
        for side, price in zip(("bid", "ask"), prices, strict=True)
    ]
    return pl.DataFrame(rows).with_columns(received=None).cast(DataType.ORDERBOOK.table.schema)


def test_l12_crossed_pictures_are_a_warning_with_their_number_and_times(lake: LakeStore) -> None:
    good, locked, crossed = (10.0, 11.0), (11.0, 11.0), (12.0, 11.0)
    for day, best in (
        ("2024-01-01", [good, crossed, good]),
        ("2024-01-02", [good, good, locked, crossed, good]),
        ("2024-01-03", [good, good]),
    ):
        hold(lake, BOOKS, day, pictures(day, *best))
    states = lake.states(BOOKS)
    found = {r.check_name: r for r in evaluate(lake, get("binance"), BOOKS, list(states), states)}
    assert [name for name, result in found.items() if not result.passed] == ["crossed"]
    said = "have a bid that is not below the ask"
    assert found["crossed"].severity is dg.AssetCheckSeverity.WARN
    assert {name: value.value for name, value in found["crossed"].metadata.items()} == {
        "partitions_read": 3,
        "problems": 2,
        "found": f"- 2024-01-01: 1 pictures from 2024-01-01T00:00:01Z to 2024-01-01T00:00:01Z {said}\n"
        f"- 2024-01-02: 2 pictures from 2024-01-02T00:00:02Z to 2024-01-02T00:00:03Z {said}",
        "count": 3,
        "first": "2024-01-01T00:00:01Z",
        "last": "2024-01-02T00:00:03Z",
    }
    (passed,) = (
        r for r in evaluate(lake, get("binance"), BOOKS, ["2024-01-03"], states) if r.check_name == "crossed"
    )
    assert passed.passed
    assert passed.metadata["count"].value == 0
