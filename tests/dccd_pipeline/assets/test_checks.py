from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Answer, Asked, Hole, Source
from dccd_core.tables import DataType
from dccd_pipeline.assets.checks import Looked, audited, check_names, check_specs, judge
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.read import entry_of
from tests.dccd_pipeline.held import BOOKS, HOURS, LONG_AFTER, TRADES, bars, hold, whole

NAMES = ["intact", "complete", "up_to_date"]
NOTHING = {"problems": 0, "found": "nothing"}


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    return LakeStore(tmp_path)


@pytest.fixture(autouse=True)
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        Judge.instance = instance
        yield instance


class Judge:
    """Has checks judged one run after another, by one instance."""

    instance: dg.DagsterInstance


def entry_for(dataset: Dataset) -> Entry:
    known = {"exchange": dataset.exchange, "symbols": [str(dataset.symbol)], "data_type": dataset.data_type}
    raw = {**known, "span": dataset.parts[-1]} if dataset.span else known
    return entry_of({**raw, "every": "never"}, LONG_AFTER)


def judged(
    lake: LakeStore, looked: Looked, dataset: Dataset = HOURS, now: Us = LONG_AFTER
) -> dict[str, dg.AssetCheckResult]:
    found = judge(Judge.instance, lake, entry_for(dataset), {dataset: looked}, now)
    return {str(result.check_name): result for result in found}


def read(lake: LakeStore, *keys: str, dataset: Dataset = HOURS) -> Looked:
    """Return what a run knows that reads these partitions, and of the others what is written beside them."""
    states = lake.states(dataset)
    exchange = get(dataset.exchange)
    return Looked(states, {key: audited(lake, exchange, dataset, key, states[key]) for key in keys})


def results(lake: LakeStore, *keys: str) -> dict[str, dg.AssetCheckResult]:
    return judged(lake, read(lake, *keys))


def failing(lake: LakeStore, *keys: str) -> dict[str, str]:
    """Return what the failing checks found."""
    return {
        name: str(result.metadata["found"].value)
        for name, result in results(lake, *keys).items()
        if not result.passed
    }


@pytest.mark.parametrize(
    ("dataset", "names"),
    [(HOURS, NAMES), (TRADES, NAMES), (BOOKS, ["intact", "crossed", "complete", "up_to_date"])],
    ids=str,
)
def test_checks_are_as_few_as_an_operator_needs(dataset: Dataset, names: list[str]) -> None:
    assert check_names(dataset) == names
    specs = check_specs(dataset)
    assert [spec.name for spec in specs] == names
    assert {spec.asset_key for spec in specs} == {dg.AssetKey(dataset.parts)}
    assert all(spec.description for spec in specs)


def test_what_is_right_passes_every_check(lake: LakeStore) -> None:
    for key in ("2023", "2024"):
        hold(lake, HOURS, key, bars(whole(HOURS, key)))
    found = results(lake, "2023", "2024")
    assert list(found) == [*NAMES, "agrees"]
    assert all(result.passed and result.asset_key == dg.AssetKey(HOURS.parts) for result in found.values())
    said = {name: {k: v.value for k, v in one.metadata.items()} for name, one in found.items()}
    assert said == {
        "intact": {**NOTHING, "failed": "nothing", "partitions_read": 2},
        "complete": NOTHING,
        "up_to_date": {**NOTHING, "proven_until": "2025-01-01T00:00:00Z"},
        "agrees": {"differ": 0, "found": "nothing"},
    }


def test_what_is_wanted_and_not_there_at_all_is_not_complete(lake: LakeStore) -> None:
    """36c92f8: of a symbol that the venue does not know `complete` was green, beside `0 partitions`."""
    found = scheduled(lake, Looked({}, error="unknown symbol"), LONG_AFTER)
    assert [name for name, one in found.items() if not one.passed] == ["complete", "up_to_date"]
    assert found["complete"].description == "nothing of it is stored"
    assert str(found["up_to_date"].description).endswith("unknown symbol")


def scheduled(lake: LakeStore, looked: Looked, now: Us) -> dict[str, dg.AssetCheckResult]:
    """Have a dataset judged that is to be collected every hour from 2024 on."""
    raw = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "ohlc", "span": "1h"}
    entry = entry_of({**raw, "start": "2024-01-01", "every": "1h"}, LONG_AFTER)
    found = judge(Judge.instance, lake, entry, {HOURS: looked}, now)
    return {str(result.check_name): result for result in found}


