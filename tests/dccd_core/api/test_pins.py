"""A pin from a notebook: what is recorded by then is in it."""

from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from dccd_core import ConfigError, Lake
from dccd_core.api.pins import make_pin
from dccd_core.domain.timespan import Us
from dccd_core.lake.live.coverage import Notes
from tests.dccd_core.lake.samples import DAY, TRADES, live, notes, numbered, record, store

NAME = "binance/trades/BTC-USDT"


def test_the_tail_is_in_the_pin_and_stays_in_the_lake(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    store(lake, numbered(range(10)))
    record(lake, live(numbered([20, 21])), live(numbered([5]), "ETH/USDT"))
    writer = lake.segment("binance", TRADES.data_type, None, Us(2))
    writer.append(live(numbered([30])), Notes())
    pin = lake.make_pin("paper-1", NAME)
    assert_frame_equal(pin.read(NAME), lake.read(NAME))
    assert pin.read(NAME).height == 13
    writer.append(live(numbered([31])), notes(None))
    writer.close()
    assert lake.pin("paper-1").read(NAME).height == 13
    assert lake.read(NAME).height == 14
    assert [str(one) for one in pin.datasets()] == [NAME]


def test_what_only_the_tail_has_can_be_pinned(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    record(lake, live(numbered([20, 21])))
    assert lake.make_pin("one").read(NAME).height == 2


def test_time_is_given_as_everywhere(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    store(lake, numbered(range(10)))
    assert lake.make_pin("one", NAME, start="2024-01", end="2024-02").read(NAME).height == 10
    with pytest.raises(ConfigError, match="no partition is stored from 2024-02-01T00:00:00Z ->"):
        lake.make_pin("two", start="2024-02-01")
    with pytest.raises(ConfigError, match="has no pin two -> did you mean one"):
        lake.pin("two")


def test_a_pin_is_told_as_the_core_makes_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    store(lake, numbered(range(10)))
    assert make_pin(lake, "one", [TRADES], None).files[TRADES, DAY].rows == 10
