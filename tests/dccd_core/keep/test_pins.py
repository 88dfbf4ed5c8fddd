"""A pin is what the lake was: whatever becomes of it, and told apart from what it became."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pytest
from botocore.exceptions import ClientError
from polars.testing import assert_frame_equal

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import ConfigError, DamagedFile, LakeError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY as ONE_DAY
from dccd_core.domain.timespan import TimeRange, Us, parse_time
from dccd_core.keep import views
from dccd_core.keep.pins import Pin, Pins
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import data_path
from dccd_core.lake.partition.parquet import State
from dccd_core.lake.store.folder import Stored, rewrite
from tests.buckets import own_bucket, s3_server
from tests.dccd_core.lake.samples import DAY, TRADES, Witness, asked, numbered, record, store, take_away

NEXT = "2024-02-01"
ETH = replace(TRADES, symbol=Symbol("ETH", "USDT"))
NOW = parse_time("2024-03-01")
Part = tuple[Dataset, str]


def no_tail(dataset: Dataset) -> None:
    raise AssertionError(dataset)


def rows(ids: range, key: str = DAY) -> pl.DataFrame:
    days = (partition_span(TRADES.grain, key).start - partition_span(TRADES.grain, DAY).start) // ONE_DAY
    return numbered(ids).with_columns(pl.col("ts") + pl.duration(days=days))


def fill(lake: LakeStore) -> LakeStore:
    """Two days of one symbol, a day of another."""
    store(lake, rows(range(10)))
    store(lake, rows(range(5), NEXT), key=NEXT)
    store(lake, rows(range(7)), dataset=ETH)
    return lake


def cut_short(lake: LakeStore, path: str) -> None:
    def fill(file: BinaryIO, stored: Stored | None) -> tuple[None, bool]:
        assert stored is not None
        file.write(stored.file.read()[:-4])
        return None, True

    rewrite(lake.store, path, fill)


def make(lake: LakeStore, name: str = "one", *datasets: Dataset, wanted: TimeRange | None = None) -> Pin:
    return Pins(lake).make(name, datasets, wanted, no_tail, NOW)


def opened(lake: LakeStore, name: str = "one") -> LakeStore:
    return LakeStore(Pins(lake).url(name))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LakeStore:
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    return fill(LakeStore(f"s3://{own_bucket(endpoint, monkeypatch)}/some/lake"))


@pytest.fixture
def folder(tmp_path: Path) -> LakeStore:
    return fill(LakeStore(tmp_path / "lake"))


@pytest.fixture(params=["folder", "bucket"])
def lake(request: pytest.FixtureRequest) -> LakeStore:
    return request.getfixturevalue(request.param)


def test_a_pin_holds_what_the_lake_held(lake: LakeStore) -> None:
    pin = make(lake)
    assert (len(pin.files), pin.rows, pin.datasets) == (3, 22, [TRADES, ETH])
    assert (pin.of, pin.made, pin.wanted) == (lake.identity(), NOW, None)
    assert pin == Pins(lake).find("one")
    view = opened(lake)
    assert view.datasets() == lake.datasets()
    for dataset in (TRADES, ETH):
        assert_frame_equal(view.scan(dataset).collect(), lake.scan(dataset).collect())
        before, now = (one.states(dataset) for one in (lake, view))
        assert [replace(one, path="") for one in before.values()] == [
            replace(one, path="") for one in now.values()
        ]
    assert view.identity() not in (None, lake.identity())


def test_a_pin_is_in_no_listing_of_the_lake(lake: LakeStore) -> None:
    before = lake.inventory()
    make(lake)
    assert lake.datasets() == [TRADES, ETH]
    after = lake.inventory()
    assert after == before


def test_a_pin_stays_as_it_is(lake: LakeStore) -> None:
    make(lake)
    before = {dataset: opened(lake).scan(dataset).collect() for dataset in (TRADES, ETH)}
    store(lake, rows(range(8, 20)), at=2)
    store(lake, rows(range(2)).with_columns(price=pl.lit(99.0)), dataset=ETH, at=2)
    for dataset, was in before.items():
        assert_frame_equal(opened(lake).scan(dataset).collect(), was)
    verdict = Pins(lake).verify("one")
    assert verdict.damage == []
    assert verdict.changes == {
        (TRADES, DAY): "10 rows were pinned, the lake has 20",
        (ETH, DAY): "as many rows, 7, but others",
    }
    assert (verdict.same, verdict.new) == (1, [])


def test_what_changed_in_the_lake_is_told_by_partition(folder: LakeStore) -> None:
    make(folder)
    with folder.draft(TRADES, DAY) as draft:
        draft.commit([asked(at=9)], Witness)
    Path(folder.path(TRADES, NEXT)).unlink()
    store(folder, rows(range(3), "2024-02-02"), key="2024-02-02")
    verdict = Pins(folder).verify("one")
    assert verdict.damage == []
    said = "the same rows; more, or other things, are known of what was asked for and is missing"
    assert verdict.changes == {(TRADES, DAY): said, (TRADES, NEXT): "the lake has it no more"}
    assert verdict.new == [(TRADES, "2024-02-02")]
    assert verdict.same == 1


def test_of_a_time_whole_partitions_are_pinned(lake: LakeStore) -> None:
    wanted = TimeRange(parse_time("2024-02-01T12:00"), parse_time("2024-02-03"))
    pin = make(lake, "late", TRADES, wanted=wanted)
    assert [*pin.files] == [(TRADES, NEXT)]
    assert pin.wanted == wanted
    assert opened(lake, "late").scan(TRADES).collect().height == 5
    store(lake, rows(range(3), "2024-02-02"), key="2024-02-02")
    store(lake, rows(range(3), "2024-02-03"), key="2024-02-03")
    assert Pins(lake).verify("late").new == [(TRADES, "2024-02-02")]


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "-x", "a b", "x" * 101])
def test_a_name_that_is_none_is_refused(folder: LakeStore, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a pin"):
        make(folder, name)
    with pytest.raises(ConfigError, match="cannot be the name of a pin"):
        Pins(folder).drop(name, NOW)


def test_what_cannot_be_pinned_is_an_error_that_says_why(folder: LakeStore, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"holds nothing of binance/trades/BTC-EUR.*did you mean .*BTC-USDT"
    ):
        make(folder, "one", Dataset.parse("binance/trades/BTC-EUR"))
    with pytest.raises(ConfigError, match="no partition is stored from 2030-01-01T00:00:00Z until 2031-"):
        make(folder, wanted=TimeRange(parse_time("2030-01-01"), parse_time("2031-01-01")))
    with pytest.raises(ConfigError, match="there is nothing at all in"):
        make(LakeStore(tmp_path / "empty"))
    assert Pins(folder).names() == []


def test_two_pins_of_one_name_are_refused(lake: LakeStore) -> None:
    first = make(lake)
    with pytest.raises(ConfigError, match="there is a pin one already, and a pin never changes"):
        make(lake)
    assert Pins(lake).find("one") == first


def test_a_pin_of_a_pin_is_refused(lake: LakeStore) -> None:
    make(lake)
    with pytest.raises(ConfigError, match=r"/pins/one is a pin, and a pin has no pins"):
        make(opened(lake), "two")


def test_nothing_is_written_to_a_pin(lake: LakeStore) -> None:
    make(lake)
    before, view = Pins(lake).find("one"), opened(lake)
    with pytest.raises(LakeError, match="the store is a pin, which never changes"):
        store(view, rows(range(20)))
    with pytest.raises(LakeError, match="the store is a pin, which never changes"):
        view.quarantine(TRADES, DAY, rows(range(1)).with_columns(reason=pl.lit("a test")))
    with pytest.raises(LakeError, match="the store is a pin, which never changes"):
        view.segment("binance", TRADES.data_type, None, Us(1))
    with pytest.raises(LakeError, match="the store is a pin, which never changes"):
        view.tail(TRADES).append(rows(range(1)), {}, Us(1))
    with pytest.raises(LakeError, match="the store is a pin, which never changes"):
        view.set_aside(TRADES, DAY, rows(range(1)).with_columns(reason=pl.lit("a test")))
    assert Pins(lake).verify("one").damage == []
    assert Pins(lake).find("one") == before


def test_a_pin_that_is_not_there_is_an_error_that_names_the_nearest(lake: LakeStore) -> None:
    with pytest.raises(ConfigError, match="has no pin papr-1 -> make one: dccd pin NAME"):
        Pins(lake).url("papr-1")
    make(lake, "paper-1")
    for ask in (Pins(lake).url, Pins(lake).find, Pins(lake).verify):
        with pytest.raises(ConfigError, match="has no pin papr-1 -> did you mean paper-1"):
            ask("papr-1")
    with pytest.raises(ConfigError, match="has no pin papr-1"):
        Pins(lake).drop("papr-1", NOW)


def test_a_dropped_pin_is_gone_and_the_lake_is_not(lake: LakeStore) -> None:
    make(lake)
    make(lake, "two")
    Pins(lake).drop("one", NOW)
    assert Pins(lake).names() == ["two"]
    assert Pins(lake).verify("two").damage == []
    assert lake.verify(TRADES, DAY)
    again = make(lake)
    assert len(again.files) == 3


def test_the_tail_is_folded_before_it_is_pinned(folder: LakeStore) -> None:
    record(folder, rows(range(10, 12)).with_columns(symbol=pl.lit("BTC/USDT")))
    folded = list[Dataset]()

    def fold(dataset: Dataset) -> None:
        folded.append(dataset)
        if dataset == TRADES:
            store(folder, rows(range(10, 12)), at=2)

    pin = Pins(folder).make("one", [TRADES], None, fold, NOW)
    assert folded == [TRADES]
    assert pin.files[TRADES, DAY].rows == 12


def test_a_partition_that_is_replaced_meanwhile_is_pinned_as_it_is_then(
    lake: LakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mark is another one than that which was listed; a service refuses to copy it by the old one."""
    real, kind = Pins._marks, list[State]()  # pyright: ignore[reportPrivateUsage]

    def listed_too_early(pins: Pins, datasets: list[Dataset], wanted: TimeRange | None) -> dict[str, str]:
        marks = real(pins, datasets, wanted)
        kind.append(store(lake, rows(range(8, 30)), at=2))
        return marks

    monkeypatch.setattr(Pins, "_marks", listed_too_early)
    pin = make(lake)
    assert pin.files[TRADES, DAY].content_hash == kind[0].content_hash
    assert Pins(lake).verify("one").changes == {}


