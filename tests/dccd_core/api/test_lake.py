"""Names, dates, and errors that name the nearest: reading without knowing the core."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import dccd_core
from dccd_core import ConfigError, Dataset, Lake, LakeError, TimeRange
from dccd_core.domain.timespan import HOUR, SECOND, Us, parse_time
from dccd_core.lake.live.coverage import Notes
from dccd_core.lake.partition.ledger import Asked, Hole, Ledger, Source
from dccd_core.quality.holes import NoCheck
from tests.dccd_core.lake.samples import DAY, SPAN, TRADES, numbered

NAME = "binance/trades/BTC-USDT"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Ten trades in as many seconds, and the ledger of the first half of that day."""
    lake, asked = Lake(tmp_path / "data"), TimeRange(SPAN.start, Us(SPAN.start + 12 * HOUR))
    with lake.draft(TRADES, DAY) as draft:
        draft.append(numbered(range(10)))
        draft.commit([Asked(asked, Source.REST, SPAN.end, 1, 10)], NoCheck)
    return lake


def test_a_name_or_a_dataset_and_dates_or_a_time_range(lake: Lake) -> None:
    whole = lake.read(NAME)
    assert whole.height == 10
    wanted = TimeRange(SPAN.start, Us(SPAN.start + 3 * SECOND))
    for few in (
        lake.read(NAME, "2024-01-31", "2024-01-31T00:00:03"),
        lake.read(TRADES, date(2024, 1, 31), datetime(2024, 1, 31, 0, 0, 3, tzinfo=UTC)),
        lake.read(Dataset.parse(NAME), wanted),
        lake.scan(NAME, wanted).collect(),
    ):
        assert_frame_equal(few, whole.head(3))
    assert [str(one) for one in lake.datasets()] == [NAME]


def test_nothing_traded_is_no_row_and_nothing_stored_an_error(lake: Lake) -> None:
    assert lake.read(NAME, "2024-01-31T13:00", "2024-01-31T14:00").is_empty()
    with pytest.raises(ConfigError, match="it holds 2024-01-31T00:00:00Z to 2024-02-01T00:00:00Z"):
        lake.read(NAME, "2024-02-01", "2024-02-02")


@pytest.mark.parametrize("name", ["binance/trades/BTC-USD", "binance/ohlc/BTC-USDT/1m", "binance BTC/USDT"])
def test_what_is_not_there_is_an_error_that_names_the_nearest(lake: Lake, name: str) -> None:
    for ask in (lake.scan, lake.read, lake.coverage, lake.gaps):
        with pytest.raises(ConfigError, match=f"did you mean {NAME}"):
            ask(name)


def test_an_empty_store_says_that_it_is_empty(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is nothing at all in"):
        Lake(tmp_path / "elsewhere").read(NAME)


def test_coverage_and_gaps_are_those_of_the_ledger(lake: Lake) -> None:
    assert lake.coverage(NAME) == 0.5
    assert lake.coverage(NAME, "2024-01-31", "2024-01-31T12:00") == 1.0
    assert lake.gaps(NAME).is_empty()
    later = lake.gaps(NAME, "2024-01-31", "2024-02-01")
    assert later.rows() == [
        (datetime(2024, 1, 31, 12, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC), None, "never asked for")
    ]


def test_live_rows_are_there_at_once(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with lake.segment("binance", TRADES.data_type, None, SPAN.start) as segment:
        rows = numbered(range(3)).with_columns(
            pl.lit("BTC/USDT").alias("symbol"), pl.col("ts").alias("received")
        )
        segment.append(rows, Notes())
    assert [str(one) for one in lake.datasets()] == [NAME]
    assert lake.read(NAME, "2024-01-31", "2024-02-01").height == 3
    with pytest.raises(LakeError, match="in no partition yet"):
        lake.coverage(NAME)


def test_without_an_address_it_is_the_store_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dccd.yaml").write_text("store: ./mine\n")
    monkeypatch.setenv("DCCD_CONFIG", str(tmp_path / "dccd.yaml"))
    assert Lake().url == str(tmp_path / "mine")


class OneHole(NoCheck):
    """Says that a second of trades is missing."""

    def assess(self, ledger: Ledger) -> Ledger:
        return replace(ledger, holes=(Hole(TimeRange(SPAN.start, Us(SPAN.start + SECOND)), 3),))


def test_what_the_configuration_accepts_counts_as_explained(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At b59a4a8 only the pipeline knew it."""
    with lake.draft(TRADES, DAY) as draft:
        draft.append(numbered(range(10)))
        draft.commit([], OneHole)
    config = Path(lake.url).parent / "dccd.yaml"
    gap = f"{{dataset: {NAME}, start: 2000-01-01, end: 2100-01-01, why: known}}"
    config.write_text(f"store: {lake.url}\naccepted: [{gap}]\n")
    monkeypatch.setenv("DCCD_CONFIG", str(config))
    assert [hole.proof for hole in lake.states(TRADES)[DAY].ledger.holes] == [None]
    assert [hole.proof for hole in Lake().states(TRADES)[DAY].ledger.holes] == ["accepted: known"]


def test_importing_the_core_costs_nothing() -> None:
    code = "import sys, dccd_core; print([m for m in ('polars', 'pyarrow', 'httpx') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_reading_needs_no_network() -> None:
    code = (
        "import sys; from dccd_core import Lake; print([m for m in ('httpx', 'picows') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_each_name_of_the_api_is_there_and_no_other() -> None:
    for name in ("Lake", "Dataset", "TimeRange", "DccdError", "ConfigError", "ExchangeError"):
        assert getattr(dccd_core, name).__name__ == name
        assert name in dir(dccd_core)
    with pytest.raises(AttributeError, match="no attribute 'Lakes'"):
        _ = dccd_core.Lakes  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]


def test_2024_is_a_year_for_whoever_asks(lake: Lake) -> None:
    assert lake.read(NAME, "2024", "2025").height == 10
    assert lake.read(NAME, parse_time("2024-01-31")).height == 10
