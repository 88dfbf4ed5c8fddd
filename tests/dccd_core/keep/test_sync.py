"""Sync to a folder; tests/promises/test_sync.py has the same for each kind of remote, side by side."""

import json
import os
from pathlib import Path
from threading import Event, Thread, current_thread, main_thread
from typing import BinaryIO

import polars as pl
import pytest

from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import SECOND, TimeRange, Us
from dccd_core.keep import sync as sync_module
from dccd_core.keep.copies import Copies
from dccd_core.keep.remotes.folder import FolderRemote
from dccd_core.keep.remotes.remote import Found, Remote
from dccd_core.keep.sync import Follow, Options, Progress, Synced, said_of, sync
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import DATA, data_path, quarantine_path, withdrawn_path
from dccd_core.lake.partition.ledger import Asked, Ledger, Source
from dccd_core.lake.store.identity import IDENTITY
from dccd_core.quality.holes import NoCheck
from tests.dccd_core.keep.scene import FILE, NOW, Through, body, days, equal, fill, filled, ours, put
from tests.dccd_core.lake.samples import BOOKS, DAY, SPAN, TRADES, at, numbered, record

LATER = Us(NOW + 3_600 * SECOND)


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    return LakeStore(tmp_path / "lake")


@pytest.fixture
def remote(tmp_path: Path) -> Through:
    return Through(FolderRemote("nas", tmp_path / "copy"))


def counts(synced: Synced) -> tuple[int, int, int, int, int]:
    conflicts, failed = len(synced.conflicts), len(synced.failed)
    return synced.copied, len(synced.mended), synced.proven, conflicts, failed


def test_what_is_here_is_there_and_a_second_sync_moves_nothing(lake: LakeStore, remote: Through) -> None:
    paths = filled(lake, 20)
    first = sync(lake, remote, NOW)
    assert (first.copied, first.files, first.well) == (20, 20, True)
    assert first.bytes == first.sent == sum(len(ours(lake, path)) for path in paths)
    assert equal(lake, remote, paths)
    sent, remote.read_back = remote.sent, []
    second = sync(lake, remote, LATER)
    assert (counts(second), second.sent, second.files) == ((0, 0, 0, 0, 0), 0, 20)
    assert (remote.sent, remote.read_back) == (sent, [])
    assert second.datasets[str(TRADES)].verified == NOW


def test_a_remote_is_itself_a_lake_with_a_name_of_its_own(
    lake: LakeStore, remote: Through, tmp_path: Path
) -> None:
    filled(lake, 3)
    sync(lake, remote, NOW)
    there = LakeStore(tmp_path / "copy")
    assert there.scan(TRADES).collect().equals(lake.scan(TRADES).collect())
    assert there.states(TRADES).keys() == lake.states(TRADES).keys()
    told = json.loads(body(remote, IDENTITY))
    assert (told["format"], told["copy_of"]) == (2, lake.identity())
    assert told["id"] == there.identity() != lake.identity()


def test_a_remote_of_another_store_is_refused(lake: LakeStore, remote: Through, tmp_path: Path) -> None:
    filled(lake, 1)
    other = LakeStore(tmp_path / "other")
    fill(other, [1])
    sync(other, remote, NOW)
    before = body(remote, FILE)
    with pytest.raises(LakeError, match="is a copy of another store"):
        sync(lake, remote, NOW)
    assert body(remote, FILE) == before
    with pytest.raises(LakeError, match="this store itself: no place for a copy"):
        sync(lake, FolderRemote("self", tmp_path / "lake"), NOW)
    with pytest.raises(LakeError, match="a store of its own"):
        sync(lake, FolderRemote("other", tmp_path / "other"), NOW)


def test_files_that_nobody_knows_are_not_written_among(lake: LakeStore, remote: Through) -> None:
    filled(lake, 1)
    put(remote, FILE.replace("binance", "kraken"), b"somebody's")
    with pytest.raises(LakeError, match="nobody knows whose it is -> use an empty place"):
        sync(lake, remote, NOW)