def test_a_partition_that_goes_meanwhile_is_an_error_and_no_pin(
    folder: LakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Pins._marks  # pyright: ignore[reportPrivateUsage]

    def listed_too_early(pins: Pins, datasets: list[Dataset], wanted: TimeRange | None) -> dict[str, str]:
        marks = real(pins, datasets, wanted)
        Path(folder.path(TRADES, NEXT)).unlink()
        return marks

    monkeypatch.setattr(Pins, "_marks", listed_too_early)
    with pytest.raises(LakeError, match=r"period=2024-02-01.* was removed while it was to be pinned"):
        make(folder)
    assert Pins(folder).names() == []


def test_a_partition_that_is_held_elsewhere_only_is_named(folder: LakeStore) -> None:
    take_away(folder, NEXT)
    said = f"{TRADES} {NEXT}: held elsewhere only, and a pin needs the files; nothing is pinned"
    with pytest.raises(LakeError, match=f"{said} -> .*dccd restore"):
        make(folder)
    early = TimeRange(Us(0), parse_time(NEXT))
    assert len(make(folder, wanted=early).files) == 2


def test_what_is_taken_away_later_stays_in_the_pin(folder: LakeStore) -> None:
    make(folder)
    take_away(folder, NEXT)
    verdict = Pins(folder).verify("one")
    assert verdict.damage == []
    assert verdict.changes == {(TRADES, NEXT): "the lake holds it elsewhere only (backup)"}
    assert verdict.new == []
    assert opened(folder).scan(TRADES).collect().height == 15


def test_bytes_that_a_pin_holds_are_not_freed_with_the_file(folder: LakeStore) -> None:
    path = folder.path(TRADES, DAY)
    assert not folder.is_held_by_others(TRADES, DAY)
    make(folder, "one", TRADES)
    assert folder.is_held_by_others(TRADES, DAY)
    assert not folder.is_held_by_others(ETH, DAY)
    assert Pins(folder).own_bytes("one") == 0
    size = Path(path).stat().st_size
    store(folder, rows(range(8, 20)), at=2)
    assert not folder.is_held_by_others(TRADES, DAY)
    assert Pins(folder).own_bytes("one") == size
    assert Pins(folder).drop("one", NOW) == size


def test_damage_to_a_pin_is_found_and_named(folder: LakeStore) -> None:
    pin = make(folder)
    files = {part: Path(pin.url, data_path(*part)) for part in pin.files}
    files[TRADES, DAY].chmod(0o644)
    body = bytearray(files[TRADES, DAY].read_bytes())
    body[100] ^= 1
    files[TRADES, DAY].write_bytes(body)
    files[TRADES, NEXT].unlink()
    files[ETH, DAY].unlink()
    store(folder, rows(range(3)), dataset=ETH, at=2)
    os.link(folder.path(ETH, DAY), files[ETH, DAY])
    stranger = Path(pin.url, data_path(ETH, NEXT))
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"whatever")
    damage = Pins(folder).verify("one").damage
    assert len(damage) == 4
    assert damage[0].startswith(f"{TRADES} {DAY}: {files[TRADES, DAY]}")
    assert damage[1] == f"{TRADES} {NEXT}: its file is gone from the pin"
    assert damage[2] == f"{ETH} {DAY}: its file is another one than was pinned"
    assert damage[3] == f"{ETH} {NEXT}: it was not pinned, and is there"


