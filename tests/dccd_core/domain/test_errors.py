import pickle

import pytest

from dccd_core.domain import errors
from dccd_core.domain.errors import Banned, ConfigError, DccdError, Rejected, Throttled, Where, located

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DccdError)]
PLACE = Where("binance", "/api/v3/klines", "BTC/USDT")


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_the_way_between_processes(kind: type[DccdError]) -> None:
    error = kind("it broke", hint="mend it", where=PLACE)
    if isinstance(error, Throttled):
        error.wait_s = 7.5
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_one_line_that_says_where_and_what_to_do(kind: type[DccdError]) -> None:
    error = kind("it\n  broke\t", hint="mend it", where=PLACE)
    assert str(error) == "[binance /api/v3/klines BTC/USDT] it broke -> mend it"
    assert str(kind("it broke")) == "it broke"


def test_which_errors_waiting_may_mend() -> None:
    assert {kind.__name__ for kind in KINDS if kind.retryable} == {"Throttled", "Banned", "Unavailable"}
    assert issubclass(Banned, Throttled)
    assert issubclass(ConfigError, ValueError)


def test_the_innermost_place_is_kept() -> None:
    with pytest.raises(Rejected) as caught, located(Where("kraken", "/outer")), located(PLACE):
        raise Rejected("no")
    assert caught.value.where == PLACE


def test_other_errors_pass_untouched() -> None:
    with pytest.raises(ZeroDivisionError), located(PLACE):
        raise ZeroDivisionError


def test_a_place_without_a_symbol() -> None:
    assert str(Where("binance", "/api/v3/exchangeInfo")) == "binance /api/v3/exchangeInfo"
