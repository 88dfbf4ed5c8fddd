"""A store in a bucket: drafts are local, a replacement is one PUT that fails if another one came first."""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Container, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from copy import copy
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Final, cast
from uuid import uuid4

import boto3
from botocore.exceptions import ClientError
from filelock import FileLock

from dccd_core.domain.errors import ConfigError, LakeError
from dccd_core.domain.places import state_dir
from dccd_core.lake.layout import DATA, HELD, LOCKS, beside
from dccd_core.lake.store.answers import FAILURES, etag_of, listed
from dccd_core.lake.store.folder import Stored, letting_go, rewrite
from dccd_core.lake.store.marks import Ending
from dccd_core.lake.store.memo import Memo

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ABSENT: Final = ("NoSuchKey", "404")
_LOST_RACE: Final = ("PreconditionFailed", "ConditionalRequestConflict", *_ABSENT)
_TOO_LATE: Final = (304, 409, 412)
"""What services answer to a write whose precondition does not hold."""
_NO_VERSION: Final = '"00000000000000000000000000000000"'
_TRIED: Final = set[tuple[str, str]]()
"""Services and buckets that are known, in this process, to keep writers apart."""
_REMOVES: Final = set[tuple[str, str]]()
"""Those that are known to remove no object but the one that is meant."""
ONE_WRITER: Final = "one_writer=true"
_PATIENCE_S: Final = 600
_AMAZON: Final = ".amazonaws.com"
_EMPTY: Final = "InvalidRange"
_BLOCK: Final = 1 << 20


