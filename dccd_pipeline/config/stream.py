"""One entry of ``stream`` in ``dccd.yaml``.

Belongs here: its keys and their types, and what those that were left out mean. Does not: whether all of it
can be had (stream_rules.py).
"""

import hashlib
import re
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, Field, PlainValidator

from dccd_core.adapter.live import Channel
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import HOUR, MILLISECOND, MINUTE, SECOND, Us
from dccd_core.exchanges import NAMES, get
from dccd_core.tables import DataType
from dccd_pipeline.config.capabilities import deepest, pushed
from dccd_pipeline.config.fields import (
    BarLength,
    DataTypeName,
    Day,
    EntryName,
    ExchangeName,
    StreamFold,
    Strict,
    SymbolText,
)

if TYPE_CHECKING:
    from dccd_core.stream.api import StreamPlan

_PACE: Final = re.compile(r"(\d+)(ms|s|m)?")
_UNITS: Final = {"ms": MILLISECOND, "s": SECOND, "m": MINUTE}
_FASTEST: Final = Us(100 * MILLISECOND)
_DEPTH: Final = 50
_COMMANDS: Final = ("pause", "record", "resume")
"""What ``dccd stream`` takes for a command, not for a name."""


def _no_command(name: str) -> str:
    if name in _COMMANDS:
        raise ConfigError(f"{name!r} is a word of `dccd stream`", hint=f"write {name}_1")
    return name


def _pace(value: str | int) -> Us:
    parts = _PACE.fullmatch(str(value))
    if not parts:
        raise ConfigError(f"{value!r} is no interval", hint="write it like 100ms, 1s or 1m")
    every = Us(int(parts[1]) * _UNITS[parts[2] or "s"])
    if every < _FASTEST:
        raise ConfigError(f"{value} is more often than can be kept", hint="write 100ms or more")
    return every


def _patience(value: str | int) -> Us:
    try:
        length = parse_bar_span(value)
    except ConfigError:
        raise ConfigError(f"{value!r} is no length of time", hint="write it like 10m or 1h") from None
    if length < MINUTE:
        raise ConfigError(f"{value} is too short to be told from a quiet market", hint="write 1m or more")
    return length


_Pace = Annotated[Us, PlainValidator(_pace, json_schema_input_type=str | int)]
_Patience = Annotated[Us, PlainValidator(_patience, json_schema_input_type=str | int)]


class StreamEntry(Strict):
    """Datasets of one exchange that are recorded together as they happen, by one long-running run."""

    name: Annotated[EntryName, AfterValidator(_no_command)]
    """What the stream is called; its job is stream_ and this."""

    exchange: ExchangeName = Field(examples=[NAMES[0]])
    """The exchange to listen to."""

    symbols: tuple[SymbolText, ...] = Field(min_length=1, examples=[["BTC/USDT", "ETH/USDT"]])
    """Markets in unified notation: BTC/USDT spot, BTC/USDT:USDT linear, BTC/USD:BTC inverse perpetual."""

    data_types: tuple[DataTypeName, ...] = Field(
        min_length=1, examples=[[one.value for one in DataType if not one.table.takes_span]]
    )
    """What to record of each of them."""

    span: BarLength | None = Field(default=None, examples=["1m", 60])
    """Length of a bar, like 1m, or in seconds. Only with ohlc, which needs it."""

    depth: int | None = Field(default=None, strict=True, ge=1, examples=[_DEPTH])
    """Levels a side of an order book to keep. Only with orderbook. Without it: 50, or all if fewer."""

    snapshot_every: _Pace | None = Field(default=None, examples=["1s", "100ms"])
    """How often to keep the order book as it is, at least 100ms. Only with orderbook. Without it: 1s."""

    enabled: bool = Field(default=True, strict=True, examples=[False])
    """With false it is not recorded; what is stored stays, and so does its job."""

    silent_after: _Patience = Field(default=Us(10 * MINUTE), examples=["10m", "1h"])
    """How long nothing may come of any of its datasets before that is an alert. Without it: 10m."""

    fold_every: StreamFold = Field(default=None, examples=["auto", "10m"])
    """How often what came is put into the files, 1m to 1d; Lake and dccd read see it before. Else: 1h."""

    start: Day | None = Field(default=None, examples=["2026-01-01"])
    """The day of the first partition in Dagster, UTC. Without it: the first that is held, or today."""

    @property
    def job(self) -> str:
        return f"stream_{self.name}"

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """One dataset per symbol and data type, in the order of the symbols."""
        return tuple(
            Dataset(self.exchange, symbol, one, self.span if one.table.takes_span else None)
            for symbol in self.symbols
            for one in self.data_types
        )

    def completed(self) -> "StreamEntry":
        """Return a sound entry in which what was left out of order books has been filled in."""
        if not (deep := self.channels(*(one for one in self.data_types if one.table.takes_depth))):
            return self
        depth = self.depth or min(_DEPTH, deepest(deep) or _DEPTH)
        return self.model_copy(update={"depth": depth, "snapshot_every": self.snapshot_every or Us(SECOND)})

    def channels(self, *data_types: DataType) -> list[Channel]:
        """Return what brings these data types of its symbols."""
        kinds = sorted({symbol.market_type for symbol in self.symbols})
        found = [pushed(get(self.exchange), data_type, kinds) for data_type in data_types]
        return [channel for channels in found for channel in channels.values()]

    @property
    def plan(self) -> "StreamPlan":
        from dccd_core.stream.api import StreamPlan  # noqa: PLC0415 -- it brings the network

        pace = self.snapshot_every or Us(SECOND)
        return StreamPlan(
            self.name, self.datasets, self.depth or _DEPTH, pace, fold_every=self.fold_every or HOUR
        )

    def digest(self, *surroundings: object) -> str:
        """Return what changes whenever the entry, or where it records from and to, does.

        Its second half is of what a run can change while it goes on, its first half of all the rest.
        """
        plan, datasets = self.plan, sorted(map(str, self.datasets))
        often = () if self.fold_every is None else (self.fold_every,)
        fixed = (self.exchange, self.span, plan.depth, plan.snapshot_every, *often, *surroundings)
        return f"{_hash(fixed)}.{_hash(datasets)}"


def _hash(what: object) -> str:
    return hashlib.blake2b(repr(what).encode(), digest_size=6).hexdigest()
