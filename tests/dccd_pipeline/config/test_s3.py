import pytest
from pydantic import ValidationError

from dccd_core.lake.store.s3 import S3Keys
from dccd_pipeline.config.s3 import S3Settings


def test_what_is_left_out_is_boto3s_own() -> None:
    assert S3Settings().keys == S3Keys()
    typed = {"region": "eu-west-1", "endpoint_url": "http://127.0.0.1:1/", "profile": "p", "retries": 0}
    assert S3Settings.model_validate(typed).keys == S3Keys("eu-west-1", "http://127.0.0.1:1", "p", 0)


@pytest.mark.parametrize(
    "typed",
    [{"region": ""}, {"endpoint_url": "s3.example.org"}, {"retries": -1}, {"retries": 99}, {"key": "x"}],
)
def test_what_is_no_such_thing_is_refused(typed: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        S3Settings.model_validate(typed)
