"""What a service that should speak S3 may answer instead: a login page, a redirect, no tag of an object."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

FAILURES: Final = (ClientError, BotoCoreError, ResponseParserError, RecursionError)
"""What a call of boto3 raises when the service does not do it. It follows a redirect to itself for ever."""


_OF_LISTINGS: Final = ("Name", "Prefix", "IsTruncated", "KeyCount")


class NotS3Error(BotoCoreError):
    """What was answered is no object of S3."""

    fmt = "what answers there does not speak S3: it names no {field}, so it may be a proxy or a login page"


def etag_of(answer: Mapping[str, object]) -> str:
    """Return the ETag of an object, as it was answered.

    Raises:
        NotS3Error: there is none: S3 always has one.
    """
    if not (tag := answer.get("ETag")):
        raise NotS3Error(field="ETag")
    return str(tag)


def listed(page: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the objects of a page of a listing.

    Raises:
        NotS3Error: it is no listing: what is read of a strange page is nothing, and would be an empty bucket.
    """
    if page.keys().isdisjoint(_OF_LISTINGS):
        raise NotS3Error(field="bucket")
    return page.get("Contents", ())