def test_what_is_damaged_in_the_lake_is_named_as_it_is_there_all_of_it(lake: LakeStore) -> None:
    places = [(TRADES, DAY), (ETH, DAY)]
    for place in places:
        cut_short(lake, data_path(*place))
    with pytest.raises(DamagedFile) as caught:
        make(lake)
    said = str(caught.value)
    for dataset, key in places:
        assert f"{dataset} {key}: {lake.path(dataset, key)} cannot be read: " in said
    assert "/pins/" not in said
    assert said.endswith("; nothing is pinned -> mend it first: dccd verify --repair; or pin other datasets")
    assert Pins(lake).names() == []


def test_a_file_of_another_partition_is_named_by_its_place_in_the_lake(folder: LakeStore) -> None:
    Path(folder.path(TRADES, DAY)).write_bytes(Path(folder.path(ETH, DAY)).read_bytes())
    with pytest.raises(LakeError) as caught:
        make(folder)
    assert str(caught.value).startswith(f"{folder.path(TRADES, DAY)} holds ")
    assert Pins(folder).names() == []


@pytest.mark.parametrize("body", [None, b"", b"{", b'{"format": 1}'])
def test_a_damaged_manifest_is_said_and_the_rows_are_read_all_the_same(
    folder: LakeStore, body: bytes | None
) -> None:
    manifest = Path(make(folder).url, "pin.json")
    manifest.unlink()
    if body is not None:
        manifest.write_bytes(body)
    with pytest.raises(DamagedFile, match=r"pin\.json is"):
        Pins(folder).verify("one")
    assert opened(folder).scan(TRADES).collect().height == 15
    Pins(folder).drop("one", NOW)
    assert Pins(folder).names() == []


