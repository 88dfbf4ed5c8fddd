"""Every quirk is of an exchange that there is."""

from dccd_core.exchanges import NAMES, get
from dccd_core.imports.quirks import Quirk, quirk_of
from dccd_core.tables import DataType


def test_an_exchange_without_quirks_has_plain_rows() -> None:
    assert quirk_of("another") == Quirk()


def test_bars_that_we_know_to_carry_their_close_do_so_in_the_old_store_too() -> None:
    for name in NAMES:
        endpoint = get(name).endpoint("spot", DataType.OHLC)
        assert quirk_of(name).closes == bool(endpoint and endpoint.closes), name
