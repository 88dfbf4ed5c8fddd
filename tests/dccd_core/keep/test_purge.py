import json
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset, partition_keys, partition_span
from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import DAY as ONE_DAY
from dccd_core.domain.timespan import SECOND, TimeRange, Us
from dccd_core.keep.purge import ROOM, Purge, PurgeReport, Rules
from dccd_core.keep.remotes.folder import FolderRemote
from dccd_core.keep.remotes.remote import Found, Remote
from dccd_core.keep.sync import Options, sync
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import data_path
from dccd_core.lake.partition.ledger import Accepted, Answer, Asked, Hole, Ledger, Source
from dccd_core.lake.store.identity import IDENTITY
from tests.dccd_core.keep.shelf import ShelfRemote
from tests.dccd_core.lake.samples import (
    BOOKS,
    DAY,
    SPAN,
    TRADES,
    Witness,
    asked,
    numbered,
    store,
    stored,
    trades,
)

DAYS = list(partition_keys(TRADES.grain, TimeRange(SPAN.start, Us(SPAN.start + 4 * ONE_DAY))))
NOW = Us(SPAN.start + 10 * ONE_DAY)
PATH = data_path(TRADES, DAY)


def rows_of(key: str) -> pl.DataFrame:
    """A trade a second, five seconds long."""
    since = partition_span(TRADES.grain, key).start - SPAN.start
    return trades((since + n * SECOND, f"{key}-{n}", 1.0) for n in range(5))


def filled(lake: LakeStore, key: str, dataset: Dataset = TRADES) -> None:
    with lake.draft(dataset, key) as draft:
        draft.append(rows_of(key))
        draft.commit([Asked(partition_span(dataset.grain, key), Source.REST, Us(1), 1, 5)], Witness)


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    """Four whole days of trades."""
    lake = LakeStore(tmp_path / "lake")
    for key in DAYS:
        filled(lake, key)
    return lake


@pytest.fixture
def backup(lake: LakeStore) -> ShelfRemote:
    """It holds a copy of all of them."""
    backup = ShelfRemote()
    backup.copy_all(lake)
    return backup


def purged(
    lake: LakeStore,
    *remotes: Remote,
    rules: Rules = Rules(),  # noqa: B008 -- frozen
    now: Us = NOW,
    free: int | None = None,
    dry_run: bool = False,
) -> PurgeReport:
    return Purge(lake, remotes, rules, now, lambda: free, dry_run).run()


def why(report: PurgeReport, key: str = DAY) -> str:
    return next(one.why for one in report.kept if one.key == key)


def test_what_is_proven_and_held_elsewhere_goes_and_is_known(lake: LakeStore, backup: ShelfRemote) -> None:
    before = lake.states(TRADES)
    report = purged(lake, backup)
    assert [(one.key, one.remotes) for one in report.gone] == [(key, ("backup",)) for key in DAYS]
    assert (report.kept, report.lacking) == ([], 0)
    assert report.freed == sum(state.bytes for state in before.values())
    assert lake.elsewhere(TRADES) == DAYS
    assert {key: (one.rows, one.ledger) for key, one in lake.states(TRADES).items()} == {
        key: (one.rows, one.ledger) for key, one in before.items()
    }
    held = lake.held(TRADES, DAY)
    assert held
    assert (held.at, held.places[0].verified) == (NOW, NOW)


def test_a_dry_run_says_the_same_and_does_nothing(lake: LakeStore, backup: ShelfRemote) -> None:
    backup.files[PATH] = b"x" + backup.files[PATH][1:]
    told = purged(lake, backup, dry_run=True)
    assert lake.elsewhere(TRADES) == []
    assert told == purged(lake, backup)
    assert lake.elsewhere(TRADES) == DAYS[1:]


def test_what_is_gone_already_is_no_news(lake: LakeStore, backup: ShelfRemote) -> None:
    purged(lake, backup)
    assert purged(lake, backup) == PurgeReport()


def lose(_: LakeStore, backup: ShelfRemote) -> None:
    del backup.files[PATH]


def shorten(_: LakeStore, backup: ShelfRemote) -> None:
    backup.files[PATH] = backup.files[PATH][:-1]


def damage(_: LakeStore, backup: ShelfRemote) -> None:
    backup.files[PATH] = backup.files[PATH][:-1] + b"x"


def go_away(_: LakeStore, backup: ShelfRemote) -> None:
    backup.away = True


