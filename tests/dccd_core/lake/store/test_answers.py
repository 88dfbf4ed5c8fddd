import pytest
from botocore.exceptions import BotoCoreError

from dccd_core.lake.store.answers import etag_of, listed


def test_an_object_has_a_tag() -> None:
    assert etag_of({"ETag": '"abc"'}) == '"abc"'
    for strange in ({}, {"ETag": ""}):
        with pytest.raises(BotoCoreError, match="names no ETag, so it may be a proxy or a login page"):
            etag_of(strange)


def test_an_empty_bucket_says_that_it_is_one() -> None:
    assert listed({"Name": "bucket", "KeyCount": 0}) == ()
    assert listed({"IsTruncated": False, "Contents": [{"Key": "x"}]}) == [{"Key": "x"}]
    with pytest.raises(BotoCoreError, match="names no bucket"):
        listed({"ResponseMetadata": {"HTTPStatusCode": 200}})
