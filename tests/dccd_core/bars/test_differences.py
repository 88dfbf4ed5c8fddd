"""What is known to differ stays known until both sources are found alike."""

from pathlib import Path

import pytest

from dccd_core.bars.diff import MOST, Difference
from dccd_core.bars.differences import (
    TRADES,
    Known,
    by_source,
    forget_differences,
    known_differences,
    note_differences,
    said_differences,
)
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import HOUR, MINUTE, TimeRange, Us, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import DIFFERENCES
from dccd_core.lake.partition.ledger import Accepted

BTC, ETH = (Dataset.parse(f"binance/ohlc/{base}-USDT/1m") for base in ("BTC", "ETH"))
START = parse_time("2024-05-31T10:00")
NOW = parse_time("2024-06-01")
HOURS = TimeRange(START, Us(START + HOUR))
VENUE = "Binance"


def wrong(minute: int, said: str = "close is 1.0, there 2.0") -> Difference:
    return Difference(Us(START + minute * MINUTE), "", said)


def known(minute: int, against: str = VENUE, seen: Us = NOW) -> Known:
    return Known(wrong(minute).at, "", wrong(minute).said, against, seen)


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    return LakeStore(tmp_path / "lake")


def test_what_was_found_is_known_until_the_same_time_is_found_alike(lake: LakeStore) -> None:
    assert known_differences(lake, [BTC, ETH]) == {}
    note_differences(lake, BTC, [HOURS], VENUE, [wrong(7), wrong(3)], NOW)
    note_differences(lake, ETH, [HOURS], VENUE, [wrong(1)], NOW)
    assert known_differences(lake, [BTC, ETH]) == {BTC: [known(3), known(7)], ETH: [known(1)]}
    early = TimeRange(START, Us(START + 5 * MINUTE))
    note_differences(lake, BTC, [early], VENUE, [], NOW)
    assert known_differences(lake, [BTC]) == {BTC: [known(7)]}
    note_differences(lake, BTC, [HOURS], VENUE, [], NOW)
    assert known_differences(lake, [BTC, ETH]) == {ETH: [known(1)]}


def test_what_is_found_again_was_seen_then_and_sources_do_not_settle_each_other(
    lake: LakeStore,
) -> None:
    note_differences(lake, BTC, [HOURS], VENUE, [wrong(3)], NOW)
    note_differences(lake, BTC, [HOURS], TRADES, [wrong(3)], NOW)
    note_differences(lake, BTC, [HOURS], TRADES, [], NOW)
    note_differences(lake, BTC, [HOURS], VENUE, [wrong(3), wrong(4)], Us(NOW + HOUR))
    assert known_differences(lake, [BTC])[BTC] == [known(3), known(4, seen=Us(NOW + HOUR))]
    assert {name: len(rows) for name, rows in by_source([known(3), known(1, TRADES), known(2)]).items()} == {
        VENUE: 2,
        TRADES: 1,
    }


def test_a_row_beside_what_was_compared_is_neither_added_nor_settled(lake: LakeStore) -> None:
    note_differences(lake, BTC, [HOURS], VENUE, [wrong(3), wrong(61)], NOW)
    assert known_differences(lake, [BTC])[BTC] == [known(3)]
    around = [TimeRange(START, wrong(3).at), TimeRange(wrong(4).at, HOURS.end)]
    note_differences(lake, BTC, around, VENUE, [wrong(3)], NOW)
    assert known_differences(lake, [BTC])[BTC] == [known(3)]


def test_they_are_told_in_a_line_with_the_first_of_them() -> None:
    told = said_differences([known(3), known(4), known(4, TRADES)])
    assert told == (
        "3 rows differ: 2 from Binance, 1 from the stored trades; "
        "the first 2024-05-31T10:03:00Z: close is 1.0, there 2.0"
    )
    trade = Known(START, "id 7", "missing here", VENUE, NOW)
    assert said_differences([trade]) == (
        "1 row differs: 1 from Binance; the first 2024-05-31T10:00:00Z id 7: missing here"
    )


def test_what_is_accepted_by_name_is_not_told(lake: LakeStore, tmp_path: Path) -> None:
    note_differences(lake, BTC, [HOURS], VENUE, [wrong(3), wrong(7)], NOW)
    part = TimeRange(START, Us(START + 4 * MINUTE))
    told = LakeStore(tmp_path / "lake", accepted={str(BTC): [Accepted(part, "the venue's own mistake")]})
    assert known_differences(told, [BTC]) == {BTC: [known(7)]}
    assert known_differences(lake, [BTC]) == {BTC: [known(3), known(7)]}


def test_nothing_is_written_where_nothing_is_new(lake: LakeStore, tmp_path: Path) -> None:
    note_differences(lake, BTC, [HOURS], VENUE, [], NOW)
    assert not (tmp_path / "lake").exists()
    note_differences(lake, BTC, [HOURS], VENUE, [wrong(3)], NOW)
    (file,) = (tmp_path / "lake" / DIFFERENCES).rglob("*.json")
    written = file.stat().st_mtime_ns
    note_differences(lake, BTC, [HOURS], VENUE, [wrong(3)], Us(NOW + HOUR))
    assert file.stat().st_mtime_ns == written


def test_a_torn_file_says_nothing_and_is_found_out_anew(lake: LakeStore, tmp_path: Path) -> None:
    note_differences(lake, BTC, [HOURS], VENUE, [wrong(3)], NOW)
    (file,) = (tmp_path / "lake" / DIFFERENCES).rglob("*.json")
    file.write_bytes(file.read_bytes()[:20])
    assert known_differences(lake, [BTC]) == {}
    note_differences(lake, BTC, [HOURS], VENUE, [wrong(3)], NOW)
    assert known_differences(lake, [BTC]) == {BTC: [known(3)]}


def test_a_removed_dataset_has_none_and_its_neighbour_keeps_its_own(lake: LakeStore) -> None:
    note_differences(lake, BTC, [HOURS], VENUE, [wrong(3)], NOW)
    note_differences(lake, BTC, [HOURS], TRADES, [wrong(4)], NOW)
    note_differences(lake, ETH, [HOURS], VENUE, [wrong(3)], NOW)
    forget_differences(lake, BTC)
    assert known_differences(lake, [BTC, ETH]) == {ETH: [known(3)]}


def test_what_was_accepted_is_forgotten_too(lake: LakeStore, tmp_path: Path) -> None:
    """a156456: it stayed, and came back with the next rows of that dataset."""
    always = TimeRange(START, Us(START + HOUR))
    note_differences(lake, BTC, [always], VENUE, [wrong(1)], NOW)
    forget_differences(LakeStore(tmp_path / "lake", accepted={str(BTC): [Accepted(always, "why")]}), BTC)
    assert known_differences(lake, [BTC]) == {}


def test_of_very_many_the_newest_are_kept(lake: LakeStore) -> None:
    always = TimeRange(START, Us(START + 2 * MOST * MINUTE))
    note_differences(lake, BTC, [always], VENUE, [wrong(n) for n in range(MOST)], NOW)
    note_differences(lake, BTC, [always], TRADES, [wrong(MOST + 1)], NOW)
    rows = known_differences(lake, [BTC])[BTC]
    assert (len(rows), rows[0], rows[-1]) == (MOST, known(1), known(MOST + 1, TRADES))


def test_where_nothing_can_be_written_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("no folder")
    with pytest.raises(LakeError, match="is a file, no folder"):
        note_differences(LakeStore(tmp_path / "lake"), BTC, [HOURS], VENUE, [wrong(3)], NOW)