def test_what_is_not_to_be_there_yet_is_not_incomplete(lake: LakeStore) -> None:
    found = scheduled(lake, Looked({}), parse_time("2000-01-01"))
    assert all(one.passed and one.description is None for one in found.values())


def test_what_was_found_is_said_without_a_list_being_opened(lake: LakeStore) -> None:
    opens = list(whole(HOURS, "2024"))
    hold(lake, HOURS, "2023", bars(whole(HOURS, "2023")[:-1]))
    hold(lake, HOURS, "2024", bars(opens[:5] + opens[6:]))
    said = results(lake, "2023", "2024")["complete"].description
    assert said == "2023: 1 gaps, 1 rows missing; and 1 more"


def test_a_damaged_file_is_not_intact(lake: LakeStore) -> None:
    hold(lake, HOURS, "2023", bars(whole(HOURS, "2023")))
    state = hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    file = Path(state.path)
    content = bytearray(file.read_bytes())
    content[100:140] = bytes(40)
    file.write_bytes(content)
    found = results(lake, "2023", "2024")
    assert [name for name, result in found.items() if not result.passed] == ["intact"]
    said = str(found["intact"].metadata["found"].value)
    assert said.startswith("- 2024: schema: ")
    assert state.path in said
    assert found["intact"].metadata["failed"].value == "schema"
    assert found["intact"].severity is dg.AssetCheckSeverity.ERROR


def test_a_file_of_other_columns_is_not_intact(lake: LakeStore) -> None:
    state = hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    states = lake.states(HOURS)
    pl.read_parquet(state.path).drop("volume").write_parquet(state.path)
    audit = audited(lake, get("binance"), HOURS, "2024", states["2024"])
    found = judged(lake, Looked(states, {"2024": audit}))
    assert found["intact"].metadata["failed"].value == "schema"


def test_rows_that_cannot_be_true_are_counted(lake: LakeStore) -> None:
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024"), volume=-1.0))
    assert failing(lake, "2024") == {"intact": "- 2024: sanity: 8784 rows: volume is negative or no number"}


def test_a_bar_stored_before_it_was_final_is_found(lake: LakeStore) -> None:
    opens = whole(HOURS, "2024")
    until = Us(opens[4])
    hold(lake, HOURS, "2024", bars(opens[:4]), until=until, at=Us(until + MINUTE))
    assert failing(lake, "2024") == {}
    hold(lake, HOURS, "2024", bars([opens[4]]), until=Us(opens[5]), at=Us(opens[5] - 1))
    assert failing(lake, "2024") == {
        "intact": "- 2024: final: the bar of 2024-01-01T04:00:00Z was stored before it was final"
    }


def test_a_gap_is_a_warning_and_speaks_of_all_that_is_stored(lake: LakeStore) -> None:
    opens = list(whole(HOURS, "2023"))
    hold(lake, HOURS, "2023", bars(opens[:10] + opens[12:20] + opens[21:]))
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    assert failing(lake, "2024") == {"complete": "- 2023: 2 gaps, 3 rows missing"}
    assert results(lake, "2024")["complete"].severity is dg.AssetCheckSeverity.WARN


def test_what_is_in_quarantine_is_not_forgotten_by_the_next_run(lake: LakeStore) -> None:
    opens = list(whole(HOURS, "2023"))
    bad = bars([opens[5]], high=0.5).with_columns(reason=pl.lit("high is below another price"))
    lake.quarantine(HOURS, "2023", bad)
    hold(lake, HOURS, "2023", bars(opens[:5] + opens[6:]))
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    expected = {
        "intact": "- 2023: quarantine: 1 rows are in quarantine",
        "complete": "- 2023: 1 gaps, 1 rows missing",
    }
    assert failing(lake, "2023") == expected
    assert failing(lake, "2024") == expected
    hold(lake, HOURS, "2023", bars([opens[5]]))
    assert failing(lake) == {}


def test_what_was_found_in_a_partition_stays_so_until_its_rows_are_seen_again(lake: LakeStore) -> None:
    """7146ed2: whoever read other partitions, or none, told that all was well."""
    wrong = {"intact": "- 2023: sanity: 8760 rows: volume is negative or no number"}
    hold(lake, HOURS, "2023", bars(whole(HOURS, "2023"), volume=-1.0))
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    assert failing(lake, "2023") == failing(lake, "2024") == failing(lake) == wrong
    states = lake.states(HOURS)
    assert judged(lake, Looked({"2024": states["2024"]}))["intact"].passed is False
    hold(lake, HOURS, "2023", bars(whole(HOURS, "2023")))
    assert failing(lake) == wrong, "nobody has seen the rows"
    assert failing(lake, "2023") == failing(lake) == {}


