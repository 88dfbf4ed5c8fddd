import unicodedata
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol

codes = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6).map(
    lambda code: unicodedata.normalize("NFC", code)
)
days = st.dates(date(2000, 1, 1), date(2068, 1, 1)).map(lambda day: f"{day:%y%m%d}")
symbols = st.builds(Symbol, codes, codes, st.none() | codes) | st.builds(Symbol, codes, codes, codes, days)


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
        ("BTC/USDT:USDT-251226", "linear_future"),
        ("BTC/USD:BTC-251226", "inverse_future"),
    ],
)
def test_the_settling_coin_tells_the_market(text: str, market: str) -> None:
    assert Symbol.parse(text).market_type == market


@pytest.mark.parametrize(
    "text",
    [
        "BTCUSDT",
        "BTC-USDT",
        "BTC/",
        "/USDT",
        "BTC/USDT:",
        "BTC/US DT",
        "a/b/c",
        "",
        "BTC/USDT:U:V",
        "BTC/USDT:USDT-251301",
        "BTC/USDT-251226",
        "BTC/USDT:USDT-2512",
    ],
)
def test_other_notations_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="unified notation"):
        Symbol.parse(text)


@pytest.mark.parametrize("slug", ["BTCUSDT", "BTC/USDT", "BTC-USDT-X", "BTC_USDT", "BTC-USDT_", ""])
def test_other_text_is_no_slug(slug: str) -> None:
    with pytest.raises(ConfigError, match="is no symbol slug"):
        Symbol.from_slug(slug)


ODD = ["zero\u200bwidth", "nul\x00", "a\\b", "a=b", "50%", 'q"q', "q'q", "..", ".", "a\u202eb", "\ufeffBTC"]
SIGNS = [f"a{sign}b" for sign in ";?#*|<>&!@()[]{}~^`,"]


@pytest.mark.parametrize(
    "code",
    [*ODD, *SIGNS, "B" * 300, "BTC\u00a0", "$", "\u0301a", "\ud800"],
)
def test_h12_names_have_letters_and_digits_alone(code: str) -> None:
    for text in (f"{code}/USDT", f"BTC/{code}", f"BTC/USDT:{code}"):
        with pytest.raises(ConfigError, match="unified notation"):
            Symbol.parse(text)
    with pytest.raises(ConfigError, match=r"unified notation|is no symbol slug"):
        Symbol.from_slug(f"{code}-USDT")


@pytest.mark.parametrize(
    "code", ["1000SATS", "币安人生", "kPEPE", "USDT.e", "AAPLx", "ETH2.S", "Ærø", "हिन्दी"]
)
def test_h12_letters_of_any_script_are_names(code: str) -> None:
    symbol = Symbol.parse(f"{code}/USDT")
    assert Symbol.from_slug(symbol.slug) == symbol


def test_h12_letters_that_can_be_written_in_two_ways_are_one() -> None:
    assert Symbol.parse("CAFE\u0301/USDT") == Symbol.parse("CAF\u00c9/USDT")
    assert Symbol.from_slug("CAFE\u0301-USDT").slug == "CAF\u00c9-USDT"
