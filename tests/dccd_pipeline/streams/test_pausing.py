"""Pausing a stream or a part of it, and taking that back."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.errors import ConfigError
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.config.stream import StreamEntry
from dccd_pipeline.streams.orders import Part, Wishes, read_paused, read_wishes, write_paused
from dccd_pipeline.streams.pausing import meant, pause, resume
from tests.dccd_pipeline.streamed import settings_of

MAJORS = "{name: majors, exchange: binance, symbols: [BTC/USDT, ETH/USDT], data_types: [trades, orderbook]}"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path, MAJORS)


@pytest.fixture
def entry(settings: Settings) -> StreamEntry:
    return settings.stream[0]


def paused(instance: dg.DagsterInstance, entry: StreamEntry) -> list[str]:
    """Return which datasets the plan of a run leaves out."""
    return sorted(map(str, read_wishes(instance, entry.name, "run").plan(entry).paused))


@pytest.mark.parametrize("typed", ["BTC/USDT", "btc/usdt", "btc-usdt"])
def test_a_part_is_understood_as_people_write_it(settings: Settings, typed: str) -> None:
    assert meant(settings, "majors", None, None)[1] == Part()
    assert meant(settings, "majors", typed, None)[1] == Part("BTC/USDT")
    assert meant(settings, "majors", typed, "Trades")[1] == Part("BTC/USDT", "trades")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("major", None, None), "there is no stream called major -> did you mean majors?"),
        (("x", None, None), "there is no stream called x -> configured: majors"),
        (
            ("majors", "BTC/USD", None),
            "there is no symbol of majors called BTC/USD -> did you mean BTC/USDT?",
        ),
        (
            ("majors", "BTC/USDT", "trade"),
            "there is no data type of majors called trade -> did you mean trades?",
        ),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest(
    settings: Settings, words: tuple[str, str | None, str | None], line: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        meant(settings, *words)
    assert str(refused.value) == line


def test_without_streams_there_is_nothing_to_pause() -> None:
    with pytest.raises(ConfigError, match="no stream is configured"):
        meant(Settings(), "majors", None, None)


def test_a_symbol_is_paused_once_and_goes_on_once(instance: dg.DagsterInstance, entry: StreamEntry) -> None:
    part = Part("BTC/USDT")
    said = "majors: BTC/USDT is paused, until dccd stream resume majors BTC/USDT"
    assert pause(instance, entry, part) == said
    assert pause(instance, entry, part) == "majors: BTC/USDT was paused already"
    assert paused(instance, entry) == ["binance/orderbook/BTC-USDT", "binance/trades/BTC-USDT"]
    assert resume(instance, entry, part) == "majors: BTC/USDT goes on"
    assert resume(instance, entry, part) == "majors: BTC/USDT was not paused"
    assert paused(instance, entry) == []
    assert read_paused(instance, ["majors"]) == {}


def test_a_wider_pause_takes_the_place_of_those_within_it(
    instance: dg.DagsterInstance, entry: StreamEntry
) -> None:
    pause(instance, entry, Part("BTC/USDT", "trades"))
    pause(instance, entry, Part())
    assert read_paused(instance, ["majors"]) == {"majors": {Part()}}
    assert pause(instance, entry, Part("ETH/USDT")) == "majors: ETH/USDT was paused already"
    assert len(paused(instance, entry)) == 4


def test_of_a_wider_pause_a_part_can_go_on(instance: dg.DagsterInstance, entry: StreamEntry) -> None:
    pause(instance, entry, Part())
    said = resume(instance, entry, Part("BTC/USDT", "trades"))
    assert said == (
        "majors: BTC/USDT trades goes on; still paused: "
        "BTC/USDT orderbook, ETH/USDT orderbook, ETH/USDT trades"
    )
    assert paused(instance, entry) == [
        "binance/orderbook/BTC-USDT",
        "binance/orderbook/ETH-USDT",
        "binance/trades/ETH-USDT",
    ]
    assert resume(instance, entry, Part()) == "majors: all of it goes on"
    assert paused(instance, entry) == []


def test_a_symbol_that_comes_later_is_paused_with_its_stream(
    instance: dg.DagsterInstance, tmp_path: Path, entry: StreamEntry
) -> None:
    pause(instance, entry, Part())
    (more,) = settings_of(tmp_path, MAJORS.replace("ETH/USDT", "ETH/USDT, SOL/USDT")).stream
    assert len(paused(instance, more)) == 6


def test_what_another_version_wrote_is_nothing(instance: dg.DagsterInstance) -> None:
    instance.daemon_cursor_storage.set_cursor_values({"dccd/stream-paused/majors": '{"version": 7}'})
    assert read_wishes(instance, "majors", "run") == Wishes()


def test_each_stream_has_pauses_of_its_own(instance: dg.DagsterInstance) -> None:
    write_paused(instance, "majors", [Part()])
    write_paused(instance, "minors", [Part("A/B")])
    assert read_paused(instance, ["majors", "minors", "never"]) == {
        "majors": {Part()},
        "minors": {Part("A/B")},
    }
    assert read_paused(instance, []) == {}
