"""Copies in a bucket, against moto's server on 127.0.0.1."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.client import Config

from dccd_core.domain.errors import LakeError
from dccd_core.keep.claim import check, claim
from dccd_core.keep.remotes import s3
from dccd_core.keep.remotes.remote import Outside, Place, open_remote
from dccd_core.keep.remotes.s3 import S3Remote
from dccd_core.keep.sync import sync
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.store.identity import IDENTITY
from tests.buckets import STRANGERS, s3_client, s3_server, strange_server
from tests.dccd_core.keep.remotes.promises import FILE, RemotePromises, body, put
from tests.dccd_core.keep.scene import NOW, filled

BIG = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with s3_server() as endpoint:
        yield s3_client(endpoint)


@pytest.fixture
def bucket(client: Any) -> str:
    name = f"bucket-{uuid4().hex}"
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def remote(client: Any, bucket: str) -> S3Remote:
    return S3Remote("cloud", client, bucket, "some/copy/")


class TestS3(RemotePromises):
    pass


def test_a_place_is_opened_with_the_client_that_is_given(client: Any, bucket: str) -> None:
    remote = open_remote(Place("cloud", f"s3://{bucket}/some/copy"), Outside(lambda: client))
    assert put(remote, FILE, b"rows")
    assert remote.url(FILE) == f"s3://{bucket}/some/copy/{FILE}"
    assert client.head_object(Bucket=bucket, Key=f"some/copy/{FILE}")["ContentLength"] == 4
    whole = open_remote(Place("cloud", f"s3://{bucket}"), Outside(lambda: client))
    assert whole.url(FILE) == f"s3://{bucket}/{FILE}"
    assert whole.found(f"some/copy/{FILE}")


def test_the_service_is_told_the_hash_and_says_it(remote: S3Remote, client: Any, bucket: str) -> None:
    assert put(remote, FILE, b"rows")
    told = client.head_object(Bucket=bucket, Key=f"some/copy/{FILE}", ChecksumMode="ENABLED")
    assert told["ChecksumSHA256"]


def test_where_the_service_knows_no_hash_it_is_read_back(remote: S3Remote, client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key=f"some/copy/{FILE}", Body=b"others' rows")
    told = client.head_object(Bucket=bucket, Key=f"some/copy/{FILE}", ChecksumMode="ENABLED")
    assert "ChecksumSHA256" not in told
    assert remote.sha256(FILE) == hashlib.sha256(b"others' rows").hexdigest()


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PART", 5 << 20)


@pytest.mark.usefixtures("small_parts")
def test_a_file_in_parts_is_whole_read_back_and_replaced(remote: S3Remote, client: Any, bucket: str) -> None:
    whole = BIG * 700
    assert put(remote, FILE, whole)
    assert client.head_object(Bucket=bucket, Key=f"some/copy/{FILE}")["ETag"].endswith('-2"')
    assert remote.sha256(FILE) == hashlib.sha256(whole).hexdigest()
    assert put(remote, FILE, whole + b"more")
    assert body(remote, FILE) == whole + b"more"
    assert not remote.write(FILE, BytesIO(whole), None)


@pytest.mark.usefixtures("small_parts")
def test_of_an_upload_in_parts_that_breaks_off_nothing_stays(
    remote: S3Remote, client: Any, bucket: str
) -> None:
    class Dying(BytesIO):
        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.reads += 1
            if self.reads > 2:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(OSError, match="Input/output"):
        remote.write(FILE, Dying(BIG * 700), None)
    assert remote.found(FILE) is None
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


@pytest.mark.usefixtures("small_parts")
def test_what_a_killed_upload_left_goes_with_the_next(remote: S3Remote, client: Any, bucket: str) -> None:
    for key in (f"some/copy/{FILE}", f"some/copy/{FILE}.other"):
        client.create_multipart_upload(Bucket=bucket, Key=key)
    assert put(remote, FILE, BIG * 700)
    left = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [one["Key"] for one in left] == [f"some/copy/{FILE}.other"]


def seen_nothing(_remote: S3Remote, _path: str) -> None:
    return None


def test_of_two_that_write_at_once_one_is_refused(remote: S3Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both saw that nothing was there: the service itself refuses the second."""
    monkeypatch.setattr(S3Remote, "found", seen_nothing)
    assert remote.write(FILE, BytesIO(b"first"), None)
    assert not remote.write(FILE, BytesIO(b"second"), None)
    assert body(remote, FILE) == b"first"


