"""What exchanges push: questions to the registry that the configuration of streams asks.

Belongs here: which channel brings what. Does not: what a user configured (stream_entry.py).
"""

from collections.abc import Iterable, Sequence

from dccd_core.adapter.contract import Exchange
from dccd_core.adapter.live import Channel
from dccd_core.domain.datatype import DataType
from dccd_core.domain.timespan import Us
from dccd_pipeline.served import KINDS


def pushed(exchange: Exchange, data_type: DataType, kinds: Iterable[str] = KINDS) -> dict[str, Channel]:
    """Return what brings ``data_type`` of each of these kinds of market that the exchange pushes it of."""
    if exchange.live is None:
        return {}
    found = {kind: exchange.live.channel(kind, data_type) for kind in kinds if kind in exchange.kinds}
    return {kind: channel for kind, channel in found.items() if channel}


def spans_of(channels: Sequence[Channel]) -> list[Us]:
    """Return the lengths of bars that all of these bring."""
    common = set[Us].intersection(*(set(channel.spans) for channel in channels)) if channels else set[Us]()
    return sorted(common)


def deepest(channels: Iterable[Channel]) -> int | None:
    """Return how many levels a side all of these show at most; None: as many as there are."""
    return min((channel.depths[-1] for channel in channels if channel.depths), default=None)
