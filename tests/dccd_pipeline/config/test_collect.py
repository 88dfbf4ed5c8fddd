import re
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from dccd_core import exchanges
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, parse_time
from dccd_core.exchanges import get
from dccd_core.exchanges.binance import EXCHANGE
from dccd_core.tables import DataType
from dccd_pipeline.config.capabilities import present
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.fields import SymbolLife
from dccd_pipeline.config.read import SettingsError, entry_of, settings_of

BASIC: dict[str, Any] = {"exchange": "binance", "symbols": ["BTC/USDT", "ETH/USDT"], "data_type": "trades"}
BARS: dict[str, Any] = {**BASIC, "data_type": "ohlc", "span": "1m"}
BOOK: dict[str, Any] = {**BASIC, "data_type": "orderbook"}


@pytest.fixture
def venue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register an exchange that serves inverse perpetuals, 1h bars and a book of 25 levels, since 2020.

    Of the linear ones it serves 1m bars, and no book.
    """
    endpoints = {
        DataType.OHLC: replace(EXCHANGE.endpoints[DataType.OHLC], spans=(HOUR,)),
        DataType.ORDERBOOK: replace(EXCHANGE.endpoints[DataType.ORDERBOOK], page_limit=25),
    }
    exchange = replace(
        EXCHANGE,
        name="venue",
        since=parse_time("2020-05-04T12:00:00"),
        kinds=frozenset({"inverse", "linear"}),
        endpoints=endpoints,
        special={
            ("linear", DataType.OHLC): replace(EXCHANGE.endpoints[DataType.OHLC], spans=(MINUTE,)),
            ("linear", DataType.ORDERBOOK): None,
        },
    )
    monkeypatch.setattr(exchanges, "NAMES", ("binance", "venue"))
    monkeypatch.setitem(sys.modules, "dccd_core.exchanges.venue", SimpleNamespace(EXCHANGE=exchange))


def made(raw: dict[str, Any]) -> Entry:
    return entry_of(raw, present())


def refused(raw: dict[str, Any]) -> dict[str, str]:
    """Return what is said of an entry, but for what other entries and keys are to make up for."""
    with pytest.raises(SettingsError) as e:
        settings_of({"collect": [raw]})
    lines = (line for line in e.value.lines if "of which to build" not in line and "rest_url" not in line)
    said = (line.removeprefix("collect[0].").partition(": ") for line in lines)
    return {re.sub(r"\[(\d+)\]", r".\1", place): text for place, _, text in said}


def test_datasets_are_one_per_symbol() -> None:
    btc, eth = Symbol("BTC", "USDT"), Symbol("ETH", "USDT")
    assert made(BARS).datasets == (
        Dataset("binance", btc, DataType.OHLC, MINUTE),
        Dataset("binance", eth, DataType.OHLC, MINUTE),
    )
    assert made(BASIC).datasets == (
        Dataset("binance", btc, DataType.TRADES),
        Dataset("binance", eth, DataType.TRADES),
    )


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (BARS, "binance_ohlc_1m"),
        ({**BARS, "span": 3600}, "binance_ohlc_1h"),
        (BASIC, "binance_trades"),
        ({**BASIC, "name": "Majors_2"}, "Majors_2"),
    ],
)
def test_names(raw: dict[str, Any], name: str) -> None:
    assert made(raw).name == name


@pytest.mark.parametrize(
    ("typed", "near"),
    [("my majors!", "my_majors"), ("2nd-try", "n2nd_try"), ("_x", "x"), ("", "n"), ("é", "n")],
)
def test_names_refused_come_with_one_that_would_do(typed: str, near: str) -> None:
    assert refused({**BASIC, "name": typed}) == {
        "name": f"{typed!r} is not letters, digits and _ after a letter -> write {near}"
    }
    assert made({**BASIC, "name": near}).name == near


@pytest.mark.parametrize("typed", ["1h", 3600, "3600s", "60m"])
def test_spans_are_normalised(typed: str | int) -> None:
    assert made({**BARS, "span": typed}).span == HOUR


def test_every_span_the_exchange_serves_is_taken() -> None:
    for span in EXCHANGE.endpoints[DataType.OHLC].spans:
        assert made({**BARS, "span": span // SECOND}).span == span


@pytest.mark.parametrize(
    ("when", "cron"),
    [
        ({}, "0 * * * *"),
        ({"every": "5m"}, "*/5 * * * *"),
        ({"every": 86400}, "0 0 * * *"),
        ({"cron": "7 2 * * 1"}, "7 2 * * 1"),
    ],
)
def test_when_it_runs(when: dict[str, Any], cron: str) -> None:
    assert made({**BASIC, **when}).cron_schedule == cron


def test_start_is_where_the_exchange_begins_unless_given() -> None:
    assert made(BASIC).start == date(2017, 7, 14)
    assert made({**BASIC, "start": "2017-07-14"}).start == date(2017, 7, 14)
    assert made({**BASIC, "start": date(2024, 1, 1)}).start == date(2024, 1, 1)


@pytest.mark.usefixtures("venue")
def test_depth_is_100_or_all_there_is() -> None:
    assert made(BASIC).depth is None
    assert made(BOOK).depth == 100
    assert made({**BOOK, "depth": 5000}).depth == 5000
    assert made({**BOOK, "exchange": "venue", "symbols": ["BTC/USD:BTC"]}).depth == 25


@pytest.mark.usefixtures("venue")
def test_what_the_exchange_does_not_serve_is_refused() -> None:
    at_venue = {"exchange": "venue", "symbols": ["BTC/USD"], "start": "2020-05-03"}
    no_spot = "venue has no spot markets, so no BTC/USD -> its {} market would be {}"
    no_spot, no_spot_book = no_spot.format("linear", "BTC/USD:USD"), no_spot.format("inverse", "BTC/USD:BTC")
    too_early = "venue has nothing before 2020-05-04 -> write 2020-05-04 or later"
    assert refused({**BARS, **at_venue, "span": "4m"}) == {
        "symbols.0": no_spot,
        "span": "venue serves no 4m bars of linear markets -> nearest is 1m, it serves 1m",
        "start": too_early,
    }
    assert refused({**BASIC, **at_venue}) == {
        "data_type": "venue serves no trades -> it serves ohlc, orderbook",
        "symbols.0": no_spot,
        "start": too_early,
    }
    assert refused({**BOOK, **at_venue, "depth": 26}) == {
        "symbols.0": no_spot_book,
        "start": too_early,
        "depth": "venue serves at most 25 levels, not 26 -> write 25",
    }


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("BTCUSDT", "write BTC/USDT"),
        ("BTC-USDT", "write BTC/USDT"),
        ("btc_usdt", "write BTC/USDT"),
        ("ETHBTC", "write ETH/BTC"),
        ("USDTUSD", "write USDT/USD"),
        ("DOTUSD", "write DOT/USD"),
        ("BTCFDUSD", "write BTC/FDUSD"),
        ("BTC-USDT_USDT", "write BTC/USDT:USDT"),
        ("USDT", "write it like BTC/USDT"),
        ("XBTH26", "write it like BTC/USDT"),
        (5, "write it like BTC/USDT"),
    ],
)
def test_symbols_in_another_notation_are_refused_with_ours(typed: str | int, hint: str) -> None:
    said = refused({**BASIC, "symbols": ["ETH/USDT", typed]})
    assert said == {"symbols.1": f"symbol {str(typed)!r} is not in unified notation -> {hint}"}


def test_lower_case_symbols_are_refused_but_mixed_case_is_a_name() -> None:
    assert refused({**BASIC, "symbols": ["btc/usdt"]}) == {
        "symbols.0": "symbol 'btc/usdt' is in lower case -> write BTC/USDT"
    }
    assert made({**BASIC, "symbols": ["TSLAx/USD"]}).symbols == (Symbol("TSLAx", "USD"),)


def test_what_hangs_on_an_unknown_exchange_is_still_checked_as_far_as_it_can_be() -> None:
    said = refused(
        {**BARS, "exchange": "binanc", "span": None, "depth": 3, "every": "7m", "cron": "0 2 * * *"}
    )
    assert said == {
        "exchange": "unknown exchange 'binanc' -> did you mean 'binance'?",
        "span": "missing, ohlc needs one -> write it like 1m",
        "every": "cannot run every 7m -> write 6m or 10m, or a cron",
        "cron": "cron and every exclude each other -> keep one of the two",
        "depth": "ohlc takes no depth -> remove it, only orderbook has one",
    }


def test_entries_are_frozen_values() -> None:
    entry = made(BARS)
    assert entry == made({**BARS, "span": 60})
    assert hash(entry) == hash(made(BARS))
    with pytest.raises(ValidationError, match="frozen"):
        entry.__setattr__("span", parse_bar_span("5m"))


@pytest.mark.usefixtures("venue")
def test_each_kind_of_market_is_served_in_its_own_way() -> None:
    at_venue = {"exchange": "venue", "symbols": ["BTC/USDT:USDT"]}
    assert made({**BARS, **at_venue}).span == MINUTE
    assert refused({**BARS, **at_venue, "span": "1h"}) == {
        "span": "venue serves no 1h bars -> nearest is 1m, it serves 1m"
    }
    both = {**at_venue, "symbols": ["BTC/USDT:USDT", "BTC/USD:BTC"]}
    assert refused({**BARS, **both, "span": "1m"}) == {
        "span": "venue serves no 1m bars of inverse markets -> nearest is 1h, it serves 1h"
    }
    assert refused({**BOOK, **both}) == {
        "symbols.0": "venue serves no orderbook of linear markets"
        " -> its inverse market would be BTC/USDT:BTC; of BTC/USDT:USDT it serves ohlc"
    }


KRAKEN: dict[str, Any] = {"exchange": "kraken", "symbols": ["BTC/USD"], "data_type": "ohlc", "span": "1h"}
TODAY = datetime.now(UTC).date()


def test_a_start_beyond_the_reach_is_refused_with_the_ways_out() -> None:
    since = f"{datetime.now(UTC) - timedelta(hours=720):%Y-%m-%dT}"
    (said,) = refused({**KRAKEN, "start": "2020-01-01"}).values()
    assert re.sub(rf"{since}\d\d:\d\dZ", "SINCE", said) == (
        "kraken serves the last 720 rows of 1h bars, now from SINCE on"
        " -> write start: recent, or derive_from: trades, or take it from binance or bybit or okx"
    )
    assert refused({**BASIC, "exchange": "bybit", "start": "2024-01-01"}) == {
        "start": "bybit serves the last 60 rows of trades"
        " -> write start: recent, or take it from binance or coinbase or kraken"
    }
    swaps = {**BASIC, "symbols": ["BTC/USDT:USDT"], "start": "2024-01-01"}
    assert refused(swaps)["start"].startswith("binance serves the last 24 hours of trades, now from ")
    assert refused(swaps)["start"].endswith("-> write start: recent")


def test_the_reach_of_one_kind_of_market_is_not_held_against_a_symbol_that_may_be_of_another() -> None:
    """Binance has all trades of spot markets, those of linear ones for a day."""
    assert refused({**BASIC, "symbols": ["BTCUSDT"], "start": "2024-01-01"}).keys() == {"symbols.0"}
    unsound = {**KRAKEN, "symbols": ["BTCUSD"], "start": "2020-01-01"}
    assert refused(unsound).keys() == {"symbols.0", "start"}, "all of its kinds of market are limited"


def test_a_day_that_can_be_asked_for_today_is_refused_because_tomorrow_it_cannot() -> None:
    """A file that loads today loads next year too."""
    today = datetime.now(UTC).date()
    for start in (today, today - timedelta(days=29), today - timedelta(days=60)):
        assert "write start: recent" in refused({**KRAKEN, "start": start})["start"]


def test_recent_is_the_year_in_which_the_reach_begins() -> None:
    def start(**changes: Any) -> date:
        return made({**KRAKEN, "start": "recent", **changes}).start

    def year(days: float) -> date:
        return (datetime.now(UTC) - timedelta(days=days)).date().replace(month=1, day=1)

    assert start() == year(30)
    assert start(span="1d") == year(720)
    assert start(exchange="okx", data_type="trades", span=None) == year(90)
    assert start(exchange="bybit", data_type="trades", span=None) == year(1)
    assert made(KRAKEN).start == year(30)  # all there is
    assert start(data_type="orderbook", span=None) == year(0)
    assert refused({**BASIC, "start": "recent"}) == {
        "start": "binance serves the full history, so recent says nothing -> write a day, 2017-07-14 or later"
    }


def test_an_order_book_starts_whenever_one_likes() -> None:
    assert made({**BOOK, "start": "2019-01-01"}).start == date(2019, 1, 1)
    assert made(BOOK).start == date(2017, 7, 14)


def test_derived_bars_reach_as_far_as_the_trades_and_have_any_span_that_divides_a_day() -> None:
    derived = {**KRAKEN, "derive_from": "trades"}
    entry = made({**derived, "span": "10m", "start": "2015-01-01"})
    assert entry.datasets == (Dataset("kraken", Symbol("BTC", "USD"), DataType.OHLC, parse_bar_span("10m")),)
    assert entry.source(entry.symbols[0]) == get("kraken").endpoints[DataType.TRADES]
    assert made(derived).start == date(2013, 9, 10)
    weeks = {"exchange": "bybit", "symbols": ["BTC/USDT"], "span": "1w"}
    assert made({**derived, **weeks}).span == parse_bar_span("1w")  # the exchange has it too
    assert refused({**derived, "start": "recent"}).keys() == {"start"}
    for typed, near in (("7m", "6m"), ("50m", "48m"), ("7h", "6h"), ("77s", "75s"), ("2d", "1d")):
        said = f"{typed} bars of trades do not divide a day -> nearest is {near}"
        assert refused({**derived, "span": typed}) == {"span": said}


def test_only_bars_are_derived_and_only_from_trades() -> None:
    assert refused({**BASIC, "derive_from": "trades"}) == {
        "derive_from": "trades takes no derive_from -> remove it, only ohlc has one"
    }
    assert refused({**BASIC, "derive_from": "1h"}) == {
        "derive_from": "trades takes no derive_from -> remove it, only ohlc has one"
    }
    assert refused({**KRAKEN, "derive_from": "ohlc"}) == {
        "derive_from": "'ohlc' is neither trades nor the length of a bar -> write trades, or a length like 1h"
    }


def test_bars_are_derived_from_shorter_ones_that_fill_them() -> None:
    """Spans of a week and more, and those that the exchange has not, too; 0e899d4 knows trades only."""
    for source, span in (("1m", "1h"), (60, "7m"), ("1h", "1d"), ("1d", "1w"), ("1w", "2w"), ("1h", "7h")):
        entry = made({**BARS, "derive_from": source, "span": span})
        assert (entry.derive_from, entry.span) == ("1m" if source == 60 else source, parse_bar_span(span))
        assert entry.built_from(entry.datasets[0]) == Dataset(
            "binance", Symbol("BTC", "USDT"), DataType.OHLC, parse_bar_span(source)
        )
    for source, span in (("2h", "1h"), ("3h", "4h"), ("1w", "10d"), ("5d", "1w"), ("1h", "1h")):
        assert refused({**BARS, "derive_from": source, "span": span}).keys() == {"span"}
    assert refused({**BARS, "derive_from": "1m", "span": "1h", "start": "recent"}) == {
        "start": "recent says nothing of bars that are built of stored ones"
        " -> leave start out: they begin with those they are built of"
    }
    assert made(BARS).built_from(made(BARS).datasets[0]) is None


def test_of_bars_of_bars_the_exchange_is_asked_for_what_the_first_are_built_of() -> None:
    asked = made({**KRAKEN, "span": "1m", "start": "recent"})
    traded = made({**KRAKEN, "span": "1m", "derive_from": "trades", "start": "2024-02-03"})
    bars = made({**KRAKEN, "span": "1d", "derive_from": "1m"})
    symbol, (dataset,) = bars.symbols[0], bars.datasets
    now, years = parse_time("2026-03-01"), ["2024", "2025", "2026"]
    told = bars.built_of({symbol: asked})
    assert (told.asked_for(dataset), told.start) == (asked.datasets[0], asked.start)
    assert told.source(symbol) == get("kraken").endpoints[DataType.OHLC]
    assert told.askable(dataset, years, now) == ["2026"], "720 minutes"
    told = bars.built_of({symbol: traded})
    assert (told.asked_for(dataset), told.start) == (dataset.source, date(2024, 2, 3))
    assert told.source(symbol) == get("kraken").endpoints[DataType.TRADES]
    assert told.askable(dataset, years, now) == years
    week = made({**KRAKEN, "span": "1w", "derive_from": "1d", "start": "2025-01-01"})
    chain = week.built_of({symbol: told})
    assert (chain.asked_for(chain.datasets[0]), chain.start) == (dataset.source, date(2025, 1, 1))
    assert [one.turn for one in (asked, traded, told, chain)] == sorted(
        one.turn for one in (chain, told, traded, asked)
    )


@pytest.mark.usefixtures("venue")
def test_bars_are_not_derived_where_there_are_no_trades() -> None:
    inverse = {**BARS, "exchange": "venue", "symbols": ["BTC/USD:BTC"], "span": "1h"}
    assert refused({**inverse, "derive_from": "trades"}) == {
        "derive_from": "venue serves no trades of inverse markets to build bars of -> remove it"
    }


def test_a_span_that_is_not_served_can_be_derived() -> None:
    assert refused({**KRAKEN, "span": "10m"}) == {
        "span": "kraken serves no 10m bars -> nearest is 5m, it serves 1m, 5m, 15m, 30m, 1h, 4h, 1d"
        "; or derive_from: trades"
    }


BITMEX: dict[str, Any] = {"exchange": "bitmex", "symbols": ["BTC/USD:BTC"], "data_type": "trades"}


def test_of_a_closed_exchange_the_past_is_collected_and_no_more() -> None:
    entry = made(BITMEX)
    assert (entry.last_day, entry.scheduled) == (date(2026, 9, 23), False)
    assert (made(BASIC).last_day, made(BASIC).scheduled) == (None, True)
    said = "BitMEX closed on 2026-09-23, nothing new comes -> remove {}"
    assert refused({**BITMEX, "every": "1h"}) == {"every": said.format("every")}
    assert refused({**BITMEX, "cron": "0 2 * * *"}) == {"cron": said.format("cron")}
    assert refused({**BITMEX, "start": "2026-09-24"}) == {
        "start": "BitMEX closed on 2026-09-23 -> write 2026-09-23 or earlier"
    }
    assert refused({**BITMEX, "data_type": "orderbook"}) == {
        "data_type": "bitmex serves no orderbook, it closed on 2026-09-23 -> it serves ohlc, trades"
    }


def test_partitions_can_be_asked_for_within_the_reach_and_the_life_of_a_symbol() -> None:
    now = parse_time("2026-03-01T12:00")
    months = ["2025-12", "2026-01", "2026-02", "2026-03"]
    entry = made({**KRAKEN, "span": "30m"})
    (dataset,) = entry.datasets
    assert entry.askable(dataset, months, now) == ["2026-02", "2026-03"]  # 15 days
    derived = made({**KRAKEN, "span": "30m", "derive_from": "trades"})
    assert derived.askable(dataset, months, now) == months

    def living(**life: str) -> Entry:
        return derived.living({dataset.symbol: SymbolLife.model_validate(life)})

    assert living(delisted="2026-02-01").askable(dataset, months, now) == months[:3]
    assert living(delisted="2026-01-31").askable(dataset, months, now) == months[:2]
    assert living(listed="2026-01-31").askable(dataset, months, now) == months[1:]
    assert living(renamed_to="XBT/USD").life_of(dataset.symbol).hint == "it is called XBT/USD now"
    assert derived.life_of(dataset.symbol) == SymbolLife()


def test_of_order_books_only_the_present_can_be_asked_for() -> None:
    entry = made(BOOK)
    days = ["2026-02-28", "2026-03-01"]
    assert entry.askable(entry.datasets[0], days, parse_time("2026-03-01")) == days[1:]


def test_of_a_number_of_trades_two_days_may_hold_some() -> None:
    entry = made({**BASIC, "exchange": "bybit"})
    days = ["2026-02-27", "2026-02-28", "2026-03-01"]
    assert entry.askable(entry.datasets[0], days, parse_time("2026-03-01T00:05")) == days[1:]


@pytest.mark.parametrize(
    ("typed", "every"),
    [("auto", None), ("1h", HOUR), ("1d", DAY), (90, 90 * SECOND), (0, 0), ("0s", 0), (None, None)],
)
def test_how_long_rows_may_stay_in_the_tail(typed: object, every: int | None) -> None:
    assert made(BARS | {"fold_every": typed}).fold_every == every
    assert made(BARS).fold_every is None


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("often", "'often' is no length of time -> write it like 1h, 0 for every tick, or auto"),
        (True, "True is no length of time -> write it like 1h, 0 for every tick, or auto"),
        ("10s", "cannot fold every 10s -> write 1m or more, or auto"),
        ("1w", "cannot fold every 1w -> write 1d or less, or auto"),
    ],
)
def test_a_length_that_is_none_is_refused_with_one_that_is(typed: object, said: str) -> None:
    assert refused(BARS | {"fold_every": typed}) == {"fold_every": said}


@pytest.mark.parametrize("start", [{}, {"start": "recent"}])
@pytest.mark.parametrize("now", ["2026-12-02", "2027-01-02", "2031-05-01"])
def test_what_has_ended_began_before_it_ended(start: dict[str, str], now: str) -> None:
    """bdee002: "2026-12-01 is not after the start" from the next year on; or, without a start, it was so."""
    shown_shortly = {"exchange": "bybit", "symbols": ["BTC/USDT"], "data_type": "trades", "end": "2026-12-01"}
    raw, judged = {"collect": [{**shown_shortly, **start}]}, parse_time("2026-12-01")
    (entry,) = settings_of(raw, now=parse_time(now), judged=judged).collect
    assert entry.start == date(2026, 1, 1)