def test_a_service_that_does_not_answer_is_one_clear_line() -> None:
    client = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:9",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"max_attempts": 0}),
    )
    remote = S3Remote("cloud", client, "bucket")
    acts = (
        lambda: remote.find("trades"),
        lambda: remote.found(FILE),
        lambda: remote.tail(FILE, 1),
        lambda: remote.read(FILE, BytesIO()),
        lambda: remote.write(FILE, BytesIO(b"x"), None),
    )
    for act in acts:
        with pytest.raises(LakeError, match=r"Could not connect.* -> check bucket, credentials and s3:"):
            act()


@pytest.mark.parametrize("name", STRANGERS)
def test_what_speaks_no_s3_is_no_copy_and_no_defect_of_ours(name: str) -> None:
    """bd7e0af: of an object without an ETag `KeyError`, of a redirect `RecursionError`: and purges ended."""
    with strange_server(STRANGERS[name]) as address:
        remote = S3Remote("cloud", s3_client(address), "bucket")
        for act in (
            lambda: remote.find("trades"),
            lambda: remote.found(FILE),
            lambda: remote.write(FILE, BytesIO(b"x"), None),
            lambda: check(remote, "us"),
            lambda: claim(remote, "us", None),
        ):
            with pytest.raises(LakeError, match="s3://bucket/"):
                act()


def test_a_limit_of_bytes_is_kept(client: Any, bucket: str) -> None:
    sent = list[int]()
    place = Place("cloud", f"s3://{bucket}/x", 1_000)
    remote = open_remote(place, Outside(lambda: client, lambda limit: sent.append))
    assert put(remote, FILE, BIG)
    assert sum(sent) == len(BIG)


def test_a_new_file_is_a_write_and_one_look_at_what_is_stored(
    remote: S3Remote, client: Any, tmp_path: Path
) -> None:
    """It was three looks for each file: whether there is one, whether it is there now, and its hash."""
    lake, asked = LakeStore(tmp_path / "lake"), Counter[str]()
    filled(lake, 5)

    def note(request: Any, **_: object) -> None:
        asked[request.method] += "data.parquet" in request.url

    client.meta.events.register("before-send.s3", note, unique_id="note")
    try:
        assert sync(lake, remote, NOW).well
        assert dict(+asked) == {"PUT": 5, "HEAD": 5}
    finally:
        client.meta.events.unregister("before-send.s3", unique_id="note")


def test_a_service_that_knows_no_conditions_is_asked_before_each_write(
    remote: S3Remote, client: Any, bucket: str
) -> None:
    def without(params: dict[str, Any], **_: object) -> None:
        params["headers"].pop("If-None-Match", None)

    client.meta.events.register("before-call.s3.PutObject", without, unique_id="without")
    try:
        assert put(remote, IDENTITY, b"it")
        assert put(remote, FILE, b"theirs")
        assert not remote.write(FILE, BytesIO(b"ours"), None)
    finally:
        client.meta.events.unregister("before-call.s3.PutObject", unique_id="without")
    assert (body(remote, FILE), body(remote, IDENTITY)) == (b"theirs", b"it")
    other = S3Remote("cloud", client, bucket, "some/copy/")
    assert not other.write(FILE, BytesIO(b"ours"), None)
    assert body(other, FILE) == b"theirs"
