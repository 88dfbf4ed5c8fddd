"""A remote in a bucket. The client is given: who makes it says region, endpoint and credentials."""

import base64
import hashlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import boto3
from botocore.exceptions import ClientError

from dccd_core.domain.errors import LakeError
from dccd_core.keep.remotes.remote import BLOCK, Found, Outside, Pace, Place, absent, receiving
from dccd_core.lake.store.answers import FAILURES, etag_of, listed
from dccd_core.lake.store.identity import IDENTITY

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, HeadObjectOutputTypeDef

PART: Final = 8 << 20
"""Bytes of a part, and of the largest file that goes in one piece: so much of each is in memory."""
_ABSENT: Final = ("NoSuchKey", "404", "NotFound")
_TOO_LATE: Final = (304, 409, 412)
_EMPTY: Final = "InvalidRange"
_NO_CONDITIONS: Final = "NotImplemented"


def open_place(place: Place, outside: Outside) -> "S3Remote":
    client = outside.s3() if outside.s3 else boto3.client("s3")
    bucket, _, prefix = place.to.removeprefix("s3://").partition("/")
    return S3Remote(place.name, client, bucket, prefix, outside.pace_of(place))


class S3Remote:
    """Copies in a bucket, of any service that speaks S3. ``mark``: the ETag.

    The service is told the SHA-256 of what it is sent, refuses what arrives otherwise, and is asked for it.
    Of what went in parts, and of services that know none, it is read back.
    """

    def __init__(
        self, name: str, client: "S3Client", bucket: str, prefix: str = "", pace: Pace | None = None
    ) -> None:
        self.name = name
        self._pace = pace
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/".lstrip("/")
        self._trying = Lock()
        self._refuses: bool | None = None
        """Whether the service is known to refuse a write that comes too late."""

    def url(self, path: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{path}"

    def find(self, folder: str) -> dict[str, Found]:
        pages = self._client.get_paginator("list_objects_v2")
        found, top = dict[str, Found](), len(self._prefix)
        with self._answering(folder):
            for page in pages.paginate(Bucket=self._bucket, Prefix=f"{self._prefix}{folder}/"):
                for one in listed(page):
                    size, etag = one.get("Size", 0), one.get("ETag", "")
                    found[one.get("Key", "")[top:]] = Found(size, _bare(etag))
        return dict(sorted(found.items()))

    def found(self, path: str) -> Found | None:
        with self._answering(path):
            head = self._head(path)
            return head and Found(head["ContentLength"], _bare(etag_of(head)), _told(head))

    def sha256(self, path: str) -> str | None:
        head = self._head(path)
        if head is None:
            return None
        if told := _told(head):
            return told
        digest = hashlib.sha256()
        for block in self._blocks(path):
            digest.update(block)
        return digest.hexdigest()

    def tail(self, path: str, size: int) -> tuple[bytes, int] | None:
        try:
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._prefix + path, Range=f"bytes=-{size}"
            )
            body = answer["Body"].read()
            return body, int(answer.get("ContentRange", f"/{len(body)}").rpartition("/")[2])
        except FAILURES as e:
            if _code(e) == _EMPTY:
                return b"", 0
            if _code(e) in _ABSENT:
                return None
            raise self._refused(e, path) from e

    def read(self, path: str, into: BinaryIO) -> None:
        with receiving(self.url(path)):
            into.writelines(self._blocks(path))

    def write(self, path: str, file: BinaryIO, over: Found | None) -> bool:
        if not (over is None and self._compares()) and self.found(path) != over:
            return False
        file.seek(0)
        first = _read(file, PART + 1)
        with self._answering(path):
            if len(first) <= PART:
                return self._settled(partial(self._put, path, first), over)
            return self._in_parts(path, file, over)

    def _compares(self) -> bool:
        """Tell whether the service is known to put nothing in the place of what is there: not all do.

        It is tried once, on ``dccd.json``, which gets its own words where the service does not.
        """
        with self._trying:
            if self._refuses is None and (told := self.tail(IDENTITY, PART)):
                try:
                    self._put(IDENTITY, told[0], IfNoneMatch="*")
                    self._refuses = False
                except FAILURES as e:
                    self._refuses = isinstance(e, ClientError) and _status(e) in _TOO_LATE
            return self._refuses or False

    def _put(self, path: str, body: bytes, **only: str) -> None:
        self._client.put_object(
            Bucket=self._bucket,
            Key=self._prefix + path,
            Body=self._sent(body),
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=_base64(body),
            **cast("Any", only),
        )

    def _in_parts(self, path: str, file: BinaryIO, over: Found | None) -> bool:
        self._forget_parts(path)
        key = self._prefix + path
        begun = self._client.create_multipart_upload(Bucket=self._bucket, Key=key, ChecksumAlgorithm="SHA256")
        upload, done = begun["UploadId"], False
        try:
            parts = list(self._parts(key, file, upload))
            done = self._settled(partial(self._complete, key, upload, parts), over)
        finally:
            if not done:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)
        return done

    def _complete(self, key: str, upload: str, parts: "list[CompletedPartTypeDef]", **only: str) -> None:
        self._client.complete_multipart_upload(
            Bucket=self._bucket,
            Key=key,
            UploadId=upload,
            MultipartUpload={"Parts": parts},
            **cast("Any", only),
        )

    def _parts(self, key: str, file: BinaryIO, upload: str) -> "Iterator[CompletedPartTypeDef]":
        file.seek(0)
        number = 1
        while body := _read(file, PART):
            told = _base64(body)
            answer = self._client.upload_part(
                Bucket=self._bucket,
                Key=key,
                UploadId=upload,
                PartNumber=number,
                Body=self._sent(body),
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=told,
            )
            yield {"ETag": etag_of(answer), "PartNumber": number, "ChecksumSHA256": told}
            number += 1

    def _sent(self, body: bytes) -> BinaryIO:
        return _Paced(body, self._pace) if self._pace else BytesIO(body)

    def _forget_parts(self, path: str) -> None:
        """Remove what killed uploads of this file left: nobody sees it, and it is paid for."""
        key = self._prefix + path
        left = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=key)
        for one in left.get("Uploads", ()):
            if one.get("Key") == key:
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=self._prefix + path, UploadId=one.get("UploadId", "")
                )

    def _settled(self, store: Callable[..., object], over: Found | None) -> bool:
        """Store on the condition that ``over`` is there, or nothing; False where it is not."""
        only = {"IfNoneMatch": "*"} if over is None else {"IfMatch": f'"{over.mark}"'}
        try:
            store(**only)
        except ClientError as e:
            if _code(e) == _NO_CONDITIONS:
                store()
                return True
            if _status(e) in _TOO_LATE or (over and _code(e) in _ABSENT):
                return False
            raise
        return True

    def _blocks(self, path: str) -> Iterator[bytes]:
        try:
            yield from self._client.get_object(Bucket=self._bucket, Key=self._prefix + path)[
                "Body"
            ].iter_chunks(BLOCK)
        except FAILURES as e:
            if _code(e) in _ABSENT:
                raise absent(self.url(path)) from e
            raise self._refused(e, path) from e

    def _head(self, path: str) -> "HeadObjectOutputTypeDef | None":
        try:
            return self._client.head_object(
                Bucket=self._bucket, Key=self._prefix + path, ChecksumMode="ENABLED"
            )
        except FAILURES as e:
            if _code(e) in _ABSENT:
                return None
            raise self._refused(e, path) from e

    @contextmanager
    def _answering(self, path: str) -> Generator[None]:
        try:
            yield
        except FAILURES as e:
            raise self._refused(e, path) from e

    def _refused(self, error: Exception, path: str) -> LakeError:
        return LakeError(
            f"{self.url(path)}: {error}",
            hint="check bucket, credentials and s3: in dccd.yaml; what was copied before is untouched",
        )


class _Paced(BytesIO):
    """Bytes that are not read faster than they may be sent; who only hashes them first waits then."""

    def __init__(self, body: bytes, pace: Pace) -> None:
        super().__init__(body)
        self._pace = pace
        self._paid = 0

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        if (new := self.tell() - self._paid) > 0:
            self._paid += new
            self._pace(new)
        return block


def _read(file: BinaryIO, size: int) -> bytes:
    """Read so many bytes, or to the end."""
    whole = b""
    while len(whole) < size and (block := file.read(size - len(whole))):
        whole += block
    return whole


def _told(head: "HeadObjectOutputTypeDef") -> str:
    """Return the SHA-256 that a service says, in hex; that of several parts is a hash of hashes, and none."""
    told = head.get("ChecksumSHA256", "")
    return base64.b64decode(told).hex() if told and "-" not in told + head.get("ETag", "") else ""


def _bare(etag: str) -> str:
    """Return an ETag without its quotes, which listings may leave out."""
    return etag.strip('"')


def _base64(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: Exception) -> str:
    return error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
