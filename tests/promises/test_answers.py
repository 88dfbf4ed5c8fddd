"""An answer to a subscription that was damaged on its way costs only what it was about."""

from pathlib import Path

import pytest

from dccd_core.tables import DataType
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind
from tests.promises.attack import OPEN
from tests.promises.scene import Scene, Stage, at_s, datasets, played, urls


@pytest.mark.slow
@pytest.mark.parametrize("exchange", OPEN)
def test_what_was_added_is_subscribed_to_anew_and_what_was_there_loses_nothing(
    exchange: str, tmp_path: Path
) -> None:
    own = datasets(exchange, "BTC", "ETH")
    before = own[:3]

    def add(stage: Stage) -> None:
        stage.change(*own)

    spoilt = StreamFault(kind=StreamFaultKind.TRUNCATED, answers=True, between=(at_s(40), at_s(42)))
    density = {str(one.symbol): 400_000 for one in own}
    p = played(Scene(before, [spoilt], 160, acts=[(40, add)], density=density), tmp_path)
    assert p.struck
    assert [str(wrong) for wrong in p.wrongs(*before)] == []
    for one in before:
        # half a message may have been of any book whose changes nothing counts: it is doubted for a moment
        doubted = exchange in ("kraken", "coinbase") and one.data_type is DataType.ORDERBOOK
        assert p.lost_s(one) <= (5 if doubted else 0), one
        assert p.behind(one) == 0, one
    assert p.said("nobody answered its subscription")
    moved = 1 if exchange == "bitfinex" else 0
    assert len(p.opened) == len(urls(before)) + moved
    assert {one.dataset for one in p.healths[-2].datasets if one.proven} == set(own)
