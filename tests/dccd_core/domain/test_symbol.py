import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol

codes = st.text(
    st.characters(exclude_characters="/:-_", exclude_categories=["Z", "C"]), min_size=1, max_size=6
)
symbols = st.builds(Symbol, codes, codes, st.none() | codes)


@given(symbols)
def test_both_spellings_are_read_back(symbol: Symbol) -> None:
    assert Symbol.parse(str(symbol)) == symbol
    assert Symbol.from_slug(symbol.slug) == symbol


@given(symbols, symbols)
def test_different_symbols_are_spelt_differently(one: Symbol, other: Symbol) -> None:
    assert (one == other) == (str(one) == str(other)) == (one.slug == other.slug)


@pytest.mark.parametrize(
    ("text", "market"),
    [
        ("BTC/USDT", "spot"),
        ("BTC/USDT:USDT", "linear"),
        ("BTC/USD:BTC", "inverse"),
        ("1000SATS/USDT", "spot"),
    ],
)
def test_the_settling_coin_tells_the_market(text: str, market: str) -> None:
    assert Symbol.parse(text).market == market


@pytest.mark.parametrize(
    "text",
    ["BTCUSDT", "BTC-USDT", "BTC/", "/USDT", "BTC/USDT:", "BTC/US DT", "a/b/c", "", "BTC/USDT:U:V"],
)
def test_other_notations_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="unified notation"):
        Symbol.parse(text)


@pytest.mark.parametrize("slug", ["BTCUSDT", "BTC/USDT", "BTC-USDT-X", "BTC_USDT", "BTC-USDT_", ""])
def test_other_text_is_no_slug(slug: str) -> None:
    with pytest.raises(ConfigError, match="is no symbol slug"):
        Symbol.from_slug(slug)
