import asyncio
from pathlib import Path

import pytest

from dccd_core.domain.errors import ConfigError, LakeError, Unavailable
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, Us
from dccd_core.lake.lake import LakeStore
from dccd_core.testing.sandbox.process import running_sandbox
from dccd_pipeline.resources import LakeResource, Venues
from tests.dccd_pipeline.held import MINUTES, bars, hold


def test_the_lake_is_where_the_url_says(tmp_path: Path) -> None:
    hold(LakeStore(tmp_path / "lake"), MINUTES, "2024-01", bars([]))
    assert LakeResource(url=str(tmp_path / "lake")).open().datasets() == [MINUTES]
    with pytest.raises(ConfigError, match="is no store"):
        LakeResource(url="ftp://nowhere").open()


def test_an_exchange_is_reached_where_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path))

    async def listed(venues: Venues) -> Us | None:
        async with venues.connect("binance") as venue:
            return await venue.listed_since(MINUTES)

    with running_sandbox() as sandbox:
        url = sandbox.rest_url("binance")
        expected = sandbox.market.tape("binance", Symbol("BTC", "USDT")).first_time
        assert asyncio.run(listed(Venues(rest_urls={"binance": url}))) == expected - expected % MINUTE
        assert sandbox.stats().count("klines") == 1

        with pytest.raises(ConfigError, match="never fits 1 per"):  # of so small a share nothing can be asked
            asyncio.run(listed(Venues(rest_urls={"binance": url}, budgets={"binance": 1 / 12_000})))
        assert sandbox.stats().count("klines") == 1


def test_an_unknown_exchange_and_a_wrong_address_are_refused() -> None:
    async def connect(name: str, url: str) -> None:
        async with Venues(rest_urls={name: url}).connect(name):
            pass

    with pytest.raises(ConfigError, match="did you mean 'binance'"):
        asyncio.run(connect("binanc", "http://127.0.0.1:1"))
    with pytest.raises(ConfigError, match="no http address"):
        asyncio.run(connect("binance", "ftp://127.0.0.1"))


def test_sockets_are_opened_where_the_settings_say() -> None:
    async def opened(venues: Venues) -> None:
        with venues.sockets("binance") as connect:
            async with connect("ws://127.0.0.1:1/stream"):
                pass

    with pytest.raises(Unavailable, match=r"127\.0\.0\.1 cannot be reached"):
        asyncio.run(opened(Venues()))
    with pytest.raises(Unavailable, match="localhost cannot be reached"):
        asyncio.run(opened(Venues(ws_urls={"binance": "ws://localhost:1"})))


def test_a_bucket_is_reached_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the client that dagster-aws makes."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    lake = LakeResource(
        url="s3://bucket/lake", s3_region="eu-west-1", s3_endpoint_url="http://127.0.0.1:9", s3_retries=0
    )
    client = lake.client()
    assert (client.meta.region_name, client.meta.endpoint_url) == ("eu-west-1", "http://127.0.0.1:9")
    with pytest.raises(LakeError, match="Could not connect"):
        lake.open().identity()
