"""What was seen of a dataset over all its connections."""

from dccd_core.domain.timespan import MINUTE, Us
from dccd_core.stream.snapshots import Turn
from dccd_core.stream.wanted import Seen
from dccd_core.tables import DataType
from tests.dccd_core.stream.pushing import wanted


def turn(at: int, *, began: bool) -> Turn:
    return Turn(Us(at), began=began)


def test_an_interval_counts_as_lost_only_when_nobody_records() -> None:
    seen = Seen()
    seen.turn(turn(10, began=True))
    seen.turn(turn(12, began=True))
    seen.turn(turn(20, began=False))
    assert (seen.invalid, seen.invalid_since) == (0, None)
    seen.turn(turn(25, began=False))
    assert (seen.invalid, seen.invalid_since) == (1, 25)
    seen.turn(turn(30, began=True))
    assert (seen.invalid, seen.invalid_since, seen.connections) == (1, None, 1)


def test_bars_of_each_length_are_a_kind_of_their_own() -> None:
    assert wanted("A/USD").kind == (DataType.TRADES, None)
    assert wanted("A/USD", DataType.ORDERBOOK).kind == (DataType.ORDERBOOK, None)
    assert (DataType.OHLC, MINUTE) != (DataType.OHLC, 5 * MINUTE)
