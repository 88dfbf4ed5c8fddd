"""Octopus' WebSocket, which pushes a mark price when its minute is over."""

from collections.abc import Sequence
from typing import Any

import msgspec
import polars as pl

from dccd_core.adapter.contract import Limit
from dccd_core.adapter.live import Ack, Channel, DecodedBatch, Topic, WebSocketApi
from dccd_core.adapter.wire import micros, table
from dccd_core.domain.timespan import MINUTE, Us
from dccd_core.tables import DataType

MARKS = DataType("marks")


def said(word: str, topics: Sequence[Topic], number: int) -> bytes:
    return msgspec.json.encode({word: [topic.market for topic in topics], "id": number})


def decode(frames: Sequence[bytes], received: Sequence[Us], _: object) -> DecodedBatch:
    """Read ``["BTCUSDT", minute in us, mark]``, and the answer to a subscription, ``[id]``."""
    told = [msgspec.json.decode(frame, type=list[Any]) for frame in frames]
    came = [(one, at) for one, at in zip(told, received, strict=True) if len(one) > 1]
    rows = table(MARKS, ts=micros([one[1] for one, _ in came], Us(1)), mark=[one[2] for one, _ in came])
    rows = rows.with_columns(
        topic=pl.Series([one[0] for one, _ in came], dtype=pl.String),
        received=pl.Series([at for _, at in came], dtype=pl.Int64),
        closed=pl.lit(True),  # noqa: FBT003 -- a literal of the column
    )
    last = max((one[1] + MINUTE for one, _ in came), default=None)
    acks = [Ack(id=one[0]) for one in told if len(one) == 1]
    return DecodedBatch(bars=rows if came else None, acks=acks, at=last)


LIVE = WebSocketApi(
    url=lambda _: "wss://octopus.example",
    name=lambda topic: topic.market,
    subscribe=lambda topics, number: said("listen", topics, number),
    unsubscribe=lambda topics, number, _: said("leave", topics, number),
    decode=decode,
    connects=Limit(8, MINUTE),
    channels={MARKS: Channel(docs="https://octopus.example/live", spans=(MINUTE,))},
    silence=Us(3 * MINUTE),
)