def test_a_remote_that_is_suddenly_empty_is_not_mounted(
    lake: LakeStore, remote: Through, tmp_path: Path
) -> None:
    """A disk that is not there leaves its folder behind: a whole copy would fill the disk beneath."""
    filled(lake, 2)
    sync(lake, remote, NOW)
    (tmp_path / "copy").rename(tmp_path / "away")
    with pytest.raises(LakeError, match="is empty, though 2 files were copied there -> mount it"):
        sync(lake, remote, NOW)
    assert not (tmp_path / "copy" / IDENTITY).exists()
    assert sync(lake, remote, NOW, Options(anew=True)).well
    assert sync(lake, remote, NOW).sent == 0


def test_a_store_that_nobody_has_written_to_makes_no_copy(lake: LakeStore, remote: Through) -> None:
    assert sync(lake, remote, NOW).files == 0
    assert remote.found(IDENTITY) is None


def test_what_grew_is_copied_again(lake: LakeStore, remote: Through) -> None:
    fill(lake, range(10), until=10)
    sync(lake, remote, NOW)
    fill(lake, range(10, 30))
    assert counts(sync(lake, remote, NOW)) == (1, 0, 0, 0, 0)
    assert equal(lake, remote, [FILE])


def test_what_was_mended_in_its_middle_is_copied_again(lake: LakeStore, remote: Through) -> None:
    fill(lake, [*range(10), *range(20, 30)])
    sync(lake, remote, NOW)
    fill(lake, range(10, 20))
    assert counts(sync(lake, remote, NOW)) == (1, 0, 0, 0, 0)
    assert equal(lake, remote, [FILE])


def test_what_was_only_asked_for_again_is_copied_again(lake: LakeStore, remote: Through) -> None:
    fill(lake, range(10), until=10)
    sync(lake, remote, NOW)
    fill(lake, [])
    assert sync(lake, remote, NOW).copied == 1
    assert equal(lake, remote, [FILE])


def test_row_12_a_shorter_file_does_not_replace_a_longer_one(
    lake: LakeStore, remote: Through, tmp_path: Path
) -> None:
    """The archive loss of dccd 3.8.1: purge, resume, and the next ``rclone copy`` put 10 rows over 1,000."""
    fill(lake, range(1_000))
    sync(lake, remote, NOW)
    Path(lake.path(TRADES, DAY)).unlink()
    fill(lake, range(990, 1_000))
    before = body(remote, FILE)
    synced = sync(lake, remote, LATER)
    assert (counts(synced), synced.sent, synced.well) == ((0, 0, 0, 1, 0), 0, False)
    assert said_of(synced.conflicts[0]) == (f"{TRADES}/{DAY}: it has 1000 rows, and there are 10 here")
    assert body(remote, FILE) == before
    assert LakeStore(tmp_path / "copy").verify(TRADES, DAY)
    assert counts(sync(lake, remote, LATER)) == (0, 0, 0, 1, 0), "for as long as it is so"


def test_less_coverage_does_not_replace_more(lake: LakeStore, remote: Through, tmp_path: Path) -> None:
    fill(lake, range(10))
    sync(lake, remote, NOW)
    Path(lake.path(TRADES, DAY)).unlink()
    fill(lake, range(20), until=20)
    (conflict,) = sync(lake, remote, NOW).conflicts
    assert conflict.why == (
        "it covers 2024-01-31T00:00:20Z to 2024-02-01T00:00:00Z, which is not covered here"
    )


@pytest.mark.parametrize("ids", [range(1, 11), range(5, 25)], ids=["as many rows", "more rows"])
def test_another_past_is_not_replaced(lake: LakeStore, remote: Through, ids: range) -> None:
    fill(lake, range(10))
    sync(lake, remote, NOW)
    before = body(remote, FILE)
    Path(lake.path(TRADES, DAY)).unlink()
    fill(lake, ids)
    (conflict,) = sync(lake, remote, NOW).conflicts
    assert conflict.why == "it has rows that are not here, or other values in them"
    assert body(remote, FILE) == before


def import_rows(lake: LakeStore, count: int) -> None:
    """Take rows over from elsewhere, as an import does: they prove nothing."""

    class TakenOver(NoCheck):
        def assess(self, ledger: Ledger) -> Ledger:
            return ledger.take_over([SPAN] if not ledger.covered() else [])

    with lake.draft(TRADES, DAY) as draft:
        draft.append(numbered(range(count)))
        draft.yield_to_stored(fill_gaps=False)
        draft.commit([], TakenOver)


