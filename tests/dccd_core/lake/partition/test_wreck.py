"""What can be read of a file that is not what was written; its use is tried in fetch/test_verify.py."""

import io
from dataclasses import replace
from pathlib import Path

import pytest

from dccd_core.domain.errors import DamagedFile
from dccd_core.domain.timespan import HOUR, TimeRange, Us, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import DAMAGED, Asked, Hole, Ledger, Source
from dccd_core.lake.partition.ledger import Lost as LostTime
from dccd_core.lake.partition.wreck import Lost, Wreck, without
from dccd_core.tables import DataType
from tests.dccd_pipeline.held import HOURS, bars, hold, whole

START = parse_time("2024-01-01")


def span(first: int, last: int) -> TimeRange:
    return TimeRange(Us(START + first * HOUR), Us(START + last * HOUR))


def test_what_is_no_parquet_file_is_refused() -> None:
    with pytest.raises(DamagedFile, match="here cannot be read"):
        Wreck(io.BytesIO(b"PAR1 and then nothing"), DataType.OHLC, "here")


def test_a_sound_file_says_all(tmp_path: Path) -> None:
    lake = LakeStore(f"{tmp_path}/lake")
    state = hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    with open(lake.path(HOURS, "2024"), "rb") as file:  # noqa: PTH123 -- as a store opens it
        wreck = Wreck(file, DataType.OHLC, "here")
        (rows,) = wreck.pieces()
    assert not isinstance(rows, Lost)
    assert rows.height == 8_784
    assert (wreck.ledger, wreck.bytes) == (state.ledger, state.bytes)
    assert wreck.summary
    assert wreck.summary.content_hash == state.content_hash


def test_a_mended_partition_claims_nothing_of_the_doubtful_time(tmp_path: Path) -> None:
    lake = LakeStore(f"{tmp_path}/lake")
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    lake.mend(HOURS, "2024", [span(5, 8)], keep=False)
    state = lake.state(HOURS, "2024")
    assert state
    assert state.rows == 8_784, "rows stay; what comes for the doubtful time takes their place"
    assert state.ledger.covered() == [span(0, 5), TimeRange(span(8, 9).start, parse_time("2025-01-01"))]


def test_what_was_damaged_before_is_kept_too(tmp_path: Path) -> None:
    """f462502: a second mending put what it kept in the place of what the first one had kept."""
    lake = LakeStore(f"{tmp_path}/lake")
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    file = Path(lake.path(HOURS, "2024"))
    for wreck in (b"first", b"second", b"second", b"first"):
        file.write_bytes(wreck)
        lake.mend(HOURS, "2024", [span(5, 8)], keep=True)
    kept = {one.name: one.read_bytes() for one in file.parent.glob("_damaged*")}
    assert kept == {"_damaged": b"first", "_damaged_2": b"second"}


def test_holes_go_with_the_time_they_lie_in() -> None:
    asked = Asked(span(0, 10), Source.REST, Us(0), 1, 8)
    holes = Hole(span(2, 3), 1), Hole(span(6, 9), 3, proof="nothing was traded")
    found = without(Ledger((asked,), holes), [span(1, 4)])
    assert found.covered() == [span(0, 1), span(4, 10)]
    assert found.holes == holes[1:]


def test_what_was_claimed_and_is_not_any_more_is_named_until_it_is_asked_for() -> None:
    asked = Asked(span(0, 10), Source.REST, Us(0), 1, 8)
    found = without(Ledger((asked,)), [span(8, 12)])
    assert found.lost == (LostTime(span(8, 10), DAMAGED),), "what nobody asked for was not lost"
    assert without(None, [span(8, 12)]).lost == (LostTime(span(8, 12), DAMAGED),)
    assert found.lose([(span(20, 21), "it was down")]).damaged() == [span(8, 10)]
    assert found.add(replace(asked, span=span(8, 10))).lost == ()
