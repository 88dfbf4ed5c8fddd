"""The right word for a wrong one: what others call it, or what it is nearest to. Pure."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Final

from dccd_core.tables import DataType, Table

OTHERS: Final[Mapping[str, tuple[str, ...]]] = {
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
    "remotes": ("remote", "copies", "backups", "sync"),
    "bandwidth": ("bwlimit", "rate_limit", "limit"),
}
"""For each word of ours, data types aside, what other programs, and dccd 3, say."""


def meant(word: object, known: Iterable[str]) -> str | None:
    """Return the word among ``known`` that ``word`` may mean.

    >>> meant("candles", ["ohlc", "trades"]), meant("spn", ["span"]), meant("colour", ["span"])
    ('ohlc', 'span', None)
    """
    text, words = str(word).strip().lower(), list(known)
    others = {one.value: one.table.synonyms for one in DataType} | OTHERS
    if ours := next((ours for ours in words if text in others.get(ours, ())), None):
        return ours
    near = get_close_matches(text, words, 1)
    return near[0] if near else None


def said_unknown(word: object) -> tuple[str, str]:
    """Return what to say of a word that is no data type, and the hint."""
    near = meant(word, DataType)
    hint = f"did you mean {near}?" if near else f"known: {', '.join(DataType)}"
    return f"unknown data type {word!r}", hint


def having(test: Callable[[Table], object]) -> str:
    """Name the data types of which something is true."""
    return " and ".join(one.value for one in DataType if test(one.table))
