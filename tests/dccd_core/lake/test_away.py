"""A partition's file goes elsewhere and comes back: in a folder here, in a bucket in store/test_bucket.py."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from dccd_core.domain.errors import DamagedFile, LakeError
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import held_path
from dccd_core.lake.partition.held import Held, Place
from dccd_core.lake.store.folder import Folder
from tests.dccd_core.lake.samples import (
    DAY,
    SPAN,
    TRADES,
    bringing,
    live,
    numbered,
    record,
    store,
    stored,
    take_away,
)


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    lake = LakeStore(tmp_path)
    store(lake, numbered(range(5)))
    return lake


def again(lake: LakeStore) -> LakeStore:
    """The same lake in another process."""
    return LakeStore(lake.url)


def file_of(lake: LakeStore) -> Path:
    return Path(lake.path(TRADES, DAY))


def record_of(lake: LakeStore) -> Path:
    return Path(lake.url) / held_path(TRADES, DAY)


def test_what_is_taken_away_is_known_as_before_but_for_where_it_is(lake: LakeStore) -> None:
    before = lake.state(TRADES, DAY)
    assert before
    take_away(lake)
    assert not file_of(lake).exists()
    for one in (lake, again(lake)):
        held = replace(before, elsewhere=("backup",))
        assert one.state(TRADES, DAY) == held == one.known(TRADES, DAY)
        assert one.states(TRADES) == one.all_known(TRADES) == {DAY: held}
        assert one.inventory() == one.known_inventory() == {TRADES: {DAY: held}}
        assert (one.datasets(), one.keys(TRADES), one.first_key(TRADES)) == ([TRADES], [DAY], DAY)
        assert one.holds(TRADES)
        assert one.elsewhere(TRADES) == one.elsewhere(TRADES, SPAN) == [DAY]
        assert one.elsewhere(TRADES, TimeRange(Us(0), SPAN.start)) == []


def test_globs_of_other_engines_do_not_match_what_stays(lake: LakeStore) -> None:
    take_away(lake)
    assert list(Path(lake.url).rglob("*.parquet")) == []
    assert record_of(lake).name == "_held.json"


def test_without_a_record_it_merely_vanished(lake: LakeStore) -> None:
    file_of(lake).unlink()
    assert lake.state(TRADES, DAY) is None
    assert (lake.keys(TRADES), lake.elsewhere(TRADES), lake.datasets()) == ([], [], [])


def test_rows_that_are_elsewhere_are_an_error_that_names_them(lake: LakeStore) -> None:
    take_away(lake)
    said = r"2024-01-31: not here, but held by backup -> .*`dccd restore binance/trades/BTC-USDT`"
    for needed in (
        lambda: lake.scan(TRADES).collect(),
        lambda: list(lake.rows(TRADES, SPAN)),
        lambda: stored(lake),
        lambda: lake.verify(TRADES, DAY),
        lambda: store(lake, numbered([7])),
        lambda: lake.scan(TRADES, restore=False),
    ):
        with pytest.raises(LakeError, match=said):
            needed()
    assert not file_of(lake).exists()
    assert lake.scan(TRADES, TimeRange(Us(0), SPAN.start), restore=False).collect().is_empty()


READS: dict[str, Callable[[LakeStore], pl.DataFrame]] = {
    "scan": lambda lake: lake.scan(TRADES).collect(),
    "rows": lambda lake: pl.concat(lake.rows(TRADES, SPAN)),
    "chunks": stored,
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_rows_that_are_elsewhere_are_brought_back(
    lake: LakeStore, read: Callable[[LakeStore], pl.DataFrame]
) -> None:
    before = lake.state(TRADES, DAY)
    brought = bringing(lake, {(TRADES, DAY): take_away(lake)})
    assert_frame_equal(read(lake), numbered(range(5)))
    assert_frame_equal(read(lake), numbered(range(5)))
    assert brought == [DAY]
    assert lake.state(TRADES, DAY) == before == lake.verify(TRADES, DAY)
    assert not record_of(lake).exists()


def test_a_verification_brings_it_back(lake: LakeStore) -> None:
    before = lake.state(TRADES, DAY)
    bringing(lake, {(TRADES, DAY): take_away(lake)})
    assert lake.verify(TRADES, DAY) == before


def test_who_forbids_it_may_still_read_what_is_here(lake: LakeStore) -> None:
    assert lake.scan(TRADES, restore=False).collect().height == 5
    rows = lake.scan(TRADES, restore=False)
    brought = bringing(lake, {(TRADES, DAY): take_away(lake)})
    with pytest.raises(LakeError, match="not here, but held by backup"):
        rows.collect()
    assert brought == []


def test_late_rows_are_united_with_what_is_elsewhere(lake: LakeStore) -> None:
    """No small file beside the record, which would take the place of the large one."""
    brought = bringing(lake, {(TRADES, DAY): take_away(lake)})
    assert store(lake, numbered([3, 7])).rows == 6
    assert brought == [DAY]
    assert_frame_equal(stored(lake), numbered([0, 1, 2, 3, 4, 7]))
    assert not record_of(lake).exists()


def test_live_rows_of_it_are_known_at_once_and_united_when_they_are_read(lake: LakeStore) -> None:
    brought = bringing(lake, {(TRADES, DAY): take_away(lake)})
    record(lake, live(numbered([5, 6])))
    known = lake.known(TRADES, DAY)
    assert known
    assert (known.elsewhere, brought) == (("backup",), [])
    assert lake.scan(TRADES).collect()["trade_id"].to_list() == list("0123456")
    assert brought == [DAY]


def test_it_is_brought_back_while_it_is_read_when_it_goes_then(
    lake: LakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = dict[tuple[object, str], bytes]()
    brought = bringing(lake, bodies)  # pyright: ignore[reportArgumentType] -- filled below
    listed = Folder.marks

    def then_it_goes(folder: Folder, path: str) -> dict[str, str]:
        found = listed(folder, path)
        if not bodies:
            bodies[TRADES, DAY] = take_away(lake)
        return found

    monkeypatch.setattr(Folder, "marks", then_it_goes)
    assert lake.scan(TRADES).head(5).collect().height == 5
    assert brought == [DAY]


def test_what_vanishes_while_it_is_read_is_named(lake: LakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Folder.marks

    def then_it_goes(folder: Folder, path: str) -> dict[str, str]:
        found = listed(folder, path)
        file_of(lake).unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Folder, "marks", then_it_goes)
    with pytest.raises(LakeError, match=r"data\.parquet: went while it was read"):
        list(lake.rows(TRADES, SPAN))


def test_what_changed_meanwhile_stays(lake: LakeStore) -> None:
    with lake.opened(TRADES, DAY) as over:
        state = lake.state(TRADES, DAY)
        assert over
        assert state
        store(lake, numbered([9]))
        assert not lake.take_away(TRADES, DAY, over, Held(state, "", (), Us(1)))
    assert stored(lake).height == 6
    assert not record_of(lake).exists()


def test_of_two_that_take_it_away_one_does(lake: LakeStore) -> None:
    with lake.opened(TRADES, DAY) as over:
        state = lake.state(TRADES, DAY)
        assert over
        assert state
        take_away(lake)
        before = record_of(lake).read_bytes()
        assert not lake.take_away(TRADES, DAY, over, Held(state, "", (), Us(1)))
    assert record_of(lake).read_bytes() == before


def test_a_file_counts_though_its_record_is_there(lake: LakeStore) -> None:
    """As a kill leaves it, between the two."""
    before, file = lake.state(TRADES, DAY), file_of(lake)
    body = take_away(lake)
    file.write_bytes(body)
    assert again(lake).state(TRADES, DAY) == before == again(lake).states(TRADES)[DAY]
    assert lake.elsewhere(TRADES) == []
    assert lake.scan(TRADES, restore=False).collect().height == 5
    assert store(lake, numbered([7])).rows == 6
    take_away(lake)
    held = lake.held(TRADES, DAY)
    assert held
    assert held.state.rows == 6


def test_a_record_of_what_was_taken_away_since_stays(lake: LakeStore) -> None:
    """Somebody was faster to bring it back, and it went again, while it is brought back."""
    body = take_away(lake, nonce="first")

    def slowly(file: BinaryIO) -> None:
        lake.put_back(TRADES, DAY, lambda file: file.write(body))
        take_away(lake, nonce="second")
        file.write(body)

    lake.put_back(TRADES, DAY, slowly)
    held = lake.held(TRADES, DAY)
    assert held
    assert held.nonce == "second"
    assert_frame_equal(stored(lake), numbered(range(5)))


def test_what_somebody_else_brought_back_stays(lake: LakeStore) -> None:
    body = take_away(lake)

    def slowly(file: BinaryIO) -> None:
        bringing(lake, {(TRADES, DAY): body})
        store(lake, numbered([9]))
        file.write(body)

    lake.put_back(TRADES, DAY, slowly)
    assert stored(lake).height == 6


def test_what_cannot_be_brought_back_changes_nothing(lake: LakeStore) -> None:
    take_away(lake)
    before = record_of(lake).read_bytes()

    def fail(_: BinaryIO) -> None:
        raise LakeError("the remote is away")

    with pytest.raises(LakeError, match="away"):
        lake.put_back(TRADES, DAY, fail)
    assert [path.name for path in record_of(lake).parent.iterdir()] == ["_held.json"]
    assert record_of(lake).read_bytes() == before


def test_a_few_rows_bring_back_what_they_are_in(lake: LakeStore) -> None:
    store(lake, numbered([5]).with_columns(pl.col("ts").dt.offset_by("1d")), key="2024-02-01")
    bodies = {(TRADES, key): take_away(lake, key) for key in (DAY, "2024-02-01")}
    brought = bringing(lake, bodies)
    assert lake.scan(TRADES).head(2).collect().height == 2
    assert brought == [DAY]
    assert lake.scan(TRADES).collect().height == 6
    assert brought == [DAY, "2024-02-01"]


def test_a_damaged_record_is_an_error_that_names_it(lake: LakeStore) -> None:
    take_away(lake)
    record_of(lake).write_bytes(record_of(lake).read_bytes().replace(b'"rows":5', b'"rows":6'))
    for told in (
        lambda: lake.state(TRADES, DAY),
        lambda: lake.states(TRADES),
        lambda: lake.held(TRADES, DAY),
        lambda: store(lake, numbered([7])),
    ):
        with pytest.raises(DamagedFile, match=r"_held\.json is not what was written -> dccd restore"):
            told()
    assert not file_of(lake).exists()


def test_a_record_of_another_partition_is_refused(lake: LakeStore) -> None:
    take_away(lake)
    held = lake.held(TRADES, DAY)
    assert held
    other = replace(held, state=replace(held.state, owner="binance/trades/ETH-USDT/2024-01-31"))
    record_of(lake).write_bytes(other.to_json())
    for told in (lambda: lake.state(TRADES, DAY), lambda: lake.held(TRADES, DAY)):
        with pytest.raises(LakeError, match="holds binance/trades/ETH-USDT/2024-01-31, not"):
            told()


def test_a_name_more_is_seen(lake: LakeStore, tmp_path: Path) -> None:
    assert not lake.is_held_by_others(TRADES, DAY)
    (tmp_path / "pin").hardlink_to(file_of(lake))
    assert lake.is_held_by_others(TRADES, DAY)


def test_what_is_removed_on_purpose_leaves_nothing(lake: LakeStore) -> None:
    lake.quarantine(TRADES, DAY, numbered([2]).with_columns(reason=pl.lit("bad")))
    lake.remove(TRADES, DAY)
    assert not file_of(lake).parent.exists()
    store(lake, numbered([1]))
    take_away(lake)
    lake.remove(TRADES, DAY)
    assert not file_of(lake).parent.exists()
    assert (lake.keys(TRADES), lake.state(TRADES, DAY)) == ([], None)
    lake.remove(TRADES, DAY)


def test_places_are_told(lake: LakeStore) -> None:
    take_away(lake)
    held = lake.held(TRADES, DAY)
    assert held
    assert (held.places, held.remotes, held.at) == ((Place("backup", Us(1)),), ("backup",), 2)