def write_since(lake: LakeStore, _: ShelfRemote) -> None:
    store(lake, numbered([9]))


def damage_here(lake: LakeStore, _: ShelfRemote) -> None:
    file = Path(lake.path(TRADES, DAY))
    body = bytearray(file.read_bytes())
    body[20] ^= 1
    file.write_bytes(body)


def leave_in_the_tail(lake: LakeStore, _: ShelfRemote) -> None:
    rows = numbered([7]).with_columns(symbol=pl.lit("BTC/USDT"))
    lake.tail(TRADES).append(rows, {"BTC/USDT": [Answer((asked(at=9, rows=1),))]}, Us(1))


def pin(lake: LakeStore, _: ShelfRemote) -> None:
    pinned = Path(lake.url) / "pins" / "paper" / PATH
    pinned.parent.mkdir(parents=True)
    pinned.hardlink_to(lake.path(TRADES, DAY))


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (lose, "0 verified copies of 1: backup: not there"),
        (shorten, "0 verified copies of 1: backup: another file is there"),
        (damage, "0 verified copies of 1: backup: not verified: .* another SHA-256"),
        (go_away, "0 verified copies of 1: backup: backup does not answer -> see to it"),
        (write_since, "0 verified copies of 1: backup: another file is there"),
        (damage_here, r"data\.parquet.*(cannot be read|not those that were written)"),
        (leave_in_the_tail, "not folded yet: rows of it are in the tail"),
        (pin, "a pin holds its file: nothing would be freed, and a pin is no copy"),
    ],
)
def test_it_stays_and_says_why(
    lake: LakeStore, backup: ShelfRemote, happens: Callable[[LakeStore, ShelfRemote], None], said: str
) -> None:
    happens(lake, backup)
    found = why(purged(lake, backup))
    assert re.search(said, found), found
    assert DAY not in lake.elsewhere(TRADES)
    assert Path(lake.path(TRADES, DAY)).exists()


def test_what_is_not_closed_stays(lake: LakeStore, backup: ShelfRemote) -> None:
    last = partition_span(TRADES.grain, DAYS[-1])
    assert why(purged(lake, backup, now=Us(last.end - 1)), DAYS[-1]).startswith("not closed: its time ends")
    assert lake.elsewhere(TRADES) == DAYS[:-1]
    purged(lake, backup, now=last.end)
    assert lake.elsewhere(TRADES) == DAYS


def test_what_is_too_young_stays(lake: LakeStore, backup: ShelfRemote) -> None:
    rules = Rules(older_than=Us(8 * ONE_DAY))
    assert why(purged(lake, backup, rules=rules), DAYS[2]).startswith("too young: it goes from 2024-02-11")
    assert lake.elsewhere(TRADES) == DAYS[:2]


def test_what_is_not_proven_stays_unless_it_is_accepted(lake: LakeStore, backup: ShelfRemote) -> None:
    class Misses(Witness):
        def assess(self, ledger: Ledger) -> Ledger:
            return Ledger(ledger.asked, (Hole(TimeRange(SPAN.start, Us(SPAN.start + SECOND)), 1),))

    with lake.draft(TRADES, DAY) as draft:
        draft.append(numbered([9]))
        draft.commit([asked(at=2)], Misses)
    backup.copy_all(lake)
    assert why(purged(lake, backup)) == "not proven: 1 unexplained gap"
    knowing = LakeStore(lake.url, accepted={str(TRADES): [Accepted(SPAN, "the venue lost them")]})
    purged(knowing, backup)
    assert lake.elsewhere(TRADES) == DAYS
    state = lake.state(TRADES, DAY)
    assert state
    assert state.ledger.gaps(), "what is accepted is written down nowhere"


def test_what_was_not_asked_for_whole_stays(lake: LakeStore, backup: ShelfRemote) -> None:
    key = "2024-01-01"
    with lake.draft(TRADES, key) as draft:
        span = partition_span(TRADES.grain, key)
        half = TimeRange(span.start, Us(span.start + 3_600 * SECOND))
        draft.commit([Asked(half, Source.REST, Us(1), 1, 0)], Witness)
    backup.copy_all(lake)
    assert why(purged(lake, backup), key) == "not proven: asked for until 2024-01-01T01:00:00Z only"