def test_what_is_gone_is_not_wrong_any_more(lake: LakeStore) -> None:
    state = hold(lake, HOURS, "2023", bars(whole(HOURS, "2023"), volume=-1.0))
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    assert list(failing(lake, "2023", "2024")) == ["intact"]
    Path(state.path).unlink()
    assert failing(lake) == {}


def test_what_another_store_has_wrong_is_none_of_this_one_s(lake: LakeStore, tmp_path: Path) -> None:
    other = LakeStore(tmp_path / "other")
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024"), volume=-1.0))
    hold(other, HOURS, "2024", bars(whole(HOURS, "2024")))
    assert list(failing(lake, "2024")) == ["intact"]
    assert failing(other) == {}
    assert list(failing(lake)) == ["intact"]


def test_of_many_problems_the_first_are_shown(lake: LakeStore) -> None:
    for key in (str(year) for year in range(1990, 2015)):
        opens = whole(HOURS, key)
        hold(lake, HOURS, key, bars(opens[:1]), until=Us(opens[2]))
    result = results(lake)["complete"]
    assert result.metadata["problems"].value == 25
    assert str(result.metadata["found"].value).count("\n") == 19


def test_what_the_tail_knows_counts_without_a_row_being_read(
    lake: LakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens = whole(HOURS, "2024")
    hold(lake, HOURS, "2024", bars(opens[:4]), until=Us(opens[4]), at=Us(opens[4] + MINUTE))
    later = Asked(TimeRange(Us(opens[4]), Us(opens[8])), Source.REST, Us(opens[8] + MINUTE), 1, 3)
    hole = Hole(TimeRange(Us(opens[6]), Us(opens[7])), 1, (later.at,))
    rows = bars([opens[4], opens[5], opens[7]]).with_columns(symbol=pl.lit("BTC/USDT"))
    lake.tail(HOURS).append(rows, {"BTC/USDT": [Answer((later,), (hole,))]}, later.at)
    monkeypatch.setattr(LakeStore, "chunks", unread)
    monkeypatch.setattr(LakeStore, "scan", unread)
    found = judged(lake, Looked(lake.all_known(HOURS)))
    assert found["complete"].metadata["found"].value == "- 2024: 1 gaps, 1 rows missing"
    assert found["up_to_date"].metadata["proven_until"].value == "2024-01-01T08:00:00Z"


def unread(*_: object) -> None:
    raise AssertionError("rows were read")


def test_what_is_behind_is_a_warning_that_says_since_when_and_why(lake: LakeStore) -> None:
    span = partition_span(HOURS.grain, "2024")
    until = Us(span.start + 100 * HOUR)
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")[:100]), until=until, at=Us(until + MINUTE))
    entry = replace_every(entry_for(HOURS), HOUR)
    looked = read(lake, "2024")
    for late, error, behind in (
        (2 * HOUR + MINUTE, "", None),
        (3 * HOUR + MINUTE, "", "nobody asked since 2024-01-05T04:01:00Z"),
        (9 * HOUR, "HTTP 418, wait until 12:00", "HTTP 418, wait until 12:00"),
    ):
        one = {HOURS: replace(looked, error=error)}
        found = list(judge(Judge.instance, lake, entry, one, Us(until + late)))
        [result] = [r for r in found if r.check_name == "up_to_date"]
        assert result.severity is dg.AssetCheckSeverity.WARN
        assert result.passed is (behind is None)
        said = f"- behind since 2024-01-05T04:00:00Z: {behind}" if behind else "nothing"
        assert result.metadata["found"].value == said


def replace_every(entry: Entry, every: Us) -> Entry:
    return entry.model_copy(update={"every": every})


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
    found = judged(lake, read(lake, "2024-01-01", "2024-01-02", "2024-01-03", dataset=BOOKS), BOOKS)
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
    found = judged(lake, read(lake, "2024-01-03", dataset=BOOKS), BOOKS)
    assert found["crossed"].metadata["problems"].value == 2, "the others are as they were"
    assert found["crossed"].metadata["count"].value == 0
    assert found["intact"].passed
