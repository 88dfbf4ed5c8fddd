"""The same lake in a bucket, against moto's server on 127.0.0.1."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import boto3
import polars as pl
import pytest
from botocore.exceptions import ClientError
from polars.testing import assert_frame_equal

from dccd_core.api.lake import Lake
from dccd_core.domain.errors import ConfigError, DamagedFile, LakeError
from dccd_core.domain.timespan import Us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import StreamKey, manifest_path
from dccd_core.lake.partition import inventory
from dccd_core.lake.partition.ledger import Answer, Ledger
from dccd_core.lake.store import bucket as bucket_module
from dccd_core.lake.store.bucket import Bucket
from dccd_core.lake.store.folder import Stored
from dccd_core.lake.store.identity import IDENTITY, ensure_identity, identity
from dccd_core.lake.store.marks import Ending
from dccd_core.lake.store.opening import open_store
from dccd_core.lake.store.s3 import S3Keys
from dccd_core.tables import DataType
from tests.buckets import STRANGERS, own_bucket, s3_client, s3_server, strange_server
from tests.dccd_core.lake.samples import (
    DAY,
    SPAN,
    TRADES,
    Witness,
    asked,
    bringing,
    live,
    many,
    numbered,
    record,
    store,
    stored,
    take_away,
    trades,
)

KEY = "some/lake/trades/exchange=binance/symbol=BTC-USDT/period=2024-01-31/data.parquet"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def lake(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> LakeStore:
    """A lake in a bucket of its own."""
    return LakeStore(f"s3://{own_bucket(endpoint, monkeypatch)}/some/lake/")


def bucket_of(lake: LakeStore) -> str:
    return lake.path(TRADES, DAY).split("/")[2]


def keys(lake: LakeStore) -> list[str]:
    answer = boto3.client("s3").list_objects_v2(Bucket=bucket_of(lake))
    found = [item.get("Key", "") for item in answer.get("Contents", [])]
    return [key for key in found if not key.endswith(IDENTITY)]


def test_a_bucket_gets_one_name_from_many_first_writers(lake: LakeStore) -> None:
    assert lake.identity() is None
    stores = [open_store(f"s3://{bucket_of(lake)}/some/lake/") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(ensure_identity, stores))
    assert names == {lake.identity()}


def test_what_is_committed_is_there_and_nothing_else(lake: LakeStore) -> None:
    assert lake.state(TRADES, DAY) is None
    store(lake, numbered([1, 3]))
    state = store(lake, numbered([2]))
    assert_frame_equal(stored(lake), numbered([1, 2, 3]))
    assert state == lake.state(TRADES, DAY) == lake.verify(TRADES, DAY) == lake.states(TRADES)[DAY]
    assert state.path == f"s3://{bucket_of(lake)}/{KEY}"
    assert lake.datasets() == [TRADES]
    assert keys(lake) == [KEY]


def test_a_bucket_may_be_the_lake_itself(lake: LakeStore) -> None:
    whole = LakeStore(f"s3://{bucket_of(lake)}")
    store(whole, numbered([1]))
    assert keys(lake) == [KEY.removeprefix("some/lake/")]
    assert whole.datasets() == [TRADES]


def test_a_draft_that_is_not_committed_leaves_nothing_behind(lake: LakeStore) -> None:
    with lake.draft(TRADES, DAY) as draft:
        draft.append(many(0, 200_000))
    assert keys(lake) == []


def test_it_is_scanned_in_place(lake: LakeStore) -> None:
    store(lake, numbered(range(10)))
    rows = lake.scan(TRADES, SPAN).filter(pl.col("price") > 7).select("trade_id").collect()
    assert rows["trade_id"].to_list() == ["8", "9"]


def test_what_is_live_on_this_machine_is_scanned_with_it_and_folded_into_it(
    lake: LakeStore, tmp_path: Path
) -> None:
    store(lake, numbered(range(4)))
    here = LakeStore(f"s3://{bucket_of(lake)}/some/lake", live=tmp_path)
    record(here, live(numbered([2, 3, 4, 5])))
    assert_frame_equal(here.scan(TRADES).collect().drop("received"), numbered(range(6)).drop("received"))
    assert_frame_equal(lake.scan(TRADES).collect(), numbered(range(4)))
    with here.harvest("binance", DataType.TRADES) as harvest, here.draft(TRADES, DAY) as draft:
        for rows in harvest.rows(TRADES, DAY):
            draft.append(rows)
        draft.commit([asked()], Witness)
        harvest.done()
    assert here.segments() == []
    assert_frame_equal(stored(lake).drop("received"), numbered(range(6)).drop("received"))
    assert keys(lake) == [KEY]


def test_a_tick_is_one_object_that_every_machine_sees_and_may_fold(lake: LakeStore, tmp_path: Path) -> None:
    store(lake, numbered(range(4)), at=1)
    here, there = (LakeStore(f"s3://{bucket_of(lake)}/some/lake", live=tmp_path / name) for name in "ab")
    answer = Answer((asked(at=5, rows=2),))
    here.tail(TRADES).append(live(numbered([4, 5])), {"BTC/USDT": [answer]}, Us(5))
    assert len(keys(lake)) == 2
    assert there.scan(TRADES).collect().height == 6
    state = there.known(TRADES, DAY)
    assert state
    assert (state.unfolded, state.ledger.asked[0].at, state.ledger.requests) == (2, 5, 2)
    with there.harvest("binance", DataType.TRADES) as harvest, there.draft(TRADES, DAY) as draft:
        assert harvest.answers(TRADES, DAY) == [answer]
        for rows in harvest.rows(TRADES, DAY):
            draft.append(rows)
        draft.commit(answer.asked, Witness)
        harvest.done()
    assert keys(lake) == [KEY]
    assert here.scan(TRADES).collect().height == 6
    assert here.known(TRADES, DAY) == lake.state(TRADES, DAY)


class Hasty(Witness):
    """Lets another writer in while the verdict is being made, twice."""

    def __init__(self, lake: LakeStore, rivals: list[pl.DataFrame]) -> None:
        super().__init__()
        self._lake = lake
        self._rivals = rivals

    def assess(self, ledger: Ledger) -> Ledger:
        if self._rivals:
            store(self._lake, self._rivals.pop())
        return ledger


@pytest.mark.parametrize("held", [[], [1]])
def test_a_writer_that_loses_the_race_merges_again(lake: LakeStore, held: list[int]) -> None:
    if held:
        store(lake, numbered(held))
    rivals = [numbered([2]), numbered([4])]
    with lake.draft(TRADES, DAY) as draft:
        draft.append(numbered([3]))
        state = draft.commit([asked()], lambda: Hasty(lake, rivals))
    assert not rivals
    assert stored(lake)["trade_id"].to_list() == [str(n) for n in [*held, 2, 3, 4]]
    assert state.ledger.requests == 3 + len(held)


def test_quarantine_is_kept_beside_the_partition(lake: LakeStore) -> None:
    rows = numbered([1, 2]).with_columns(reason=pl.lit("bad"))
    assert lake.quarantine(TRADES, DAY, rows) == 2
    lake.set_aside(TRADES, DAY, rows.tail(1))
    lake.set_aside(TRADES, DAY, rows)
    assert lake.quarantine(TRADES, DAY, rows.head(1)) == 2
    assert_frame_equal(lake.quarantined(TRADES, DAY).sort("ts", "trade_id"), rows)
    assert store(lake, numbered([3])).ledger.quarantined == 2


@pytest.mark.parametrize("body", [b"", b"no parquet at all"])
def test_a_damaged_object_is_an_error(lake: LakeStore, body: bytes) -> None:
    store(lake, numbered([0]))
    boto3.client("s3").put_object(Bucket=bucket_of(lake), Key=KEY, Body=body)
    for read in (
        lambda: lake.state(TRADES, DAY),
        lambda: list(lake.chunks(TRADES, DAY)),
        lambda: lake.scan(TRADES).collect(),
        lambda: store(lake, numbered([1])),
    ):
        with pytest.raises(DamagedFile, match="s3://bucket"):
            read()


@pytest.mark.usefixtures("lake")
def test_a_store_that_refuses_is_an_error_that_says_what_to_check() -> None:
    nowhere = LakeStore("s3://no-such-bucket/lake")
    for use in (
        lambda: nowhere.state(TRADES, DAY),
        lambda: nowhere.states(TRADES),
        lambda: list(nowhere.chunks(TRADES, DAY)),
        lambda: store(nowhere, numbered([1])),
    ):
        with pytest.raises(LakeError, match=r"no-such-bucket.*check bucket, credentials"):
            use()


@pytest.mark.parametrize("name", STRANGERS)
def test_what_speaks_no_s3_is_an_error_and_no_empty_lake(name: str) -> None:
    """bd7e0af: a login page was an empty listing; of an object without an ETag came `KeyError`."""
    with strange_server(STRANGERS[name]) as address:
        bucket = Bucket("s3://bucket/lake", s3_client(address))
        for use in (
            lambda: bucket.find("trades"),
            lambda: bucket.marks("trades"),
            lambda: bucket.first("trades"),
            lambda: bucket.open(KEY).__enter__(),
            lambda: bucket.swap(BytesIO(b"x"), KEY, None),
            lambda: bucket.hold(KEY, Stored(BytesIO(), "tag"), RECORD, b"{}"),
            lambda: identity(bucket),
        ):
            with pytest.raises((LakeError, DamagedFile), match="s3://bucket"):
                use()


RECORD = KEY.replace("data.parquet", "_held.json")


def test_what_is_taken_away_is_known_and_comes_back(lake: LakeStore) -> None:
    before = store(lake, numbered(range(5)))
    brought = bringing(lake, {(TRADES, DAY): take_away(lake)})
    assert keys(lake) == [RECORD]
    held = lake.state(TRADES, DAY)
    assert held
    assert (held.elsewhere, held.content_hash) == (("backup",), before.content_hash)
    assert lake.states(TRADES) == {DAY: held}
    assert (lake.datasets(), lake.keys(TRADES), lake.elsewhere(TRADES)) == ([TRADES], [DAY], [DAY])
    assert_frame_equal(lake.scan(TRADES).collect(), numbered(range(5)))
    assert (lake.state(TRADES, DAY), keys(lake), brought) == (before, [KEY], [DAY])
    assert not lake.is_held_by_others(TRADES, DAY)


def test_late_rows_are_united_with_what_is_elsewhere(lake: LakeStore) -> None:
    store(lake, numbered([1]))
    bringing(lake, {(TRADES, DAY): take_away(lake)})
    assert store(lake, numbered([2])).rows == 2
    assert keys(lake) == [KEY]


def test_what_changed_while_it_is_taken_away_stays(lake: LakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the record and the removal, too: no lock keeps writers out of a bucket."""
    store(lake, numbered([1]))
    removed = Bucket.remove

    def first_somebody_writes(bucket: Bucket, path: str, over: Stored | None = None) -> bool:
        monkeypatch.setattr(Bucket, "remove", removed)
        store(lake, numbered([2]))
        return removed(bucket, path, over)

    monkeypatch.setattr(Bucket, "remove", first_somebody_writes)
    with pytest.raises(AssertionError):
        take_away(lake)
    assert_frame_equal(stored(lake), numbered([1, 2]))
    assert keys(lake) == [KEY]


