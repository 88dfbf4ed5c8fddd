"""A store in a bucket: drafts are local, a replacement is one PUT that fails if another one came first."""

import tempfile
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, Final, cast

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from dccd_core.domain.errors import LakeError
from dccd_core.lake.layout import DATA
from dccd_core.lake.store import Stored, letting_go

_ABSENT: Final = ("NoSuchKey", "404")
_LOST_RACE: Final = ("PreconditionFailed", "ConditionalRequestConflict", *_ABSENT)
_EMPTY: Final = "InvalidRange"
_BLOCK: Final = 1 << 20


class Bucket:
    """``s3://bucket/prefix``. Endpoint, region and credentials come from the environment, as boto3 reads it.

    The service must honour ``If-Match`` and ``If-None-Match`` on PUT, or two writers may lose rows.
    """

    def __init__(self, url: str) -> None:
        self._bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.strip('/')}/".lstrip("/")
        self._client = boto3.client("s3")

    def url(self, path: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{path}"

    def find(self, folder: str) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2")
        found: list[str] = []
        try:
            for page in pages.paginate(Bucket=self._bucket, Prefix=f"{self._prefix}{folder}/"):
                found += [item.get("Key", "") for item in page.get("Contents", ())]
        except (ClientError, BotoCoreError) as e:
            raise self._refused(e, folder) from e
        return sorted(key.removeprefix(self._prefix) for key in found if key.endswith(f"/{DATA}"))

    def first(self, folder: str) -> str | None:
        prefix = f"{self._prefix}{folder}/"
        try:
            page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=1)
        except (ClientError, BotoCoreError) as e:
            raise self._refused(e, folder) from e
        period = [
            item.get("Key", "").removeprefix(prefix).partition("/")[0] for item in page.get("Contents", ())
        ]
        return f"{folder}/{period[0]}/{DATA}" if period else None

    def tail(self, path: str, size: int) -> tuple[bytes, int] | None:
        try:
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._prefix + path, Range=f"bytes=-{size}"
            )
            body = answer["Body"].read()
            return body, int(answer.get("ContentRange", f"/{len(body)}").rpartition("/")[2])
        except (ClientError, BotoCoreError) as e:
            if _code(e) == _EMPTY:
                return b"", 0
            return self._absent(e, path)

    @contextmanager
    def open(self, path: str) -> Generator[Stored | None]:
        """Fetch the whole object, so that it stays as it is while it is read."""
        with tempfile.TemporaryFile() as file:
            yield self._fetch(path, cast("BinaryIO", file))

    @contextmanager
    def locked(self, path: str) -> Generator[None]:  # noqa: ARG002 -- nothing to lock: swap compares
        yield

    @contextmanager
    def scratch(self) -> Generator[BinaryIO]:
        file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 -- closing it may fail, and shall not
        with letting_go(file):
            yield file

    def draft(self, path: str) -> AbstractContextManager[BinaryIO]:  # noqa: ARG002 -- it is named when put
        return self.scratch()

    def swap(self, file: BinaryIO, path: str, over: Stored | None) -> bool:
        file.seek(0)
        bucket, key = self._bucket, self._prefix + path
        try:
            if over:
                self._client.put_object(Bucket=bucket, Key=key, Body=file, IfMatch=over.version)
            else:
                self._client.put_object(Bucket=bucket, Key=key, Body=file, IfNoneMatch="*")
        except (ClientError, BotoCoreError) as e:
            if _code(e) in _LOST_RACE:
                return False
            raise self._refused(e, path) from e
        return True

    def _fetch(self, path: str, file: BinaryIO) -> Stored | None:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + path)
            file.writelines(answer["Body"].iter_chunks(_BLOCK))
        except (ClientError, BotoCoreError) as e:
            return self._absent(e, path)
        except OSError as e:
            raise LakeError(
                f"cannot fetch {self.url(path)}: {e.strerror}",
                hint=f"free space on the disk of {tempfile.gettempdir()}",
            ) from e
        file.seek(0)
        return Stored(file, answer["ETag"])

    def _absent(self, error: ClientError | BotoCoreError, path: str) -> None:
        """Return None when there is no such object; every other answer is an error."""
        if _code(error) not in _ABSENT:
            raise self._refused(error, path) from error

    def _refused(self, error: Exception, path: str) -> LakeError:
        return LakeError(
            f"{self.url(path)}: {error}",
            hint="check bucket, credentials and AWS_ENDPOINT_URL; what was stored before is untouched",
        )


def _code(error: Exception) -> str:
    return error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
