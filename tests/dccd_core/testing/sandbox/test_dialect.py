"""What a venue rounds, numbers and leaves out, seen in the truth that tests compare with."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MINUTE, TimeRange, parse_time
from dccd_core.exchanges import NAMES
from dccd_core.testing.sandbox.dialect import DIALECTS, average_price, global_ids
from dccd_core.testing.sandbox.market import Market

MARKET = Market()
SPOT, LINEAR, INVERSE = (Symbol.parse(text) for text in ("BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"))
NOON = parse_time("2024-06-05T12:00")
HALF_HOUR = TimeRange(NOON, parse_time("2024-06-05T12:30"))
LONG_AGO = TimeRange(parse_time("2024-06-05"), parse_time("2024-06-06"))


def trades(exchange: str, symbol: Symbol = SPOT) -> pl.DataFrame:
    return MARKET.truth_trades(exchange, symbol, LONG_AGO)


def bars(exchange: str) -> pl.DataFrame:
    return MARKET.truth_bars(exchange, SPOT, MINUTE, LONG_AGO)


def test_every_exchange_has_a_dialect() -> None:
    assert set(DIALECTS) == set(NAMES)
    with pytest.raises(KeyError, match=r"no dialect of octopus: add it to DIALECTS in \S+/dialect\.py"):
        assert DIALECTS["octopus"]


@pytest.mark.parametrize("name", NAMES)
def test_no_two_trades_of_a_venue_share_an_id_and_no_time_is_finer_than_it_shows(name: str) -> None:
    rows = trades(name)
    assert rows["trade_id"].is_unique().all()
    assert rows["ts"].is_sorted()
    times = rows["ts"].cast(pl.Int64)
    assert (times % DIALECTS[name].unit).sum() == 0
    assert (times % (10 * DIALECTS[name].unit)).sum() > 0, "the unit is used to the full"


@pytest.mark.parametrize("name", NAMES)
def test_bars_add_up_to_the_trades(name: str) -> None:
    rows = bars(name)
    assert rows["volume"].sum() == pytest.approx(trades(name)["amount"].sum())
    if DIALECTS[name].counts:
        assert rows["trades"].sum() == trades(name).height
    else:
        assert rows["trades"].is_null().all()
    assert rows["quote_volume"].is_null().all() != DIALECTS[name].quote_volume


@pytest.mark.parametrize("name", NAMES)
def test_bars_without_trades_are_left_out_by_those_who_do_so(name: str) -> None:
    rows = bars(name)
    if DIALECTS[name].sparse:
        assert rows.filter(volume=0).is_empty()
        assert 1_000 < rows.height < DAY // MINUTE - 100
    else:
        assert rows.filter(volume=0).height > 100
        assert rows.height == DAY // MINUTE


def test_a_bar_that_carries_its_open_begins_where_the_one_before_ended() -> None:
    rows = bars("bitmex")
    assert rows["open"].equals(rows["close"].shift(1).fill_null(rows["open"][0]))
    outside = rows.filter((pl.col("open") < pl.col("low")) | (pl.col("open") > pl.col("high")))
    assert outside.height > 100
    assert not bars("binance")["open"].equals(bars("binance")["close"].shift(1).fill_null(0.0))


def test_an_average_price_that_was_rounded_gives_a_quote_volume_close_by() -> None:
    rows = bars("kraken").filter(pl.col("volume") > 0)
    average = (rows["quote_volume"] / rows["volume"]).to_numpy()
    assert np.allclose(average * 10, np.round(average * 10), atol=1e-6), "one decimal"
    assert (average >= rows["low"].to_numpy() - 0.1).all()
    assert (average <= rows["high"].to_numpy()).all()


@given(
    volume=st.lists(st.integers(0, 10**6), min_size=1, max_size=9),
    price=st.integers(1, 10**9),
    decimals=st.integers(0, 3),
    scale=st.integers(0, 5),
)
def test_an_average_price_is_rounded_down(volume: list[int], price: int, decimals: int, scale: int) -> None:
    lots = np.array(volume)
    average = average_price(lots * price, lots, decimals, scale)
    assert average.tolist() == [price * 10**decimals // 10**scale if lot else 0 for lot in volume]


@given(st.lists(st.integers(0, 10**12), max_size=30))
def test_global_ids_have_holes_grow_and_can_be_undone(ids: list[int]) -> None:
    numbers = np.array(sorted(set(ids)), np.int64)
    told = global_ids(numbers)
    assert np.array_equal(told // 5, numbers)
    assert (np.diff(told) > 0).all()


def test_global_ids_are_not_all_alike() -> None:
    assert len(set(np.diff(global_ids(np.arange(100))).tolist())) > 3


class TestContracts:
    def test_a_linear_contract_is_worth_part_of_the_base(self) -> None:
        tape = MARKET.tape("okx", LINEAR).between(HALF_HOUR)
        sizes, scale = MARKET.sizes("okx", LINEAR, tape)
        lots = MARKET.instruments[LINEAR].amount_scale
        assert (sizes.tolist(), scale) == (tape.amount.tolist(), lots - 2)
        amounts = MARKET.truth_trades("okx", LINEAR, HALF_HOUR)["amount"]
        assert amounts.to_list() == pytest.approx((tape.amount / 10**lots).tolist())

    @pytest.mark.parametrize(("exchange", "worth"), [("okx", 100.0), ("bybit", 1.0)])
    def test_an_inverse_contract_is_worth_so_much_of_the_quote(self, exchange: str, worth: float) -> None:
        tape = MARKET.tape(exchange, INVERSE).between(HALF_HOUR)
        sizes, scale = MARKET.sizes(exchange, INVERSE, tape)
        rows = MARKET.truth_trades(exchange, INVERSE, HALF_HOUR)
        contracts = sizes / 10**scale
        assert rows["amount"].to_list() == pytest.approx((contracts * worth / rows["price"]).to_list())
        assert rows["amount"].to_list() == pytest.approx(
            (tape.amount / 10 ** MARKET.instruments[INVERSE].amount_scale).tolist()
        )

    @pytest.mark.parametrize("symbol", [SPOT, LINEAR], ids=str)
    def test_where_trades_count_the_base_sizes_are_the_lots(self, symbol: Symbol) -> None:
        tape = MARKET.tape("binance", symbol).between(HALF_HOUR)
        sizes, scale = MARKET.sizes("binance", symbol, tape)
        assert (sizes.tolist(), scale) == (
            tape.amount.tolist(),
            MARKET.instruments[symbol].amount_scale,
        )


def test_a_sparse_venue_has_the_same_bars_where_something_traded(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = bars("binance").filter(pl.col("volume") > 0)
    monkeypatch.setattr(
        "dccd_core.testing.sandbox.market.DIALECTS",
        {**DIALECTS, "binance": replace(DIALECTS["binance"], sparse=True)},
    )
    assert bars("binance").equals(dense)