def test_what_is_taken_away_twice_at_once_has_a_record(
    lake: LakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(lake, numbered([1]))
    removed = Bucket.remove

    def first_somebody_else_does(bucket: Bucket, path: str, over: Stored | None = None) -> bool:
        monkeypatch.setattr(Bucket, "remove", removed)
        take_away(lake, nonce="second")
        return removed(bucket, path, over)

    monkeypatch.setattr(Bucket, "remove", first_somebody_else_does)
    with pytest.raises(AssertionError):
        take_away(lake, nonce="first")
    assert lake.held(TRADES, DAY)
    assert keys(lake) == [RECORD]


def test_a_record_of_what_was_taken_away_since_stays(lake: LakeStore) -> None:
    store(lake, numbered([1]))
    body = take_away(lake, nonce="first")

    def slowly(file: BinaryIO) -> None:
        lake.put_back(TRADES, DAY, lambda file: file.write(body))
        take_away(lake, nonce="second")
        file.write(body)

    lake.put_back(TRADES, DAY, slowly)
    held = lake.held(TRADES, DAY)
    assert held
    assert held.nonce == "second"


class Wrapped:
    """A service that differs from S3 in how it treats a write's preconditions."""

    def __init__(self, client: Any, kind: str) -> None:
        self._client = client
        self._kind = kind

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def delete_object(self, **removed: Any) -> Any:
        if self._kind in ("both", "delete"):
            removed.pop("IfMatch", None)
        if self._kind == "no delete" and "IfMatch" in removed:
            raise ClientError({"Error": {"Code": "NotImplemented"}}, "DeleteObject")
        return self._client.delete_object(**removed)

    def put_object(self, **put: Any) -> Any:
        if self._kind in ("both", "match"):
            put.pop("IfMatch", None)
        if self._kind in ("both", "none match"):
            put.pop("IfNoneMatch", None)
        try:
            return self._client.put_object(**put)
        except ClientError as e:
            if not self._kind.isdecimal():
                raise
            said = {"Error": {"Code": self._kind}, "ResponseMetadata": {"HTTPStatusCode": int(self._kind)}}
            raise ClientError(said, "PutObject") from e  # pyright: ignore[reportArgumentType] -- enough for us


def other_service(
    lake: LakeStore, kind: str, monkeypatch: pytest.MonkeyPatch, setting: str = ""
) -> LakeStore:
    wrapped = Wrapped(boto3.client("s3"), kind)

    def client(name: str) -> Wrapped:
        assert name == "s3"
        return wrapped

    monkeypatch.setattr(boto3, "client", client)
    return LakeStore(f"s3://{bucket_of(lake)}/some/lake{setting}")


@pytest.mark.parametrize("kind", ["both", "match", "none match"])
def test_h7_a_service_that_ignores_preconditions_is_refused(
    lake: LakeStore, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    careless = other_service(lake, kind, monkeypatch)
    for _ in range(2):
        with pytest.raises(LakeError, match=r"ignores If-Match and If-None-Match.*\?one_writer=true"):
            store(careless, numbered([1]))
    assert keys(lake) == [], "nothing was stored, the probe is gone"


def test_h7_one_writer_is_allowed_where_it_is_said(lake: LakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    careless = other_service(lake, "both", monkeypatch, "?one_writer=true")
    work = [threading.Thread(target=store, args=(careless, numbered([n]))) for n in range(8)]
    for one in work:
        one.start()
    for one in work:
        one.join()
    assert_frame_equal(stored(careless), numbered(range(8)))
    assert careless.path(TRADES, DAY) == lake.path(TRADES, DAY)
    with pytest.raises(ConfigError, match="is no setting of a bucket"):
        LakeStore("s3://bucket/lake?two_writers=true")


@pytest.mark.parametrize("kind", ["delete", "no delete"])
def test_where_removing_knows_no_preconditions_nothing_is_taken_away(
    lake: LakeStore, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(bucket_module, "_REMOVES", set[tuple[str, str]]())
    careless = other_service(lake, kind, monkeypatch)
    store(careless, numbered([1]))
    for _ in range(2):
        with pytest.raises(LakeError, match=r"ignores If-Match when it deletes.*\?one_writer=true"):
            take_away(careless)
    assert keys(lake) == [KEY]


def test_one_writer_may_take_away_where_it_is_said(lake: LakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    careless = other_service(lake, "both", monkeypatch, "?one_writer=true")
    store(careless, numbered([1]))
    bringing(careless, {(TRADES, DAY): take_away(careless)})
    assert keys(lake) == [RECORD]
    assert_frame_equal(stored(careless), numbered([1]))
    assert keys(lake) == [KEY]


@pytest.mark.parametrize("kind", ["304", "409", "412"])
def test_h7_a_write_that_comes_too_late_is_a_lost_race_however_it_is_said(
    lake: LakeStore, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    other = other_service(lake, kind, monkeypatch)
    store(other, numbered([1]))
    late = Interrupted(lambda: store(lake, numbered([2])))
    with other.draft(TRADES, DAY) as draft:
        draft.append(numbered([3]))
        draft.commit([asked()], late)
    assert_frame_equal(stored(lake), numbered([1, 2, 3]))


class Interrupted(Witness):
    """A judge meanwhile somebody else writes, once."""

    def __init__(self, once: Callable[[], object]) -> None:
        super().__init__()
        self._once: Callable[[], object] | None = once

    def __call__(self) -> "Interrupted":
        if self._once:
            once, self._once = self._once, None
            once()
        return self


class Watched(Bucket):
    """A bucket that remembers which footers were asked for."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked: list[str] = []

    def ending(self, path: str, size: int) -> Ending | None:
        if path != IDENTITY:
            self.asked.append(path.rpartition("period=")[2].partition("/")[0])
        return super().ending(path, size)


@pytest.fixture
def watched(lake: LakeStore, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[Watched, LakeStore]]:
    """The lake in another process each time, of which a manifest is written for a single footer."""
    monkeypatch.setattr(inventory, "_WORTH", 1)
    for key, rows in {DAY: numbered([1, 2]), "2024-02-01": trades([])}.items():
        store(lake, rows, key=key)

    def again() -> tuple[Watched, LakeStore]:
        found = LakeStore(f"s3://{bucket_of(lake)}/some/lake")
        found._opened = Watched(found.url)  # pyright: ignore[reportPrivateUsage]
        return found._opened, found  # pyright: ignore[reportPrivateUsage]

    return again


Again = Callable[[], tuple[Watched, LakeStore]]
MANIFEST = f"some/lake/{manifest_path(StreamKey.of(TRADES))}"


def test_a_listing_and_an_answer_give_an_object_the_same_mark(lake: LakeStore) -> None:
    store(lake, numbered([1]))
    bucket = Bucket(f"s3://{bucket_of(lake)}/some/lake")
    (path, mark), *others = bucket.marks("trades").items()
    ending = bucket.ending(path, 8)
    assert ending
    assert others == []
    assert mark == ending.mark != ""
    store(lake, numbered([2]))
    assert bucket.marks("trades")[path] != mark


def test_footers_in_a_bucket_are_asked_for_once(watched: Again) -> None:
    bucket, cold = watched()
    found = cold.inventory()
    assert sorted(bucket.asked) == [DAY, "2024-02-01"]
    bucket, warm = watched()
    assert warm.inventory() == found == {TRADES: {key: warm.state(TRADES, key) for key in found[TRADES]}}
    assert bucket.asked == [DAY, "2024-02-01"], "by state alone: it always asks"


def test_an_object_of_the_same_size_is_not_taken_for_the_one_before(watched: Again, lake: LakeStore) -> None:
    before = watched()[1].states(TRADES)[DAY]
    prices = (trades([(1_000_000, "1", 1.0), (2_000_000, "2", float(price))]) for price in range(3, 99))
    states = (store(lake, rows) for rows in prices)
    after = next(state for state in states if state.bytes == before.bytes)
    bucket, other = watched()
    assert other.states(TRADES)[DAY] == after
    assert bucket.asked == [DAY]
    assert after.content_hash != before.content_hash


@pytest.mark.parametrize("body", [b"", b"{}", None])
def test_a_manifest_in_a_bucket_that_is_none_is_made_anew(
    watched: Again, lake: LakeStore, body: bytes | None
) -> None:
    """Or that is another store's."""
    watched()[1].inventory()
    client, bucket = boto3.client("s3"), bucket_of(lake)
    whole = client.get_object(Bucket=bucket, Key=MANIFEST)["Body"].read()
    other = whole.replace(str(lake.identity()).encode(), b"another") if body is None else body
    client.put_object(Bucket=bucket, Key=MANIFEST, Body=other)
    there, again = watched()
    assert list(again.inventory()[TRADES]) == [DAY, "2024-02-01"]
    assert sorted(there.asked) == [DAY, "2024-02-01"]
    assert client.get_object(Bucket=bucket, Key=MANIFEST)["Body"].read() == whole


def test_a_bucket_that_takes_no_manifest_is_read(watched: Again, monkeypatch: pytest.MonkeyPatch) -> None:
    class ReadOnly(Wrapped):
        def put_object(self, **put: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutObject")

    wrapped = ReadOnly(boto3.client("s3"), "")

    def client(_: str) -> ReadOnly:
        return wrapped

    monkeypatch.setattr(boto3, "client", client)
    for _ in range(2):
        bucket, lake = watched()
        assert list(lake.inventory()[TRADES]) == [DAY, "2024-02-01"]
        assert len(bucket.asked) == 2


def test_what_a_bucket_says_no_tag_of_is_never_remembered(
    watched: Again, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(_: str | None, __: int | None) -> str:
        return ""

    monkeypatch.setattr("dccd_core.lake.store.bucket._mark", nothing)
    for _ in range(2):
        bucket, lake = watched()
        lake.inventory()
        assert len(bucket.asked) == 2


def test_what_lies_beside_partitions_is_found_by_its_name(lake: LakeStore) -> None:
    store(lake, numbered([1]))
    lake.quarantine(TRADES, DAY, numbered([2]).with_columns(reason=pl.lit("odd")))
    path = KEY.removeprefix("some/lake/").replace("data.parquet", "_quarantine.ndjson")
    assert list(lake.store.named("trades", ("_quarantine.ndjson",))) == [path]
    assert lake.store.named("trades", ("_none",)) == {}


def test_a_client_that_is_given_is_used(
    lake: LakeStore, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the configuration's ``s3:`` makes it, where the environment knows another server or none."""
    store(lake, numbered([1]))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    keys = {"endpoint_url": endpoint, "region": "us-east-1"}
    assert Lake(lake.url, s3=keys).read(TRADES).height == 1
    mine = LakeStore(lake.url, s3=S3Keys("us-east-1", endpoint).client)
    assert mine.states(TRADES)[DAY].rows == 1
