"""What can be traded, as somebody asks for it: an exchange's own list, remembered for a day."""

import os
from pathlib import Path

import polars as pl
import pytest

from dccd_core.adapter.contract import MARKETS
from dccd_core.domain.errors import ConfigError, Unavailable
from dccd_core.domain.places import state_dir
from dccd_core.testing.sandbox.process import RunningSandbox
from dccd_pipeline.cli import listing
from dccd_pipeline.cli.listing import listed_symbols
from dccd_pipeline.config.read import load_settings
from dccd_pipeline.config.settings import Settings
from tests.dccd_pipeline.cli.terminal import CONFIG

DAY_S = 86_400


def settings_at(project: Path, url: str) -> Settings:
    (project / "dccd.yaml").write_text(CONFIG % url)
    return load_settings()


@pytest.fixture
def settings(project: Path, sandbox: RunningSandbox) -> Settings:
    sandbox.reset()
    return settings_at(project, sandbox.rest_url("binance"))


def names(settings: Settings, pattern: str = "*") -> list[str]:
    return listed_symbols(settings, "binance", pattern)["symbol"].to_list()


def remembered() -> Path:
    [file] = (state_dir() / "markets").iterdir()
    return file


def test_a_pattern_chooses_and_case_does_not_matter(settings: Settings) -> None:
    every = names(settings)
    assert every == sorted(set(every))
    assert "BTC/USDT" in every
    assert names(settings, "btc/*") == [one for one in every if one.startswith("BTC/")]
    assert names(settings, "?TC/usdt") == [one for one in every if one[1:] == "TC/USDT"]
    assert names(settings, "tc/us") == [one for one in every if "TC/US" in one]
    assert names(settings, "nothing*") == []


def test_it_is_asked_once_a_day(settings: Settings, sandbox: RunningSandbox) -> None:
    first = names(settings)
    asked = sandbox.stats().count()
    assert asked > 0
    assert names(settings) == first
    assert sandbox.stats().count() == asked
    yesterday = remembered().stat().st_mtime - DAY_S - 1
    os.utime(remembered(), (yesterday, yesterday))
    assert names(settings) == first
    assert sandbox.stats().count() > asked


def test_what_is_remembered_is_better_than_nothing_however_old(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(_: Settings, __: str) -> pl.DataFrame:
        raise Unavailable("it is down")

    with monkeypatch.context() as patch:
        patch.setattr(listing, "_ask", down)
        with pytest.raises(Unavailable):
            names(settings)
    assert not (state_dir() / "markets").exists(), "what failed is not remembered"
    first = names(settings)
    monkeypatch.setattr(listing, "_ask", down)
    os.utime(remembered(), (0, 0))
    assert names(settings) == first


def test_what_one_address_lists_is_not_what_another_does(
    project: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(_: Settings, __: str) -> pl.DataFrame:
        return pl.DataFrame(schema=MARKETS)

    assert names(settings) != []
    monkeypatch.setattr(listing, "_ask", nothing)
    assert names(settings_at(project, "https://elsewhere.example")) == []


def test_an_exchange_that_closed_is_not_asked(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="BitMEX closed"):
        listed_symbols(settings, "bitmex")