def test_fewer_rows_of_the_venue_replace_what_was_imported_there_as_they_did_here(
    lake: LakeStore, remote: Through
) -> None:
    """It was a conflict for ever: it has 100 rows, and there are 40 here."""
    import_rows(lake, 100)
    sync(lake, remote, NOW)
    fill(lake, range(40))
    assert counts(sync(lake, remote, LATER)) == (1, 0, 0, 0, 0)
    assert equal(lake, remote, [FILE])


def test_a_part_of_what_was_imported_that_nobody_answered_stays(lake: LakeStore, remote: Through) -> None:
    import_rows(lake, 100)
    sync(lake, remote, NOW)
    fill(lake, range(3), until=50)
    assert counts(sync(lake, remote, LATER)) == (1, 0, 0, 0, 0)
    assert lake.state(TRADES, DAY).rows == 53  # pyright: ignore[reportOptionalMemberAccess]
    assert equal(lake, remote, [FILE])


def test_row_12_imported_rows_that_are_gone_here_are_not_replaced_by_a_shorter_answer(
    lake: LakeStore, remote: Through
) -> None:
    """Nothing here has taken their place: they were lost, and the venue may have forgotten them."""
    import_rows(lake, 100)
    sync(lake, remote, NOW)
    Path(lake.path(TRADES, DAY)).unlink()
    fill(lake, range(40))
    (conflict,) = sync(lake, remote, LATER).conflicts
    assert conflict.why == "it has 100 rows, and there are 40 here"


def pictures(count: int) -> pl.DataFrame:
    """One level a second of each side of a book, from the beginning of the day."""
    rows = [
        (SPAN.start + n * SECOND, side, 0, 9.5 + n, 1.25, None)
        for n in range(count)
        for side in ("bid", "ask")
    ]
    return pl.DataFrame(rows, BOOKS.data_type.table.schema, orient="row")


def take_back(lake: LakeStore, start: int, end: int) -> TimeRange:
    """Find that a book was wrong from one second to another: its rows are kept beside the partition."""
    gone = TimeRange(at(start), at(end))

    class Withdrawing(NoCheck):
        def assess(self, ledger: Ledger) -> Ledger:
            return ledger.withdraw([gone]).lose([(gone, "it had drifted")])

    with lake.draft(BOOKS, DAY) as draft:
        draft.take_back([(gone, "it had drifted")])
        draft.commit([], Withdrawing)
    return gone


def recorded(lake: LakeStore, rows: pl.DataFrame, end: int) -> None:
    with lake.draft(BOOKS, DAY) as draft:
        draft.append(rows)
        draft.commit([Asked(TimeRange(at(0), at(end)), Source.STREAM, Us(1), 0, rows.height)], NoCheck)


def test_pictures_that_were_taken_back_here_go_there_too(lake: LakeStore, remote: Through) -> None:
    """It was a conflict for ever, told hourly: it has 200 rows, and there are 140 here."""
    recorded(lake, pictures(100), 100)
    sync(lake, remote, NOW)
    take_back(lake, 50, 80)
    synced = sync(lake, remote, LATER)
    assert (counts(synced), synced.well) == ((2, 0, 0, 0, 0), True)
    assert equal(lake, remote, [data_path(BOOKS, DAY), withdrawn_path(BOOKS, DAY)])


@pytest.mark.parametrize("lost", ["rows", "words"])
def test_row_12_pictures_that_are_gone_and_not_kept_beside_stay_there(
    lake: LakeStore, remote: Through, lost: str
) -> None:
    recorded(lake, pictures(100), 100)
    sync(lake, remote, NOW)
    before = body(remote, data_path(BOOKS, DAY))
    if lost == "rows":
        Path(lake.path(BOOKS, DAY)).unlink()
        recorded(lake, pictures(90), 90)
    take_back(lake, 50, 80)
    if lost == "words":
        Path(lake.url, withdrawn_path(BOOKS, DAY)).unlink()
    assert len(sync(lake, remote, LATER).conflicts) == 1
    assert body(remote, data_path(BOOKS, DAY)) == before


def test_other_values_are_another_past(lake: LakeStore, remote: Through) -> None:
    fill(lake, range(10))
    sync(lake, remote, NOW)
    Path(lake.path(TRADES, DAY)).unlink()
    fill(lake, range(20), price=2.0)
    assert len(sync(lake, remote, NOW).conflicts) == 1


