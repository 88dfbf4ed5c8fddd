import pytest

from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import HOUR, WEEK
from dccd_pipeline.config.sources import read_source, refuse_months, refuse_unfilled, said_source, short_span


@pytest.mark.parametrize(("typed", "source"), [("trades", "trades"), ("60m", "1h"), (60, "1m"), ("1w", "1w")])
def test_what_bars_are_built_of_is_written_in_one_way(typed: object, source: str) -> None:
    assert read_source(typed) == source


@pytest.mark.parametrize("typed", ["ohlc", "orderbook", True, "", "1y", "0m", [1], "1mo"])
def test_what_is_neither_trades_nor_a_length_is_refused(typed: object) -> None:
    with pytest.raises(ConfigError):
        read_source(typed)


def test_trades_are_no_bars() -> None:
    assert [short_span(source) for source in ("trades", None, "1h")] == [None, None, HOUR]
    assert [said_source(source) for source in ("trades", "1h")] == ["trades", "1h bars"]


@pytest.mark.parametrize("typed", ["1mo", "12mo", "1M"])
def test_months_are_refused_with_what_makes_them(typed: str) -> None:
    with pytest.raises(ConfigError, match=r"Lake\.scan\(\.\.\., span=.\d+mo.\) makes them"):
        refuse_months(typed)
    refuse_months("1m")


@pytest.mark.parametrize(
    ("source", "span", "said"),
    [
        ("1h", "1h", "1h bars cannot be built of 1h bars, which are not shorter"),
        ("1d", "4h", "4h bars cannot be built of 1d bars, which are not shorter"),
        ("7m", "1h", "7m bars do not fill 1h bars exactly -> nearest is 63m"),
        ("42h", "1w", "42h bars do not fill 1w bars exactly -> nearest is 210h"),
        ("trades", "7m", "7m bars of trades do not divide a day -> nearest is 6m"),
    ],
)
def test_bars_that_cannot_be_built_are_refused(source: str, span: str, said: str) -> None:
    with pytest.raises(ConfigError) as e:
        refuse_unfilled(source, parse_bar_span(span), ())
    assert str(e.value).startswith(said)


def test_bars_that_shorter_ones_fill_are_not() -> None:
    for source, span in (("1m", "7m"), ("1d", "1w"), ("1h", "7h"), ("trades", "8h")):
        refuse_unfilled(source, parse_bar_span(span), ())
    refuse_unfilled("trades", WEEK, (WEEK,))