def test_a_manifest_of_a_later_format_is_refused(folder: LakeStore) -> None:
    manifest = Path(make(folder).url, "pin.json")
    later = json.loads(manifest.read_text()) | {"format": 2}
    manifest.unlink()
    manifest.write_text(json.dumps(later))
    with pytest.raises(LakeError, match="has format 2, not 1 -> update dccd"):
        Pins(folder).find("one")


def test_the_manifest_is_a_line_for_each_file_and_one_hash_tells_two_pins_apart(folder: LakeStore) -> None:
    first, second = make(folder), make(folder, "two")
    lines = Path(first.url, "pin.json").read_text().splitlines()
    assert len(lines) == 3 + 2
    told = json.loads("\n".join(lines))
    assert told["files"][0]["content_hash"] == first.files[TRADES, DAY].content_hash
    assert told["files"][0]["ledger"]["asked"][0]["rows"] == 10
    assert first.hash == second.hash
    store(folder, rows(range(20)), at=2)
    assert make(folder, "three").hash != first.hash


def objects(lake: LakeStore) -> list[str]:
    found = lake.store.objects()
    assert found is not None
    return found.names("pins")


def test_a_copy_is_asked_for_by_the_etag_of_what_was_listed(
    bucket: LakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """moto takes no notice of the condition, so what is sent is looked at, and refused once."""
    client: Any = getattr(bucket.store, "_client")  # noqa: B009 -- what is sent is seen nowhere else
    sent, real = list[str](), client.copy_object

    def refusing(**told: str) -> object:
        sent.append(told["CopySourceIfMatch"])
        if len(sent) == 1:
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "CopyObject")
        return real(**told)

    monkeypatch.setattr(client, "copy_object", refusing)
    assert len(make(bucket).files) == 3
    assert len(sent) == 4
    marks = bucket.store.marks("trades")
    assert {*sent} == {f'"{mark.rpartition("-")[0]}"' for mark in marks.values()}


def test_half_a_pin_in_a_bucket_is_none_and_the_next_command_removes_it(
    bucket: LakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after kill -9: nothing of what would be removed in the end is."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(views._Copies, "keep", die)  # pyright: ignore[reportPrivateUsage]
        patch.setattr(views.BucketViews, "_remove", die)
        with pytest.raises(KeyboardInterrupt):
            make(bucket)
    assert len(objects(bucket)) == 4
    assert Pins(bucket).names() == []
    with pytest.raises(ConfigError, match="has no pin one"):
        Pins(bucket).find("one")
    make(bucket, "two", ETH)
    assert [path for path in objects(bucket) if "/two/" not in path] == []


def test_a_pin_that_another_machine_makes_is_left_alone(
    bucket: LakeStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = ExitStack()
    with monkeypatch.context() as patch:
        patch.setattr(views.platform, "node", lambda: "other")
        patch.setenv("DCCD_STATE_DIR", str(tmp_path / "other"))
        view = other.enter_context(views.views_of(bucket.store).making("one", NOW))
        view.hold(bucket.store.marks("trades"))
    with pytest.raises(LakeError, match=r"other has been making the pin one since 2024-03-01.*--drop one"):
        make(bucket)
    assert len(objects(bucket)) == 4
    later = datetime(2024, 3, 3, tzinfo=UTC)
    Pins(bucket).make("one", [], None, no_tail, Us(int(later.timestamp()) * 1_000_000))
    with pytest.raises(LakeError, match="was dropped while it was made"), other:
        view.keep(b"", b"")
    assert Pins(bucket).verify("one").damage == []