def test_a_conflict_ends_when_somebody_says_that_it_is_right_here(lake: LakeStore, remote: Through) -> None:
    for key in days(2):
        fill(lake, range(10), key=key)
    sync(lake, remote, NOW)
    for key in days(2):
        Path(lake.path(TRADES, key)).unlink()
        fill(lake, range(5), key=key)
    said = Options(replace=frozenset({f"{TRADES}/{days(1)[0]}"}))
    assert counts(sync(lake, remote, NOW, said)) == (1, 0, 0, 1, 0)
    assert counts(sync(lake, remote, NOW, Options(replace=frozenset({str(TRADES)})))) == (1, 0, 0, 0, 0)


def test_what_is_damaged_there_is_found_and_mended(lake: LakeStore, remote: Through) -> None:
    paths = filled(lake, 5)
    sync(lake, remote, NOW)
    for place, path in ((5, paths[0]), (-20, paths[1])):
        spoilt = bytearray(body(remote, path))
        spoilt[place] ^= 1
        put(remote, path, bytes(spoilt))
    synced = sync(lake, remote, LATER)
    assert counts(synced) == (0, 2, 0, 0, 0)
    assert sorted(said_of(one) for one in synced.mended) == [
        f"{TRADES}/{key}: it was damaged there" for key in days(2)
    ]
    assert equal(lake, remote, paths)


def test_what_rots_there_in_silence_is_found_by_verify(
    lake: LakeStore, remote: Through, tmp_path: Path
) -> None:
    paths = filled(lake, 3)
    sync(lake, remote, NOW)
    file = tmp_path / "copy" / paths[0]
    status = file.stat()
    with file.open("r+b") as opened:
        opened.seek(9)
        opened.write(b"\xff")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    synced = sync(lake, remote, LATER, Options(verify=True))
    assert counts(synced) == (0, 1, 2, 0, 0)
    assert synced.datasets[str(TRADES)].verified == LATER
    assert equal(lake, remote, paths)


def test_what_is_gone_there_is_sent_again_and_said(lake: LakeStore, remote: Through, tmp_path: Path) -> None:
    paths = filled(lake, 2)
    sync(lake, remote, NOW)
    (tmp_path / "copy" / paths[0]).unlink()
    synced = sync(lake, remote, NOW)
    assert [one.why for one in synced.mended] == ["it was gone there"]
    assert equal(lake, remote, paths)


def test_a_damaged_file_here_mends_nothing_there(lake: LakeStore, remote: Through) -> None:
    fill(lake, range(1_000))
    sync(lake, remote, NOW)
    before = body(remote, FILE)
    with Path(lake.path(TRADES, DAY)).open("r+b") as file:
        file.seek(200)
        file.write(b"\x00" * 50)
    synced = sync(lake, remote, NOW)
    assert counts(synced) == (0, 0, 0, 0, 1)
    assert body(remote, FILE) == before


def test_an_upload_that_is_cut_off_is_found_and_sent_again(lake: LakeStore, remote: Through) -> None:
    paths = filled(lake, 3)
    remote.cut = {paths[1]: 1}
    synced = sync(lake, remote, NOW)
    assert (counts(synced), [one.why for one in synced.mended]) == (
        (2, 1, 0, 0, 0),
        ["its upload was cut off"],
    )
    assert equal(lake, remote, paths)


def test_an_upload_that_is_always_cut_off_counts_for_nothing(lake: LakeStore, remote: Through) -> None:
    paths = filled(lake, 3)
    remote.cut = {paths[1]: 99}
    synced = sync(lake, remote, NOW)
    assert counts(synced) == (2, 0, 0, 0, 1)
    assert "not what was sent" in synced.failed[0].why
    assert Copies(lake.store, "nas").get(paths[1]) is None
    remote.cut = {}
    assert counts(sync(lake, remote, NOW)) == (0, 1, 0, 0, 0)
    assert equal(lake, remote, paths)


def test_what_is_unreadable_there_and_never_was_ours_is_kept(lake: LakeStore, remote: Through) -> None:
    fill(lake, range(10))
    filled(lake, 1)
    sync(lake, remote, NOW)
    other = FILE
    put(remote, other, b"PAR1 who knows what PAR1")
    Copies(lake.store, "nas").drop(other)
    for memo in Path(lake.url, ".dccd/remotes/nas").rglob("trades.json"):
        memo.unlink()
    (conflict,) = sync(lake, remote, NOW).conflicts
    assert conflict.why.startswith("it cannot be read there")
    assert body(remote, other) == b"PAR1 who knows what PAR1"


