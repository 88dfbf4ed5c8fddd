"""A venue that nobody asks."""

import asyncio

import pytest

from dccd_core.adapter.contract import Request
from dccd_core.api.unasked import unasked
from dccd_core.domain.timespan import Us
from dccd_core.net.clock import ManualClock
from tests.dccd_core.lake.samples import BARS


def test_what_is_known_of_it_is_known_and_to_ask_it_is_a_defect() -> None:
    venue = unasked("binance", ManualClock(Us(5)))
    assert venue.endpoint(BARS)
    assert venue.clock.now() == 5
    with pytest.raises(RuntimeError, match="binance /api/v3/klines: asked by somebody"):
        asyncio.run(venue.transport.send(Request("/api/v3/klines", {})))