def test_the_part_of_it_that_is_wanted_may_be_all(lake: LakeStore, backup: ShelfRemote) -> None:
    rules = Rules(proven=lambda dataset, key, state: key != DAY)
    purged(lake, backup, rules=rules)
    assert lake.elsewhere(TRADES) == DAYS[1:]


def test_pictures_promise_no_moment(tmp_path: Path) -> None:
    lake, backup = LakeStore(tmp_path), ShelfRemote()
    with lake.draft(BOOKS, DAY) as draft:
        draft.commit([asked(0, 10)], Witness)
    backup.copy_all(lake)
    assert [one.dataset for one in purged(lake, backup).gone] == [BOOKS]


def test_as_many_copies_as_are_wanted_are_asked_for(lake: LakeStore, backup: ShelfRemote) -> None:
    nas, third, empty = ShelfRemote("nas"), ShelfRemote("third"), ShelfRemote("empty")
    nas.copy_all(lake)
    third.copy_all(lake)
    empty.claim(lake)
    two = Rules(copies=2)
    assert why(purged(lake, backup, rules=two)) == "1 verified copy of 2: there are no more remotes"
    assert why(purged(lake, backup, empty, rules=two)) == "1 verified copy of 2: empty: not there"
    backup.away = True
    assert purged(lake, backup, nas, third, rules=two).gone[0].remotes == ("nas", "third")


TWO = Rules(copies=2)


@pytest.mark.parametrize("place", ["remote", "link"], ids=["its-name", "a-link-to-it"])
def test_r6_one_place_by_two_names_is_one_copy(lake: LakeStore, tmp_path: Path, place: str) -> None:
    """36c92f8: by a link there were two verified copies, and the file here went, with one left."""
    (tmp_path / "link").symlink_to(tmp_path / "remote")
    one, other = FolderRemote("one", tmp_path / "remote"), FolderRemote("other", tmp_path / place)
    sync(lake, one, NOW)
    assert why(purged(lake, one, other, rules=TWO)).startswith(
        "1 verified copy of 2: other: is the same place as one, by its dccd.json: "
    )


def test_one_place_by_two_ways_is_one_copy_until_it_is_said_to_be_another(
    lake: LakeStore, backup: ShelfRemote
) -> None:
    """bd7e0af: a NAS that is mounted and known to rclone, too, was two copies."""
    other = ShelfRemote("by-rclone", backup.files)
    found = why(purged(lake, backup, other, rules=TWO))
    assert found == (
        "1 verified copy of 2: by-rclone: is the same place as backup, by its dccd.json: "
        "where it is one of its own, `dccd sync by-rclone --anew` says so"
    )
    sync(lake, other, NOW, Options(anew=True))
    assert why(purged(lake, backup, other, rules=TWO)) == found, "that did not make it another"
    carried = ShelfRemote("carried", dict(backup.files))
    sync(lake, carried, NOW, Options(anew=True))
    assert purged(lake, backup, carried, rules=TWO).gone[0].remotes == ("backup", "carried")


def test_links_to_one_file_are_one_copy(lake: LakeStore, tmp_path: Path) -> None:
    """bd7e0af: of ``cp -al`` each folder counted, with one file on one disk in both."""
    one, other = FolderRemote("one", tmp_path / "one"), FolderRemote("other", tmp_path / "other")
    sync(lake, one, NOW)
    (tmp_path / "other" / PATH).parent.mkdir(parents=True)
    (tmp_path / "other" / PATH).hardlink_to(tmp_path / "one" / PATH)
    (tmp_path / "other" / IDENTITY).write_bytes((tmp_path / "one" / IDENTITY).read_bytes())
    sync(lake, other, NOW, Options(anew=True))
    report = purged(lake, one, other, rules=TWO)
    assert why(report) == "1 verified copy of 2: other: what is there is the very file that one holds"
    assert lake.elsewhere(TRADES) == DAYS[1:]


def test_a_link_to_a_file_here_is_no_copy(lake: LakeStore, tmp_path: Path) -> None:
    remote = FolderRemote("nas", tmp_path / "nas")
    sync(lake, remote, NOW)
    (tmp_path / "nas" / PATH).unlink()
    (tmp_path / "nas" / PATH).symlink_to(lake.path(TRADES, DAY))
    assert "what is there is the very file that is here" in why(purged(lake, remote))
    assert lake.elsewhere(TRADES) == DAYS[1:]


