"""What is not there: files that vanished, and datasets that were never stored."""

from pathlib import Path

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.quality.coverage import Gap
from dccd_pipeline.answer.absent import GONE, never_stored, vanished_keys, with_vanished
from dccd_pipeline.assets.remembered import remember_held
from dccd_pipeline.config.read import embedded_settings, settings_of
from dccd_pipeline.config.settings import Settings
from tests.dccd_pipeline.held import HOURS, bars, hold, whole

NOW = parse_time("2025-06-01")
ETH = Dataset.parse("binance/ohlc/ETH-USDT/1h")


def configured(folder: Path, **more: object) -> Settings:
    bars = {"exchange": "binance", "data_type": "ohlc", "span": "1h", "start": "2022-01-01", "name": "a"}
    entry = {**bars, "symbols": ["BTC/USDT", "ETH/USDT"], **more}
    return settings_of({"store": str(folder), "collect": [entry]})


def test_what_was_never_stored_is_named_with_its_entry(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    settings = configured(tmp_path)
    assert never_stored(settings, lake, NOW, lambda _: True) == {ETH: "a"}
    assert never_stored(settings, lake, NOW, lambda one: one != ETH) == {}
    assert never_stored(configured(tmp_path, enabled=False), lake, NOW, lambda _: True) == {}
    assert embedded_settings().collect
    assert never_stored(embedded_settings(), lake, NOW, lambda _: True) == {}


def test_a_file_that_was_there_once_is_known_to_have_vanished(tmp_path: Path) -> None:
    lake, settings, years = LakeStore(tmp_path), configured(tmp_path), ["2022", "2023", "2024", "2025"]
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    with dg.DagsterInstance.ephemeral() as instance:
        assert vanished_keys(settings, instance, lake, NOW) == {}
        remember_held(instance, lake.identity(), years, {HOURS: ["2023", "2024"], ETH: ["2024"]})
        assert vanished_keys(settings, instance, lake, NOW) == {HOURS: ["2023"], ETH: ["2024"]}


def test_the_time_of_a_file_that_vanished_is_told_once() -> None:
    def span(start: str, end: str) -> TimeRange:
        return TimeRange(parse_time(start), parse_time(end))

    gaps = [Gap(span("2022-12-01", "2024-02-01"), 9, "why"), Gap(span("2024-03-01", "2024-03-02"), 24, "why")]
    assert with_vanished(HOURS, gaps, ["2023"]) == [
        Gap(span("2022-12-01", "2023-01-01"), None, "why"),
        Gap(span("2023-01-01", "2024-01-01"), None, GONE),
        Gap(span("2024-01-01", "2024-02-01"), None, "why"),
        gaps[1],
    ]
    assert with_vanished(HOURS, gaps, []) == gaps
