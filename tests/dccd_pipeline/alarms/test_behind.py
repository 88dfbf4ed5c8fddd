"""Datasets that are behind their schedule, as the lake says, whether anything runs or not."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.dataset import partition_span
from dccd_core.domain.timespan import HOUR, MINUTE, Us
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.alarms.kinds import KINDS
from dccd_pipeline.ticks.memory import Failing, Memory, write_memory
from tests.dccd_pipeline.alarms.looked import ENTRY, NOW, Looks, settings
from tests.dccd_pipeline.held import HOURS, bars, hold

START = partition_span(HOURS.grain, "2026").start


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def proven(lake: LakeStore, until: Us) -> None:
    """Have bars of this year up to a moment."""
    hold(lake, HOURS, "2026", bars(range(START, until, HOUR)), until=until, at=NOW)


def hours_ago(count: int) -> Us:
    return Us(NOW - count * HOUR)


def test_what_its_schedule_brought_is_not_behind(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    looks = Looks(KINDS["behind"], instance, settings(tmp_path))
    proven(looks.look.settings.lake(), hours_ago(1))
    assert [looks.at(minute) for minute in (0, 30, 60)] == [{}, {}, {}]


def test_what_stands_still_behind_its_schedule_is_told_and_its_return_too(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    looks = Looks(KINDS["behind"], instance, settings(tmp_path))
    lake = looks.look.settings.lake()
    proven(lake, hours_ago(5))
    assert [looks.at(minute) for minute in (0, 10)] == [{str(HOURS): None}] * 2, "it may be catching up"
    (line,) = looks.at(15).values()
    assert line is not None
    assert line.startswith(f"{HOURS} is behind its schedule since 2026-11-20T07:00:00Z: nobody asked since ")
    proven(lake, hours_ago(0))
    assert looks.at(20) == {}
    assert looks.look.memory == {}


def test_what_moves_on_catches_up_and_is_left_alone(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    looks = Looks(KINDS["behind"], instance, settings(tmp_path))
    lake, found = looks.look.settings.lake(), list[object]()
    for n in range(10):
        proven(lake, hours_ago(50 - n))
        found.append(looks.at(10 * n))
    assert found == [{str(HOURS): None}, *[{}] * 9]


def test_the_cause_that_ticks_know_is_named(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    looks = Looks(KINDS["behind"], instance, settings(tmp_path))
    lake = looks.look.settings.lake()
    proven(lake, hours_ago(5))
    failing = {str(HOURS): Failing("HTTP 451: not from here", NOW, 3, NOW)}
    write_memory(instance, lake.identity(), "binance_ohlc_1h", Memory(failing))
    looks.at(0)
    assert str(looks.at(15)[str(HOURS)]).endswith("since 2026-11-20T07:00:00Z: HTTP 451: not from here")


def test_nothing_at_all_is_behind_too(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    looks = Looks(KINDS["behind"], instance, settings(tmp_path))
    looks.at(0)
    (line,) = looks.at(15).values()
    assert line == f"{HOURS} is behind its schedule since 2026-11-01T00:00:00Z: it was never asked for"


def test_without_a_schedule_nothing_is_behind(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    for off in ({"every": "never"}, {"enabled": False}):
        looks = Looks(KINDS["behind"], instance, settings(tmp_path, {**ENTRY, **off}))
        assert [looks.at(minute) for minute in (0, 15, 30)] == [{}, {}, {}]


def test_a_file_that_cannot_be_read_is_told_and_holds_back_no_other(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    looks = Looks(
        KINDS["behind"], instance, settings(tmp_path, {**ENTRY, "symbols": ["BTC/USDT", "ETH/USDT"]})
    )
    lake = looks.look.settings.lake()
    proven(lake, hours_ago(5))
    Path(lake.path(HOURS, "2026")).write_bytes(b"no parquet")
    looks.at(0)
    assert [str(text).split(": ")[0] for text in looks.at(15 + MINUTE // MINUTE).values()] == [
        str(HOURS),
        "binance/ohlc/ETH-USDT/1h is behind its schedule since 2026-11-01T00:00:00Z",
    ]


def test_what_is_proven_far_enough_is_not_read_again(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    looks = Looks(KINDS["behind"], instance, settings(tmp_path))
    lake = looks.look.settings.lake()
    proven(lake, hours_ago(0))
    assert looks.at(0) == {}
    Path(lake.path(HOURS, "2026")).unlink()
    assert looks.at(60) == {}, "two intervals after it was proven somebody may be told"
    assert looks.at(181) == {str(HOURS): None}