def test_one_file_that_cannot_be_sent_does_not_keep_the_others(lake: LakeStore, remote: Through) -> None:
    paths = filled(lake, 6)
    remote.broken = {paths[2]}
    synced = sync(lake, remote, NOW)
    assert (counts(synced), synced.waiting) == ((5, 0, 0, 0, 1), 0)
    assert said_of(synced.failed[0]) == f"{TRADES}/{days(3)[2]}: {paths[2]}: the line broke -> try again"


def test_a_remote_that_fails_again_and_again_is_left_alone(lake: LakeStore, remote: Through) -> None:
    paths = filled(lake, 30)
    remote.broken = set(paths)
    synced = sync(lake, remote, NOW)
    assert 8 <= len(synced.failed) <= 12
    assert synced.waiting == 30 - len(synced.failed)
    assert not synced.halted
    last = Copies(lake.store, "nas").last()
    assert last
    assert (last.files, last.waiting, last.troubles) == (0, synced.waiting, len(synced.failed))


def test_what_is_not_remembered_is_proven_and_not_sent_again(lake: LakeStore, remote: Through) -> None:
    paths = filled(lake, 4)
    sync(lake, remote, NOW)
    for memo in Path(lake.url, ".dccd/remotes/nas").rglob("trades.json"):
        memo.write_bytes(memo.read_bytes()[:-9])
    synced = sync(lake, remote, LATER)
    assert (counts(synced), synced.sent) == ((0, 0, 4, 0, 0), 0)
    assert sorted(remote.read_back[-4:]) == sorted(paths)


def test_a_lake_that_was_moved_to_another_disk_is_not_sent_again(
    lake: LakeStore, remote: Through, tmp_path: Path
) -> None:
    filled(lake, 4)
    sync(lake, remote, NOW)
    for path in Path(lake.url).rglob("data.parquet"):
        whole = path.read_bytes()
        path.unlink()
        path.write_bytes(whole)
    remote.read_back = []
    assert (counts(sync(lake, remote, NOW)), remote.read_back) == ((0, 0, 4, 0, 0), [])


def test_refused_rows_travel_and_only_grow(lake: LakeStore, remote: Through) -> None:
    fill(lake, range(3))
    aside = quarantine_path(TRADES, DAY)
    lake.quarantine(TRADES, DAY, numbered([1, 2]).with_columns(reason=pl.lit("odd")))
    assert (synced := sync(lake, remote, NOW)).files == 2
    assert synced.datasets[str(TRADES)].files == 2
    assert equal(lake, remote, [FILE, aside])
    lake.quarantine(TRADES, DAY, numbered([3]).with_columns(reason=pl.lit("odd")))
    sync(lake, remote, NOW)
    assert equal(lake, remote, [aside])
    Path(lake.url, aside).unlink()
    lake.quarantine(TRADES, DAY, numbered([9]).with_columns(reason=pl.lit("odd")))
    (conflict,) = sync(lake, remote, NOW).conflicts
    assert said_of(conflict) == f"{TRADES}/{DAY} (_quarantine.ndjson): it has lines that are not here"


def test_refused_rows_without_a_partition_travel_too(lake: LakeStore, remote: Through) -> None:
    fill(lake, range(3), key="2024-01-30")
    lake.quarantine(TRADES, DAY, numbered([1]).with_columns(reason=pl.lit("odd")))
    assert sync(lake, remote, NOW).files == 2
    assert equal(lake, remote, [quarantine_path(TRADES, DAY)])


def test_a_line_that_is_being_written_comes_later(lake: LakeStore, remote: Through) -> None:
    fill(lake, range(3))
    lake.quarantine(TRADES, DAY, numbered([1]).with_columns(reason=pl.lit("odd")))
    file = Path(lake.url, quarantine_path(TRADES, DAY))
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"half": ')
    assert sync(lake, remote, NOW).well
    assert body(remote, quarantine_path(TRADES, DAY)) == whole


