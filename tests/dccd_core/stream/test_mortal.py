"""A recorder that is killed: what it had written is there, and from then on it writes nothing."""

from pathlib import Path

import polars as pl

from dccd_core.lake.lake import LakeStore
from dccd_core.lake.live.coverage import Notes
from dccd_core.stream.mortal import MortalLake
from tests.dccd_core.lake.samples import DAY, TRADES, begin, live, numbered


def rows(*ids: int) -> pl.DataFrame:
    return live(numbered(ids))


def refused(number: int) -> pl.DataFrame:
    return numbered([number]).with_columns(reason=pl.lit("wrong"))


def held(folder: Path) -> list[str]:
    """Return the ids that anybody finds in the lake."""
    return LakeStore(folder).scan(TRADES).collect()["trade_id"].to_list()


def test_until_then_it_is_a_lake(tmp_path: Path) -> None:
    lake = MortalLake(tmp_path)
    with begin(lake) as writer:
        writer.append(rows(1, 2), Notes())
    assert held(tmp_path) == ["1", "2"]
    assert lake.quarantine(TRADES, DAY, refused(1)) == 1
    lake.set_aside(TRADES, DAY, refused(2))
    assert LakeStore(tmp_path).quarantined(TRADES, DAY).height == 2


def test_killed_it_writes_nothing_more_and_what_was_written_stays(tmp_path: Path) -> None:
    lake = MortalLake(tmp_path)
    ended, living = begin(lake), begin(lake, 2)
    ended.append(rows(1), Notes())
    ended.close()
    living.append(rows(2), Notes())
    assert [segment.living for segment in LakeStore(tmp_path).segments()] == [False, True]
    assert lake.kill() == [Path(living.path)]
    living.append(rows(3), Notes())
    living.close()
    assert held(tmp_path) == ["1", "2"]
    assert not any(segment.living for segment in LakeStore(tmp_path).segments())


def test_killed_it_neither_begins_anything_nor_refuses(tmp_path: Path) -> None:
    lake = MortalLake(tmp_path)
    assert lake.kill() == []
    with begin(lake) as writer:
        writer.append(rows(1), Notes())
    assert lake.quarantine(TRADES, DAY, refused(1)) == 0
    lake.set_aside(TRADES, DAY, refused(2))
    assert LakeStore(tmp_path).segments() == []
    assert LakeStore(tmp_path).quarantined(TRADES, DAY).height == 0
    assert lake.kill() == []
