"""The present order book, of the sandbox's Binance: it tells no time of its own."""

from dataclasses import replace
from pathlib import Path

import msgspec
import polars as pl
import pytest

from dccd_core.adapter.contract import Request, Response
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError, Unavailable
from dccd_core.domain.timespan import DAY, MINUTE, SECOND, TimeRange, Us
from dccd_core.fetch.fill import Filled
from dccd_core.fetch.snapshot import snapshot
from dccd_core.lake.partition.ledger import Source
from dccd_core.tables import DataType
from tests.dccd_core.fetch.world import BTC, NOW, World

BOOK = Dataset("binance", BTC, DataType.ORDERBOOK)
TODAY, TOMORROW = "2024-06-05", "2024-06-06"


def taken(world: World, key: str = TODAY, depth: int = 5) -> Filled:
    return world.with_venue(lambda venue: snapshot(venue, world.lake, BOOK, key, depth))


def test_as_many_levels_as_are_wanted_are_kept_at_the_venues_time(tmp_path: Path) -> None:
    world = World(tmp_path, NOW).at(NOW, Us(NOW - 3 * SECOND))
    filled = taken(world)
    rows = world.stored(BOOK, TODAY)
    assert rows.group_by("side", maintain_order=True).agg("level").rows() == [
        ("bid", [0, 1, 2, 3, 4]),
        ("ask", [0, 1, 2, 3, 4]),
    ]
    assert rows["ts"].to_physical().unique().to_list() == [NOW - 3 * SECOND]
    assert filled.state is not None
    assert (filled.requests, filled.rows, filled.state.rows) == (1, 10, 10)
    [asked] = filled.state.ledger.asked
    assert (asked.source, asked.requests, asked.rows) == (Source.REST, 1, 10)
    assert asked.span == TimeRange(Us(NOW - 3 * SECOND), Us(NOW - 3 * SECOND + 1))


def test_one_picture_follows_the_other(tmp_path: Path) -> None:
    world = World(tmp_path)
    taken(world)
    later = Us(NOW + 5 * MINUTE)
    filled = taken(world.at(later))
    assert world.stored(BOOK, TODAY)["ts"].to_physical().unique().sort().to_list() == [NOW, later]
    assert filled.state is not None
    assert filled.state.rows == 20
    assert [span.start for span in filled.state.ledger.covered()] == [NOW, later]


@pytest.mark.parametrize("key", ["2024-06-04", TOMORROW])
def test_the_book_of_another_day_is_not_asked_for(tmp_path: Path, key: str) -> None:
    world = World(tmp_path)
    with pytest.raises(ConfigError, match=f"books of {key} cannot be asked for") as error:
        taken(world, key)
    assert error.value.hint == f"materialise {TODAY}"
    assert world.requests() == 0


def test_a_book_of_another_day_by_the_venues_clock_is_not_kept(tmp_path: Path) -> None:
    midnight = Us(NOW // DAY * DAY + DAY)
    world = World(tmp_path).at(Us(midnight + SECOND), Us(midnight - SECOND))
    with pytest.raises(Unavailable, match=f"2024-06-05T23:59:59Z, which is not of {TOMORROW}"):
        taken(world, TOMORROW)
    assert list(world.lake.datasets()) == []


def test_a_level_that_cannot_be_true_is_kept_beside_the_others(tmp_path: Path) -> None:
    world = World(tmp_path)

    def spoil(request: Request, response: Response) -> Response:
        book = msgspec.json.decode(response.body)
        if "bids" not in book:
            return response
        book["bids"][1][1] = "-1"
        book["bids"].append(["0.5", "1"])  # one more than was asked for
        book["asks"][0][0] = "?"
        return replace(response, body=msgspec.json.encode(book))

    world.alter = spoil
    filled = taken(world)
    assert filled.rows == 8
    kept = world.lake.quarantined(BOOK, TODAY).sort("amount", nulls_last=True)
    assert kept["reason"][0] == "amount is no positive number"
    assert kept["reason"][1].startswith("cannot be read: ")
    assert world.stored(BOOK, TODAY).filter(pl.col("side") == "bid")["level"].to_list() == [0, 2, 3, 4]
