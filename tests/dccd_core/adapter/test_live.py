"""What an exchange file says of its WebSocket, asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.contract import Limit
from dccd_core.adapter.live import Channel, DecodedBatch, WebSocketApi
from dccd_core.domain.timespan import MINUTE
from dccd_core.tables import DataType

COMMON, LINEAR = Channel(docs="common"), Channel(docs="linear")
LIVE = WebSocketApi(
    url=lambda _: "wss://x",
    name=lambda topic: topic.market,
    subscribe=lambda _, __: b"",
    unsubscribe=lambda _, __, ___: b"",
    decode=lambda _, __, ___: DecodedBatch(),
    connects=Limit(1, MINUTE),
    channels={DataType.TRADES: COMMON},
    special={
        ("linear", DataType.TRADES): LINEAR,
        ("inverse", DataType.TRADES): None,
        ("inverse", DataType.ORDERBOOK): LINEAR,
    },
)


@given(st.sets(st.integers(1, 1_000)), st.integers(1, 1_200))
def test_the_least_depth_that_shows_enough_is_asked_for(depths: set[int], wanted: int) -> None:
    depth = Channel(docs="", depths=tuple(sorted(depths))).depth(wanted)
    if not depths:
        assert depth == 0, "the whole book, whatever is wanted"
    elif depth is None:
        assert max(depths) < wanted
    else:
        assert depth in depths
        assert depth >= wanted
        assert not [other for other in depths if wanted <= other < depth]


@pytest.mark.parametrize(
    ("kind", "data_type", "channel"),
    [
        ("spot", DataType.TRADES, COMMON),
        ("spot", DataType.ORDERBOOK, None),
        ("linear", DataType.TRADES, LINEAR),
        ("linear", DataType.ORDERBOOK, None),
        ("inverse", DataType.TRADES, None),
        ("inverse", DataType.ORDERBOOK, LINEAR),
    ],
)
def test_what_a_kind_of_market_has_of_its_own_goes_before(
    kind: str, data_type: DataType, channel: Channel | None
) -> None:
    assert LIVE.channel(kind, data_type) is channel


def test_of_a_frame_that_nobody_reads_no_topic_is_named() -> None:
    assert LIVE.topics_in(b"?", None) == ()