def test_the_tail_is_not_copied_but_its_partition_once_it_is_folded(lake: LakeStore, remote: Through) -> None:
    fill(lake, range(3))
    record(lake, numbered([5]).with_columns(symbol=pl.lit("BTC/USDT")))
    synced = sync(lake, remote, NOW)
    assert (synced.files, synced.well) == (1, True)


def test_what_went_from_here_stays_there_and_is_no_error(lake: LakeStore, remote: Through) -> None:
    paths = filled(lake, 3)
    sync(lake, remote, NOW)
    Path(lake.url, paths[0]).unlink()
    synced = sync(lake, remote, NOW)
    assert (synced.well, synced.files, synced.only_there) == (True, 2, 1)
    assert remote.found(paths[0])


def test_progress_is_told_by_bytes(lake: LakeStore, remote: Through) -> None:
    paths = filled(lake, 5)
    told = list[Progress]()
    sync(lake, remote, NOW, follow=Follow(told.append))
    whole = sum(len(ours(lake, path)) for path in paths)
    assert (told[0].done_bytes, told[0].bytes, told[0].files) == (0, whole, 5)
    last = max(told, key=lambda one: one.done)
    assert (last.done, last.done_bytes, last.sent) == (5, whole, whole)


def test_who_is_told_to_stop_stops_and_the_next_sync_goes_on(lake: LakeStore, remote: Through) -> None:
    paths = filled(lake, 30)
    told = list[Progress]()
    follow = Follow(told.append, lambda: bool(told) and told[-1].sent > 3_000)
    synced = sync(lake, remote, NOW, follow=follow)
    assert synced.halted
    assert 0 < synced.files < 30
    assert synced.waiting == 30 - synced.files
    again = sync(lake, remote, NOW)
    assert (again.well, again.files) == (True, 30)
    assert equal(lake, remote, paths)


class Hangs(Through):
    """It takes nothing, and says nothing, until it is let go."""

    def __init__(self, to: Remote) -> None:
        super().__init__(to)
        self.begun, self.gone = Event(), Event()

    def write(self, path: str, file: BinaryIO, over: Found | None) -> bool:
        if path.endswith(DATA):
            self.begun.set()
            self.gone.wait(60)
        return super().write(path, file, over)


@pytest.mark.parametrize("told", [True, False], ids=["who-is-told", "who-is-interrupted"])
def test_a_stop_does_not_wait_for_a_remote_that_hangs(
    lake: LakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, told: bool
) -> None:
    """6e38909: a stop waited for the remote, for minutes or for ever."""
    monkeypatch.setattr(sync_module, "_LOOK_S", 0.01)
    filled(lake, 6)
    remote = Hangs(FolderRemote("nas", tmp_path / "copy"))

    def halt() -> bool:
        if not told and remote.begun.is_set() and current_thread() is main_thread():
            raise KeyboardInterrupt
        return told and remote.begun.is_set()

    try:
        if told:
            synced = sync(lake, remote, NOW, follow=Follow(halt=halt))
            assert (synced.halted, synced.files, synced.waiting) == (True, 0, 6)
        else:
            with pytest.raises(KeyboardInterrupt):
                sync(lake, remote, NOW, follow=Follow(halt=halt))
        assert not remote.gone.is_set(), "it hung until somebody let it go"
    finally:
        remote.gone.set()
    assert sync(lake, FolderRemote("nas", tmp_path / "copy"), NOW).well


def test_a_first_sync_that_was_killed_was_none(
    lake: LakeStore, remote: Through, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6e38909: it counted as one that had ended, and `dccd status` said "all is well"."""

    def die(_: Copies, path: str) -> None:
        raise KeyboardInterrupt

    filled(lake, 2)
    monkeypatch.setattr(Copies, "get", die)
    with pytest.raises(KeyboardInterrupt):
        sync(lake, remote, NOW)
    last = Copies(lake.store, "nas").last()
    assert last
    assert (bool(last.id), last.at, last.files) == (True, 0, 0)


def test_two_syncs_to_one_remote_at_once_do_not_disturb_each_other(lake: LakeStore, remote: Through) -> None:
    paths = filled(lake, 20)
    done = list[Synced]()
    threads = [Thread(target=lambda: done.append(sync(lake, remote, NOW))) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [one.well for one in done] == [True, True]
    assert sorted(one.copied for one in done) == [0, 20]
    assert equal(lake, remote, paths)
