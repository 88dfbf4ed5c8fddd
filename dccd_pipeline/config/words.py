"""The right word for a wrong one: what others call it, or what it is nearest to. Pure."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

from dccd_core.tables import DataType

_OTHERS: Final[Mapping[str, tuple[str, ...]]] = {
    "ohlc": ("candle", "candles", "candlestick", "candlesticks", "kline", "klines", "bar", "bars", "ohlcv"),
    "trades": ("tick", "ticks", "trade", "aggtrades", "aggtrade"),
    "orderbook": ("book", "books", "orderbooks", "order_book", "depth", "l2", "level2"),
    "ws_url": ("websocket_url", "wss_url", "socket_url", "stream_url"),
    "rest_url": ("url", "api_url", "base_url", "http_url"),
    "symbols": ("symbol", "pair", "pairs", "markets", "instruments"),
    "span": ("timeframe", "time_step", "resolution", "granularity"),
    "every": ("interval", "frequency", "period"),
    "start": ("from", "since", "begin", "start_date"),
    "end": ("to", "until", "end_date"),
    "data_types": ("types", "channels"),
    "data_type": ("type", "kind", "channel"),
    "store": ("path", "data", "folder", "directory", "output"),
    "collect": ("jobs", "collections"),
    "stream": ("streams", "live"),
}
"""For each word of ours what other programs, and dccd 3, say."""
_MEANS: Final = {other: ours for ours, others in _OTHERS.items() for other in others}


def meant(word: object, known: Iterable[str]) -> str | None:
    """Return the word among ``known`` that ``word`` may mean.

    >>> meant("candles", ["ohlc", "trades"]), meant("spn", ["span"]), meant("colour", ["span"])
    ('ohlc', 'span', None)
    """
    text, words = str(word).strip().lower(), list(known)
    if (ours := _MEANS.get(text)) in words:
        return ours
    near = get_close_matches(text, words, 1)
    return near[0] if near else None


def said_unknown(word: object) -> tuple[str, str]:
    """Return what to say of a word that is no data type, and the hint."""
    near = meant(word, DataType)
    hint = f"did you mean {near}?" if near else f"known: {', '.join(DataType)}"
    return f"unknown data type {word!r}", hint