class Bucket:
    """``s3://bucket/prefix``. Without a client, endpoint and region, too, come from where boto3 finds them.

    The service must honour ``If-Match`` and ``If-None-Match`` on PUT, or two writers would lose rows: that is
    tried on an object of its own before the first write. ``?one_writer=true`` at the end of the URL says that
    only this machine writes there, so locks of this machine do instead.
    """

    def __init__(self, url: str, client: "S3Client | None" = None) -> None:
        place, _, told = url.partition("?")
        if told not in ("", ONE_WRITER):
            raise ConfigError(
                f"{url}: {told!r} is no setting of a bucket", hint=f"there is only ?{ONE_WRITER}"
            )
        self._one_writer = bool(told)
        self._bucket, _, prefix = place.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.strip('/')}/".lstrip("/")
        self._client = client or boto3.client("s3")

    def url(self, path: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{path}"

    def access(self) -> dict[str, str]:
        """Return the client's own address and credentials, as they are now; some of them expire."""
        signer = getattr(self._client, "_request_signer", None)
        found = getattr(signer, "_credentials", None)
        keys = found.get_frozen_credentials() if found else None
        endpoint = self._client.meta.endpoint_url
        told = {
            "aws_region": self._client.meta.region_name,
            "aws_endpoint_url": None if endpoint.endswith(_AMAZON) else endpoint,
            "aws_allow_http": "true" if endpoint.startswith("http://") else None,
            "aws_access_key_id": keys and keys.access_key,
            "aws_secret_access_key": keys and keys.secret_key,
            "aws_session_token": keys and keys.token,
        }
        return {name: value for name, value in told.items() if value}

    def objects(self) -> "Bucket":
        return self

    def find(self, folder: str) -> list[str]:
        return [path for path in self.marks(folder) if path.endswith(f"/{DATA}")]

    def marks(self, folder: str) -> dict[str, str]:
        found = dict(self._listed(folder))
        return {path: mark for path, mark in found.items() if _tells(path, found)}

    def named(self, folder: str, names: Sequence[str]) -> dict[str, str]:
        return {path: mark for path, mark in self._listed(folder) if path.rpartition("/")[2] in names}

    def names(self, folder: str) -> list[str]:
        return [path for path, _ in self._listed(folder)]

    def _listed(self, folder: str) -> list[tuple[str, str]]:
        pages = self._client.get_paginator("list_objects_v2")
        found: list[tuple[str, str]] = []
        try:
            for page in pages.paginate(Bucket=self._bucket, Prefix=f"{self._prefix}{folder}/"):
                items = listed(page)
                found += [(one.get("Key", ""), _mark(one.get("ETag"), one.get("Size"))) for one in items]
        except FAILURES as e:
            raise self._refused(e, folder) from e
        return sorted((key.removeprefix(self._prefix), mark) for key, mark in found)

    def put(self, path: str, body: bytes) -> None:
        try:
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + path, Body=body)
        except FAILURES as e:
            raise self._refused(e, path) from e

    def remove(self, path: str, over: Stored | None = None) -> bool:
        key = self._prefix + path
        try:
            if over is None or self._one_writer:
                self._client.delete_object(Bucket=self._bucket, Key=key)
                return True
            self._try_removing()
            return self._delete(key, over.version)
        except FAILURES as e:
            raise self._refused(e, path) from e

    def copy(self, path: str, to: str, mark: str) -> bool:
        bucket, key = self._bucket, self._prefix + to
        source, etag = f"{bucket}/{self._prefix}{path}", mark.rpartition("-")[0]
        try:
            if etag:
                self._client.copy_object(
                    Bucket=bucket, Key=key, CopySource=source, CopySourceIfMatch=f'"{etag}"'
                )
            else:
                self._client.copy_object(Bucket=bucket, Key=key, CopySource=source)
        except FAILURES as e:
            if _code(e) in _LOST_RACE or (isinstance(e, ClientError) and _status(e) in _TOO_LATE):
                return False
            raise self._refused(e, path) from e
        return True

    def below(self, folder: str) -> "Bucket":
        other = copy(self)
        other._prefix = f"{self._prefix}{folder}/"
        return other

    def links(self, path: str) -> int:  # noqa: ARG002 -- an object has one name
        return 1

    def hold(self, path: str, over: Stored, record_path: str, record: bytes) -> bool:
        """Put the record first. It is our own for as long as nobody else puts one: then that one stays.

        What was there is looked at before the object: a record that comes later is of a later object.
        """
        key = self._prefix + record_path
        try:
            if not self._one_writer:
                self._try_removing()
            before = self._version(record_path)
            if self._version(path) != over.version:
                return False
            mine = self._put(key, record, before)
            if mine is None:
                return False
            if self.remove(path, over):
                return True
            if self._version(path) is not None:
                self.remove(record_path, Stored(over.file, mine))
        except FAILURES as e:
            raise self._refused(e, path) from e
        return False

    def _version(self, path: str) -> str | None:
        """Return what tells an object as it is now from others; None when there is none."""
        try:
            return etag_of(self._client.head_object(Bucket=self._bucket, Key=self._prefix + path))
        except ClientError as e:
            if _code(e) in _ABSENT:
                return None
            raise

    def _delete(self, key: str, version: str) -> bool:
        """Remove an object of this version; False when it is another, or gone."""
        try:
            self._client.delete_object(Bucket=self._bucket, Key=key, IfMatch=version)
        except ClientError as e:
            if _code(e) in _LOST_RACE or _status(e) in _TOO_LATE:
                return False
            raise
        return True

    def _try_removing(self) -> None:
        """Try on an object of its own that one is not removed in the place of another.

        Raises:
            LakeError: it is, or the service does not know how to.
        """
        place = (self._client.meta.endpoint_url, self._bucket)
        if place in _REMOVES:
            return
        key = f"{self._prefix}{LOCKS.partition('/')[0]}/probe-{uuid4().hex}"
        try:
            version = etag_of(self._client.put_object(Bucket=self._bucket, Key=key, Body=b"1"))
            kept = not self._delete(key, _NO_VERSION) and self._delete(key, version)
        except ClientError:
            kept = False
        finally:
            self._client.delete_object(Bucket=self._bucket, Key=key)
        if not kept:
            raise LakeError(
                f"s3://{self._bucket} at {place[0]} ignores If-Match when it deletes: rows that come"
                " meanwhile could go with an object, so nothing is removed",
                hint=f"use a service that honours it; where one machine writes, say so: ...?{ONE_WRITER}",
            )
        _REMOVES.add(place)

    def first(self, folder: str) -> str | None:
        prefix = f"{self._prefix}{folder}/"
        try:
            page = listed(self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=1))
        except FAILURES as e:
            raise self._refused(e, folder) from e
        period = [item.get("Key", "").removeprefix(prefix).partition("/")[0] for item in page]
        return f"{folder}/{period[0]}/{DATA}" if period else None

    def tail(self, path: str, size: int) -> tuple[bytes, int] | None:
        found = self.ending(path, size)
        return (found.tail, found.size) if found else None

    def ending(self, path: str, size: int) -> Ending | None:
        try:
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._prefix + path, Range=f"bytes=-{size}"
            )
            body = answer["Body"].read()
            whole = int(answer.get("ContentRange", f"/{len(body)}").rpartition("/")[2])
            return Ending(body, whole, _mark(answer.get("ETag"), whole))
        except FAILURES as e:
            if _code(e) == _EMPTY:
                return Ending(b"", 0, "")
            return self._absent(e, path)

    @contextmanager
    def open(self, path: str) -> Generator[Stored | None]:
        """Fetch the whole object, so that it stays as it is while it is read."""
        with tempfile.TemporaryFile() as file:
            yield self._fetch(path, cast("BinaryIO", file))

    @contextmanager
    def locked(self, path: str) -> Generator[None]:
        """Lock nothing, as ``swap`` compares; of one writer's machine, lock out its other processes."""
        if not self._one_writer:
            yield
            return
        name = hashlib.sha256(self.url(str(PurePosixPath(path).parent)).encode()).hexdigest()
        lock = state_dir() / "locks" / f"{name}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=_PATIENCE_S):
            yield

    @contextmanager
    def scratch(self) -> Generator[BinaryIO]:
        file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 -- closing it may fail, and shall not
        with letting_go(file):
            yield file

    def draft(self, path: str) -> AbstractContextManager[BinaryIO]:  # noqa: ARG002 -- it is named when put
        return self.scratch()

    def append(self, path: str, lines: bytes) -> None:
        """Write all of it anew: an object cannot grow."""

        def fill(file: BinaryIO, stored: Stored | None) -> tuple[None, bool]:
            if stored:
                shutil.copyfileobj(stored.file, file)
            file.write(lines)
            return None, True

        rewrite(self, path, fill)

    def swap(self, file: BinaryIO, path: str, over: Stored | None) -> bool:
        file.seek(0)
        key = self._prefix + path
        try:
            if self._one_writer:
                self._client.put_object(Bucket=self._bucket, Key=key, Body=file)
                return True
            self._try_preconditions()
            return self._put(key, file, over.version if over else None) is not None
        except FAILURES as e:
            raise self._refused(e, path) from e

    def _put(self, key: str, body: BinaryIO | bytes, over: str | None) -> str | None:
        """Put an object in the place of the version ``over``, or of none; None when it came too late."""
        try:
            if over is None:
                answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*")
            else:
                answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=body, IfMatch=over)
        except ClientError as e:
            if _code(e) in _LOST_RACE or _status(e) in _TOO_LATE:
                return None
            raise
        return etag_of(answer)

    def _try_preconditions(self) -> None:
        """Try on an object of its own that a write which comes too late is refused.

        Raises:
            LakeError: it is not.
        """
        place = (self._client.meta.endpoint_url, self._bucket)
        if place in _TRIED:
            return
        key = f"{self._prefix}{LOCKS.partition('/')[0]}/probe-{uuid4().hex}"
        try:
            first = self._put(key, b"1", None)
            kept = (
                first is not None
                and self._put(key, b"2", None) is None
                and self._put(key, b"3", _NO_VERSION) is None
                and self._put(key, b"4", first) is not None
            )
        finally:
            self._client.delete_object(Bucket=self._bucket, Key=key)
        if not kept:
            raise LakeError(
                f"s3://{self._bucket} at {place[0]} ignores If-Match and If-None-Match: of two writers one"
                " would lose its rows, so nothing was stored",
                hint=f"use a service that honours them; where one machine writes, say so: ...?{ONE_WRITER}",
            )
        _TRIED.add(place)

    @contextmanager
    def memo(self, path: str) -> Generator[Memo]:
        """Open a memo; ETags are no times, so there is no moment that none of them has come to."""

        def write(body: bytes) -> None:
            with suppress(*FAILURES):
                self._client.put_object(Bucket=self._bucket, Key=self._prefix + path, Body=body)

        yield Memo(sys.maxsize, write)

    def _fetch(self, path: str, file: BinaryIO) -> Stored | None:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + path)
            file.writelines(answer["Body"].iter_chunks(_BLOCK))
            version = etag_of(answer)
        except FAILURES as e:
            return self._absent(e, path)
        except OSError as e:
            raise LakeError(
                f"cannot fetch {self.url(path)}: {e.strerror}",
                hint=f"free space on the disk of {tempfile.gettempdir()}",
            ) from e
        file.seek(0)
        return Stored(file, version)

    def _absent(self, error: Exception, path: str) -> None:
        """Return None when there is no such object; every other answer is an error."""
        if _code(error) not in _ABSENT:
            raise self._refused(error, path) from error

    def _refused(self, error: Exception, path: str) -> LakeError:
        return LakeError(
            f"{self.url(path)}: {error}",
            hint="check bucket, credentials and AWS_ENDPOINT_URL; what was stored before is untouched",
        )


def _tells(path: str, found: Container[str]) -> bool:
    """Tell whether it is a partition's file, or the record of one that is not there."""
    is_record = path.endswith(f"/{HELD}")
    return path.endswith(f"/{DATA}") or (is_record and beside(path, DATA) not in found)


def _mark(etag: str | None, size: int | None) -> str:
    """Return what tells one content of an object from another; listings may leave out an ETag's quotes."""
    tag = (etag or "").strip('"')
    return f"{tag}-{size}" if tag else ""


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: Exception) -> str:
    return error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