def test_the_lake_by_another_way_is_no_copy_of_itself(lake: LakeStore, backup: ShelfRemote) -> None:
    """bd7e0af: by rclone, or a mount, it had every file, byte for byte, and other marks: all of it went."""
    backup.files[IDENTITY] = Path(lake.url, IDENTITY).read_bytes()
    assert "shelf://backup/ is this store itself: no place for a copy" in why(purged(lake, backup))
    assert lake.elsewhere(TRADES) == []


@pytest.mark.parametrize(
    ("told", "said"),
    [(None, "is no copy of this store"), ({"copy_of": "them"}, "is a copy of another store, them")],
)
def test_only_a_copy_of_this_store_counts(
    lake: LakeStore, backup: ShelfRemote, told: dict[str, str] | None, said: str
) -> None:
    del backup.files[IDENTITY]
    if told:
        backup.files[IDENTITY] = json.dumps({"format": 2, "id": "x", **told}).encode()
    assert said in why(purged(lake, backup))
    assert lake.elsewhere(TRADES) == []


def test_a_remote_that_fails_again_and_again_is_left_alone(lake: LakeStore, backup: ShelfRemote) -> None:
    """bd7e0af: one that hung was asked for each file: a purge of a thousand took days, and freed nothing."""
    asked = list[str]()

    class Hangs(ShelfRemote):
        def found(self, path: str) -> Found | None:
            asked.append(path)
            raise LakeError("no answer in a minute", hint="see to it")

    report = purged(lake, Hangs("backup", backup.files))
    assert len(asked) == 3
    assert why(report, DAYS[2]) == "0 verified copies of 1: backup: no answer in a minute -> see to it"
    assert "left alone after 3 failures: no answer in a minute" in why(report, DAYS[3])
    assert lake.elsewhere(TRADES) == []


def test_r7_what_is_damaged_stays_and_the_others_go(lake: LakeStore, backup: ShelfRemote) -> None:
    """36c92f8: one damaged file in the lake, whosever, and the purge failed before it freed anything."""
    other = Dataset.parse("nowhere/trades/BTC-USDT")
    strange = Path(lake.path(other, DAY))
    strange.parent.mkdir(parents=True)
    for file in (strange, Path(lake.path(TRADES, DAYS[1]))):
        file.write_bytes(b"nothing that could be read, but not short either")
    report = purged(lake, backup)
    assert [one.key for one in report.gone] == [DAYS[0], *DAYS[2:]]
    assert [(one.dataset, one.key) for one in report.kept] == [(TRADES, DAYS[1]), (other, DAY)]
    assert all("cannot be read" in one.why for one in report.kept)


def test_a_file_is_no_copy_of_itself(lake: LakeStore, tmp_path: Path) -> None:
    """A remote that is the lake's own folder by another way."""
    (tmp_path / "link").symlink_to(lake.url)
    assert "is this store itself" in why(purged(lake, FolderRemote("link", tmp_path / "link")))
    assert lake.elsewhere(TRADES) == []


def test_the_oldest_go_first_and_only_until_there_is_room(lake: LakeStore, backup: ShelfRemote) -> None:
    sizes = [lake.states(TRADES)[key].bytes for key in DAYS]
    report = purged(lake, backup, rules=Rules(keep_free=1_000_000), free=1_000_000 - sizes[0] - 1)
    assert ([one.key for one in report.gone], report.lacking) == (DAYS[:2], 0)
    assert [(one.key, one.why) for one in report.kept] == [(key, ROOM) for key in DAYS[2:]]
    assert purged(lake, backup, rules=Rules(keep_free=10), free=10).gone == []
    report = purged(lake, backup, rules=Rules(keep_free=1_000_000), free=0)
    assert (len(report.gone), report.lacking) == (2, 1_000_000 - sizes[2] - sizes[3])


def test_where_there_is_always_room_nothing_goes_for_want_of_it(lake: LakeStore, backup: ShelfRemote) -> None:
    assert purged(lake, backup, rules=Rules(keep_free=1), free=None).gone == []


def test_what_is_written_while_its_copies_are_asked_for_stays(lake: LakeStore, backup: ShelfRemote) -> None:
    class Slow(ShelfRemote):
        def sha256(self, path: str) -> str | None:
            if path == PATH:
                store(lake, numbered([9]))
            return super().sha256(path)

    assert why(purged(lake, Slow("backup", backup.files))) == "changed meanwhile"
    assert stored(lake).height == 6
