import pytest

from dccd_core.lake.store.s3 import S3Keys


def test_the_client_is_as_the_keys_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    client = S3Keys("eu-west-1", "http://127.0.0.1:8", None, 2).client()
    assert (client.meta.region_name, client.meta.endpoint_url) == ("eu-west-1", "http://127.0.0.1:8")
    assert getattr(client.meta.config, "retries", None) == {"mode": "standard", "total_max_attempts": 3}


def test_what_is_left_out_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = S3Keys().client()
    assert (client.meta.region_name, client.meta.endpoint_url) == ("us-east-1", "http://127.0.0.1:9")
