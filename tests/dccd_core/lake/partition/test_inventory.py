import errno
import json
import os
import shutil
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DamagedFile, LakeError
from dccd_core.domain.symbol import Symbol
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import StreamKey, data_path, manifest_path
from dccd_core.lake.partition import inventory
from dccd_core.lake.partition.ledger import Accepted, Hole, Ledger
from dccd_core.lake.partition.manifest import Entry, decode, encode
from dccd_core.lake.partition.parquet import State
from dccd_core.lake.store.folder import Folder
from dccd_core.lake.store.identity import IDENTITY
from dccd_core.lake.store.marks import Ending
from dccd_core.lake.store.memo import Memo
from dccd_core.tables import DataType
from tests.dccd_core.lake.samples import (
    DAY,
    SPAN,
    TRADES,
    Witness,
    asked,
    bringing,
    numbered,
    store,
    take_away,
    trades,
)

NS = 1_000_000_000
NEXT = "2024-02-01"
ETH = Dataset("binance", Symbol("ETH", "USDT"), DataType.TRADES)
KRAKEN = Dataset("kraken", Symbol("BTC", "USD"), DataType.TRADES)

States = dict[Dataset, dict[str, State]]


class Opened(list[str]):
    """The keys of the partitions whose footers were read, in no order."""

    def taken(self) -> list[str]:
        found = sorted(self)
        self.clear()
        return found


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    found, ending = Opened(), Folder.ending

    def watched(folder: Folder, path: str, size: int) -> Ending | None:
        if path != IDENTITY:
            found.append(path.rpartition("period=")[2].partition("/")[0])
        return ending(folder, path, size)

    monkeypatch.setattr(Folder, "ending", watched)
    return found


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a manifest be written for a single footer, and believe files however young they are."""
    monkeypatch.setattr(inventory, "_WORTH", 1)
    monkeypatch.setattr(inventory, "_SETTLED_NS", -1_000_000 * NS)


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    """Two days of one dataset, one of another, and one of another exchange."""
    lake = LakeStore(tmp_path / "lake")
    store(lake, numbered([1, 2]))
    store(lake, trades([]), key=NEXT)
    store(lake, numbered([3]), dataset=ETH)
    store(lake, numbered([4]), dataset=KRAKEN)
    return lake


def again(lake: LakeStore) -> LakeStore:
    """The same lake in another process."""
    return LakeStore(lake.url)


def manifest(lake: LakeStore, family: StreamKey | None = None) -> Path:
    return Path(lake.url) / manifest_path(family or StreamKey.of(TRADES))


def truth(lake: LakeStore) -> States:
    """What the footers say, one by one."""
    other = again(lake)
    found: States = {}
    for dataset in other.datasets():
        states = {key: other.state(dataset, key) for key in other.keys(dataset)}
        found[dataset] = {key: state for key, state in states.items() if state}
    return found


def test_all_partitions_of_all_datasets_are_told_in_order(lake: LakeStore) -> None:
    found = again(lake).inventory()
    assert found == truth(lake)
    assert [(str(dataset), [*states]) for dataset, states in found.items()] == [
        ("binance/trades/BTC-USDT", [DAY, NEXT]),
        ("binance/trades/ETH-USDT", [DAY]),
        ("kraken/trades/BTC-USD", [DAY]),
    ]


def test_those_of_some_datasets_are_told_of_each(lake: LakeStore) -> None:
    unknown = replace(TRADES, exchange="okx")
    found = lake.inventory([ETH, unknown, TRADES])
    assert {dataset: [*states] for dataset, states in found.items()} == {
        ETH: [DAY],
        unknown: [],
        TRADES: [DAY, NEXT],
    }
    assert lake.states(TRADES) == found[TRADES]


@pytest.mark.usefixtures("eager")
def test_a_footer_is_read_once(lake: LakeStore, opened: Opened) -> None:
    cold = again(lake).inventory()
    assert opened.taken() == [DAY, DAY, DAY, NEXT]
    warm = again(lake)
    assert warm.inventory() == cold == truth(lake)
    opened.clear()
    assert warm.inventory([ETH, KRAKEN])[ETH] == cold[ETH]
    assert again(lake).states(TRADES) == cold[TRADES]
    assert opened.taken() == []


def _moved(target: Path, body: bytes) -> None:
    draft = target.with_name("draft")
    draft.write_bytes(body)
    draft.replace(target)


def _in_place(target: Path, body: bytes) -> None:
    with target.open("r+b") as file:
        file.write(body)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("write", [_moved, _in_place])
def test_a_file_of_the_same_size_and_time_is_not_taken_for_the_one_before(
    lake: LakeStore, tmp_path: Path, write: Callable[[Path, bytes], None]
) -> None:
    """As one that came in the same second, or from a program that sets times back (``rsync -t``)."""
    cold = again(lake).inventory()
    other, file = LakeStore(tmp_path / "other"), Path(lake.path(TRADES, DAY))
    status = file.stat()
    prices = (trades([(1_000_000, "1", 1.0), (2_000_000, "2", float(price))]) for price in range(3, 99))
    bodies = (Path(store(other, rows).path).read_bytes() for rows in prices)
    body = next(body for body in bodies if len(body) == status.st_size)
    while file.stat().st_ctime_ns == status.st_ctime_ns:
        write(file, body)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_mtime_ns == status.st_mtime_ns
    warm = again(lake).inventory()
    assert warm == truth(lake)
    assert warm[TRADES][DAY].content_hash != cold[TRADES][DAY].content_hash


def _coarse(_: os.stat_result) -> str:
    """The mark of a file system of which the inode comes back, within one tick of its clock."""
    return "the same"


@pytest.mark.parametrize(
    ("later", "read"),
    [(-3_600 * NS, [DAY]), (0, [DAY]), (2 * NS, [DAY]), (3 * NS, [DAY]), (4 * NS, []), (10**9 * NS, [])],
)
def test_what_changed_just_now_is_not_believed(
    lake: LakeStore, opened: Opened, monkeypatch: pytest.MonkeyPatch, later: int, read: list[str]
) -> None:
    """Nor what changed in the future, as the clock was set back since: it is the clock of the disk."""
    Path(lake.path(TRADES, NEXT)).unlink()
    monkeypatch.setattr(inventory, "_WORTH", 1)
    monkeypatch.setattr("dccd_core.lake.store.folder.mark", _coarse)
    monkeypatch.setattr("dccd_core.lake.store.marks.mark", _coarse)
    ending = Folder(Path(lake.url)).ending(data_path(TRADES, DAY), 1)
    assert ending
    memo = Folder.memo

    @contextmanager
    def told(folder: Folder, path: str) -> Generator[Memo | None]:
        with memo(folder, path) as real:
            yield real and Memo(ending.changed + later, real.write)

    monkeypatch.setattr(Folder, "memo", told)
    again(lake).states(TRADES)
    opened.clear()
    again(lake).states(TRADES)
    assert opened.taken() == read
    store(lake, numbered([9]))
    assert (again(lake).states(TRADES) == truth(lake)[TRADES]) is bool(read)


@pytest.mark.usefixtures("eager")
def test_what_comes_and_goes_is_seen(lake: LakeStore, opened: Opened) -> None:
    again(lake).inventory()
    Path(lake.path(TRADES, NEXT)).unlink()
    shutil.rmtree(Path(lake.path(KRAKEN, DAY)).parents[2])
    store(lake, numbered([5, 6]))
    store(lake, trades([]), key="2024-02-02")
    opened.clear()
    found = again(lake).inventory()
    assert opened.taken() == [DAY, "2024-02-02"]
    assert found == truth(lake)
    assert {dataset: [*states] for dataset, states in found.items()} == {
        TRADES: [DAY, "2024-02-02"],
        ETH: [DAY],
    }
    opened.clear()
    assert again(lake).inventory() == found
    assert opened.taken() == []
    assert NEXT not in manifest(lake).read_text()


@pytest.mark.usefixtures("eager")
def test_a_file_that_is_cut_or_is_none_is_damaged_however_well_it_was_known(lake: LakeStore) -> None:
    again(lake).inventory()
    file = Path(lake.path(TRADES, DAY))
    whole = file.read_bytes()
    for body in (whole[:-1], b"", whole[:-100] + bytes(100)):
        file.write_bytes(body)
        with pytest.raises(DamagedFile, match=DAY):
            again(lake).inventory()
        with pytest.raises(DamagedFile, match=DAY):
            again(lake).states(TRADES)


@pytest.mark.usefixtures("eager")
def test_a_file_in_the_place_of_another_is_refused(lake: LakeStore) -> None:
    again(lake).inventory()
    Path(lake.path(ETH, DAY)).replace(lake.path(TRADES, DAY))
    for _ in range(2):
        with pytest.raises(LakeError, match="holds binance/trades/ETH-USDT/2024-01-31, not"):
            again(lake).inventory()


@pytest.mark.usefixtures("eager")
def test_the_manifest_of_another_store_says_nothing(lake: LakeStore, opened: Opened) -> None:
    again(lake).inventory()
    name = Path(lake.url) / IDENTITY
    name.write_text(json.dumps({"format": 2, "id": "another"}))
    opened.clear()
    assert again(lake).inventory() == truth(lake)
    assert opened.taken().count(NEXT) == 2  # by the inventory and by what is true
    again(lake).inventory()
    assert opened.taken() == []


@pytest.mark.usefixtures("eager")
def test_the_manifest_of_a_copy_says_nothing(lake: LakeStore, opened: Opened, tmp_path: Path) -> None:
    """All is the same in a copy, its name and the times of its files too; only they are other files."""
    again(lake).inventory()
    shutil.copytree(lake.url, tmp_path / "copy")
    copy = LakeStore(tmp_path / "copy")
    assert copy.identity() == lake.identity()
    store(copy, numbered([7, 8]))
    opened.clear()
    found = again(copy).inventory()
    assert opened.taken() == [DAY, DAY, DAY, NEXT]
    assert found == truth(copy)


DAMAGES: Mapping[str, Callable[[bytes], bytes]] = {
    "empty": lambda body: b"",
    "torn": lambda body: body[: len(body) // 2],
    "another format": lambda body: body.replace(b'"format":2', b'"format":3'),
    "a number": lambda body: body.replace(b'"rows":', b'"rows":1'),
    "longer": lambda body: body + b" ",
    "noise": lambda body: os.urandom(1_000),
}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_manifest_is_made_anew(
    lake: LakeStore, opened: Opened, damage: Callable[[bytes], bytes]
) -> None:
    again(lake).inventory()
    before = manifest(lake).read_bytes()
    manifest(lake).write_bytes(damage(before))
    assert manifest(lake).read_bytes() != before
    opened.clear()
    found = again(lake).inventory()
    assert opened.taken() == [DAY, DAY, NEXT]  # not that of Kraken: it has a manifest of its own
    assert found == truth(lake)
    assert manifest(lake).read_bytes() == before


@pytest.mark.usefixtures("eager")
def test_where_no_manifest_can_be_the_footers_say_it_all(lake: LakeStore) -> None:
    manifest(lake).mkdir(parents=True)
    assert again(lake).inventory() == again(lake).inventory() == truth(lake)
    assert manifest(lake).is_dir()


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("of", ["mkdir", "replace"])
def test_a_store_that_takes_no_manifest_is_read(
    lake: LakeStore, monkeypatch: pytest.MonkeyPatch, of: str, number: int
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(number, "no")

    monkeypatch.setattr(Path, of, refuse)
    assert again(lake).inventory() == truth(lake)
    assert not manifest(lake).exists()


@pytest.mark.usefixtures("eager")
def test_who_reads_makes_no_store(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path / "lake")
    assert (lake.inventory(), lake.states(TRADES), lake.all_known(TRADES)) == ({}, {}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("eager")
def test_a_store_without_a_place_for_it_gets_none(lake: LakeStore) -> None:
    """A copy of the partitions alone: who may write there is not for a reader to say."""
    shutil.rmtree(Path(lake.url) / ".dccd")
    assert again(lake).inventory() == truth(lake)
    assert not (Path(lake.url) / ".dccd").exists()


def test_of_a_few_partitions_nothing_is_written_down(lake: LakeStore) -> None:
    again(lake).inventory()
    assert not manifest(lake).exists()


def test_of_many_partitions_it_is(lake: LakeStore, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "_SETTLED_NS", -1_000_000 * NS)
    body = Path(store(lake, trades([]), dataset=ETH, key="2024-02-03").path).read_bytes()
    for day in range(40):
        key = (date(2024, 3, 1) + timedelta(day)).isoformat()
        file = Path(lake.path(ETH, key))
        file.parent.mkdir()
        file.write_bytes(body.replace(b"ETH-USDT/2024-02-03", f"ETH-USDT/{key}".encode()))
    again(lake).inventory()
    assert opened.taken().count("2024-03-31") == 1
    assert again(lake).inventory() == truth(lake)
    assert opened.taken().count("2024-03-31") == 1  # by what is true
    assert manifest(lake).exists()
    assert not manifest(lake, StreamKey.of(KRAKEN)).exists()


@pytest.mark.usefixtures("eager")
def test_what_goes_elsewhere_and_comes_back_is_seen_and_remembered(lake: LakeStore, opened: Opened) -> None:
    again(lake).inventory()
    body = take_away(lake)
    bringing(lake, {(TRADES, DAY): body})
    for elsewhere in (("backup",), ()):
        found = again(lake).inventory()
        assert found == truth(lake)
        assert found[TRADES][DAY].elsewhere == elsewhere
        opened.clear()
        assert again(lake).inventory() == found
        assert opened.taken() == []
        lake.fetch(TRADES, [DAY])


def test_a_file_that_goes_elsewhere_once_it_was_listed_is_told_by_its_record(
    lake: LakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending, bodies = Folder.ending, dict[str, bytes]()

    def first_it_goes(folder: Folder, path: str, size: int) -> Ending | None:
        if DAY in path and "BTC" in path and not bodies:
            bodies[path] = b""
            take_away(again(lake))
        return ending(folder, path, size)

    monkeypatch.setattr(Folder, "ending", first_it_goes)
    assert lake.states(TRADES)[DAY].elsewhere == ("backup",)


def test_a_file_that_comes_back_while_its_record_is_looked_for_is_told(
    lake: LakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, ending = lake.state(TRADES, DAY), Folder.ending
    body = take_away(lake)
    other = again(lake)
    bringing(other, {(TRADES, DAY): body})

    def first_it_comes_back(folder: Folder, path: str, size: int) -> Ending | None:
        if path.endswith("_held.json"):
            monkeypatch.setattr(Folder, "ending", ending)
            other.fetch(TRADES, [DAY])
        return ending(folder, path, size)

    monkeypatch.setattr(Folder, "ending", first_it_comes_back)
    assert lake.state(TRADES, DAY) == before


@pytest.mark.usefixtures("eager")
def test_what_is_read_of_one_dataset_leaves_the_others_in_it(lake: LakeStore, opened: Opened) -> None:
    again(lake).inventory([TRADES])
    again(lake).inventory([ETH])
    store(lake, numbered([8]))
    again(lake).states(TRADES)
    opened.clear()
    again(lake).inventory([TRADES, ETH])
    assert opened.taken() == []


@pytest.mark.usefixtures("eager")
def test_of_many_at_once_the_last_whole_one_stays(lake: LakeStore, opened: Opened) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(LakeStore.inventory, [again(lake) for _ in range(32)]))
    assert found == [truth(lake)] * 32
    assert sorted(path.name for path in manifest(lake).parent.iterdir()) == [manifest(lake).name]
    opened.clear()
    again(lake).inventory()
    assert opened.taken() == []


@pytest.mark.usefixtures("eager")
def test_one_lake_may_be_asked_by_many_threads(lake: LakeStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(LakeStore.inventory, [again(lake)] * 32)) == [truth(lake)] * 32


def _lying(lake: LakeStore, mark: str | None = None) -> None:
    """Let the manifest say what is not so, of the very files that are there."""
    again(lake).inventory()
    name = lake.identity() or ""
    entries = decode(manifest(lake).read_bytes(), name)
    lie = replace(lake.states(TRADES)[DAY], rows=7, content_hash="lie")
    known = entries["BTC-USDT"][DAY]
    entries["BTC-USDT"][DAY] = Entry.of(lie, known.mark if mark is None else mark)
    manifest(lake).write_bytes(encode(entries, name))


@pytest.mark.usefixtures("eager")
def test_a_verification_does_not_look_at_the_manifest(lake: LakeStore, opened: Opened) -> None:
    _lying(lake)
    other = again(lake)
    opened.clear()
    assert other.states(TRADES)[DAY].rows == 7  # so it is the manifest that speaks here
    assert opened.taken() == []
    for state in (other.verify(TRADES, DAY), other.state(TRADES, DAY), other.known(TRADES, DAY)):
        assert state
        assert (state.rows, state.content_hash) == (2, truth(lake)[TRADES][DAY].content_hash)
    assert store(other, numbered([3])).rows == 3


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("mark", ["", "1-2-3-4"])
def test_an_entry_with_another_mark_says_nothing(lake: LakeStore, mark: str) -> None:
    _lying(lake, mark)
    assert again(lake).inventory() == truth(lake)


@pytest.mark.usefixtures("eager")
def test_a_file_that_cannot_be_looked_at_is_never_remembered(lake: LakeStore, opened: Opened) -> None:
    file = Path(lake.path(TRADES, DAY))
    kept = file.rename(file.with_name("kept"))
    file.symlink_to("nowhere")
    for _ in range(2):
        opened.clear()
        assert [*again(lake).states(TRADES)] == [NEXT]
        assert DAY in opened.taken()
    kept.replace(file)
    assert again(lake).inventory() == truth(lake)


@pytest.mark.usefixtures("eager")
def test_what_was_accepted_is_not_remembered(lake: LakeStore) -> None:
    """It is of a configuration: without it a gap is a gap again."""

    class Missing(Witness):
        def assess(self, ledger: Ledger) -> Ledger:
            return replace(ledger, holes=(Hole(SPAN, 1),))

    with lake.draft(TRADES, DAY) as draft:
        draft.commit([asked(at=5)], Missing)
    accepting = LakeStore(lake.url, accepted={str(TRADES): [Accepted(SPAN, "known")]})
    for _ in range(2):
        assert accepting.states(TRADES)[DAY].ledger.gaps() == ()
        assert len(again(lake).states(TRADES)[DAY].ledger.gaps()) == 1


@pytest.mark.usefixtures("eager")
def test_what_tail_and_file_know_together_is_told_of_all_from_the_manifest(
    lake: LakeStore, opened: Opened
) -> None:
    again(lake).inventory()
    opened.clear()
    known = again(lake).all_known(TRADES)
    assert opened.taken() == []
    assert known == truth(lake)[TRADES]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["store", "store", "remove", "touch", "swap", "tear", "look", "look"]),
        st.sampled_from([TRADES, ETH]),
        st.sampled_from([DAY, NEXT]),
    ),
    max_size=12,
)


@pytest.mark.usefixtures("eager")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_happens_it_tells_what_the_footers_say(
    steps: list[tuple[str, Dataset, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lake = LakeStore(tmp_path_factory.mktemp("lake"))
    long = again(lake)
    for number, (step, dataset, key) in enumerate(steps):
        file = Path(lake.path(dataset, key))
        if step == "store":
            rows = numbered(range(number + 1)) if key == DAY else trades([])
            store(lake, rows, dataset=dataset, key=key, at=number)
        elif step == "remove":
            file.unlink(missing_ok=True)
        elif step == "touch" and file.exists():
            os.utime(file, ns=(number, number))
        elif step == "swap" and file.exists():
            file.with_name("copy").write_bytes(file.read_bytes())
            file.with_name("copy").replace(file)
        elif step == "tear" and manifest(lake).exists():
            manifest(lake).write_bytes(manifest(lake).read_bytes()[: -number - 1])
        elif step == "look":
            assert again(lake).inventory() == truth(lake)
        assert long.inventory([dataset])[dataset] == truth(lake).get(dataset, {})
    assert again(lake).inventory() == long.inventory() == truth(lake)
