"""One entry of ``stream`` in ``dccd.yaml``, checked against what its exchange really pushes.

As in collect.py, a field looks at the sound fields above it, so that no mistake hides another.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

from pydantic import Field, PlainValidator, ValidationInfo, WithJsonSchema, field_validator

from dccd_core.adapter.contract import Exchange
from dccd_core.adapter.live import Channel
from dccd_core.domain.barspan import format_bar_span, parse_bar_span
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import MILLISECOND, MINUTE, SECOND, Us
from dccd_core.exchanges import NAMES, get
from dccd_core.tables import DataType
from dccd_pipeline.config.capabilities import (
    KINDS,
    closed_on,
    deepest,
    listed_spans,
    nearest_span,
    pushed,
    spans_of,
)
from dccd_pipeline.config.fields import Day, ExchangeName, Strict, SymbolText, exchange_of
from dccd_pipeline.config.words import having, said_unknown

if TYPE_CHECKING:
    from dccd_core.stream.api import StreamPlan

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_PACE: Final = re.compile(r"(\d+)(ms|s|m)?")
_UNITS: Final = {"ms": MILLISECOND, "s": SECOND, "m": MINUTE}
_FASTEST: Final = Us(100 * MILLISECOND)
_DEPTH: Final = 50
_COMMANDS: Final = ("pause", "record", "resume")
"""What ``dccd stream`` takes for a command, not for a name."""


def _data_type(value: object, info: ValidationInfo) -> DataType:
    if value not in tuple(DataType):
        said, hint = said_unknown(value)
        raise ConfigError(said, hint=hint)
    data_type, exchange = DataType(str(value)), exchange_of(info)
    if exchange is None or not (lacking := _lacking(exchange, data_type, info.data)):
        return data_type
    of = f" of {lacking[0]} markets" if pushed(exchange, data_type) else ""
    known = [other for other in DataType if not _lacking(exchange, other, info.data)]
    hint = f"it pushes {', '.join(known)}" if known else f"list the {lacking[0]} markets in another stream"
    raise ConfigError(f"{exchange.name} pushes no {data_type}{of}", hint=hint)


def _lacking(exchange: Exchange, data_type: DataType, data: Mapping[str, Any]) -> list[str]:
    """Name the kinds of market among the entry's symbols that nothing brings ``data_type`` of."""
    having = pushed(exchange, data_type)
    if having and "symbols" not in data:
        return []  # an unsound symbol may have meant a market that has it
    return [kind for kind in _kinds(data) if kind in exchange.kinds and kind not in having]


def _kinds(data: Mapping[str, Any]) -> list[str]:
    """Return the kinds of market of the entry's symbols; unsound ones may be of any."""
    return sorted({symbol.market_type for symbol in data["symbols"]}) if "symbols" in data else list(KINDS)


def _channels(data: Mapping[str, Any], data_type: DataType) -> list[Channel]:
    """Return what brings the entry's ``data_type``; nothing while it is not known what is wanted."""
    if "exchange" not in data or data_type not in data.get("data_types", ()):
        return []
    return list(pushed(get(data["exchange"]), data_type, _kinds(data)).values())


def _deep_channels(data: Mapping[str, Any]) -> list[Channel]:
    """Return what brings the books of the entry."""
    deep = [one for one in data.get("data_types", ()) if one.table.takes_depth]
    return [channel for one in deep for channel in _channels(data, one)]


DataTypeText = Annotated[
    DataType, PlainValidator(_data_type), WithJsonSchema({"type": "string", "enum": list(DataType)})
]


class StreamEntry(Strict):
    """Datasets of one exchange that are recorded together as they happen, by one long-running run."""

    name: str = Field(examples=["majors"], json_schema_extra={"pattern": f"^{_NAME.pattern}$"})
    """What the stream is called; its job is stream_ and this."""

    exchange: ExchangeName = Field(examples=[NAMES[0]])
    """The exchange to listen to."""

    symbols: tuple[SymbolText, ...] = Field(min_length=1, examples=[["BTC/USDT", "ETH/USDT"]])
    """Markets in unified notation: BTC/USDT spot, BTC/USDT:USDT linear, BTC/USD:BTC inverse perpetual."""

    data_types: tuple[DataTypeText, ...] = Field(
        min_length=1, examples=[[one.value for one in DataType if not one.table.takes_span]]
    )
    """What to record of each of them."""

    span: Us | None = Field(default=None, validate_default=True, examples=["1m", 60])
    """Length of a bar, like 1m, or in seconds. Only with ohlc, which needs it."""

    depth: int | None = Field(default=None, validate_default=True, strict=True, ge=1, examples=[_DEPTH])
    """Levels a side of an order book to keep. Only with orderbook. Without it: 50, or all if fewer."""

    snapshot_every: Us | None = Field(default=None, validate_default=True, examples=["1s", "100ms"])
    """How often to keep the order book as it is, at least 100ms. Only with orderbook. Without it: 1s."""

    enabled: bool = Field(default=True, strict=True, examples=[False])
    """With false it is not recorded; what is stored stays, and so does its job."""

    silent_after: Us = Field(default=Us(10 * MINUTE), examples=["10m", "1h"])
    """How long nothing may come of any of its datasets before that is an alert. Without it: 10m."""

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

    @property
    def plan(self) -> "StreamPlan":
        from dccd_core.stream.api import StreamPlan  # noqa: PLC0415 -- it brings the network

        return StreamPlan(self.name, self.datasets, self.depth or _DEPTH, self.snapshot_every or SECOND)

    def digest(self, *surroundings: object) -> str:
        """Return what changes whenever the entry, or where it records from and to, does.

        Its second half is of what a run can change while it goes on, its first half of all the rest.
        """
        plan, datasets = self.plan, sorted(map(str, self.datasets))
        fixed = (self.exchange, self.span, plan.depth, plan.snapshot_every, *surroundings)
        return f"{_hash(fixed)}.{_hash(datasets)}"

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            near = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")
            said = f"{name!r} is not letters, digits and _ after a letter"
            raise ConfigError(said, hint=f"write {near if near[:1].isalpha() else f'n{near}'}")
        if name in _COMMANDS:
            raise ConfigError(f"{name!r} is a word of `dccd stream`", hint=f"write {name}_1")
        return name

    @field_validator("exchange")
    @classmethod
    def _with_a_socket(cls, name: str) -> str:
        exchange = get(name)
        if exchange.live is None:
            last = closed_on(exchange)
            said = f"closed on {last}, nothing new comes" if last else "cannot be listened to"
            others = ", ".join(other for other in NAMES if get(other).live)
            raise ConfigError(f"{exchange.title} {said}", hint=f"choose one of {others}")
        return name

    @field_validator("data_types")
    @classmethod
    def _once_each(cls, wanted: tuple[DataType, ...]) -> tuple[DataType, ...]:
        twice = [one for n, one in enumerate(wanted) if one in wanted[:n]]
        if twice:
            raise ConfigError(f"{twice[0]} is there twice", hint="remove one of the two")
        return wanted

    @field_validator("span", mode="plain", json_schema_input_type=str | int | None)
    @classmethod
    def _pushed_span(cls, value: str | int | None, info: ValidationInfo) -> Us | None:
        span = None if value is None else parse_bar_span(value)
        if "data_types" not in info.data:
            return span
        spanned = [one for one in info.data["data_types"] if one.table.takes_span]
        if span and not spanned:
            _refuse_alone("span", having(lambda table: table.takes_span))
        known = spans_of([channel for one in spanned for channel in _channels(info.data, one)])
        if span is None and spanned:
            hint = f"write one of {listed_spans(known)}" if known else "write it like 1m"
            raise ConfigError(f"missing, {spanned[0]} needs one", hint=hint)
        if span and known and span not in known:
            said = f"{info.data['exchange']} pushes no {format_bar_span(span)} bars"
            hint = f"nearest is {nearest_span(span, known)}, it pushes {listed_spans(known)}"
            raise ConfigError(said, hint=hint)
        return span

    @field_validator("depth")
    @classmethod
    def _pushed_depth(cls, depth: int | None, info: ValidationInfo) -> int | None:
        _only_of_books("depth", depth, info)
        channels = _deep_channels(info.data)
        most = deepest(channels)
        if depth and most and depth > most:
            said = f"{info.data['exchange']} pushes at most {most} levels, not {depth}"
            raise ConfigError(said, hint=f"write {most}")
        return depth or (min(_DEPTH, most or _DEPTH) if channels else None)

    @field_validator("snapshot_every", mode="plain", json_schema_input_type=str | int | None)
    @classmethod
    def _fair_pace(cls, value: str | int | None, info: ValidationInfo) -> Us | None:
        _only_of_books("snapshot_every", value, info)
        if value is None:
            return Us(SECOND) if _deep_channels(info.data) else None
        parts = _PACE.fullmatch(str(value))
        if not parts:
            raise ConfigError(f"{value!r} is no interval", hint="write it like 100ms, 1s or 1m")
        every = Us(int(parts[1]) * _UNITS[parts[2] or "s"])
        if every < _FASTEST:
            raise ConfigError(f"{value} is more often than can be kept", hint="write 100ms or more")
        return every

    @field_validator("silent_after", mode="plain", json_schema_input_type=str | int)
    @classmethod
    def _patience(cls, value: str | int) -> Us:
        try:
            length = parse_bar_span(value)
        except ConfigError:
            raise ConfigError(f"{value!r} is no length of time", hint="write it like 10m or 1h") from None
        if length < MINUTE:
            raise ConfigError(f"{value} is too short to be told from a quiet market", hint="write 1m or more")
        return length

    @field_validator("start")
    @classmethod
    def _in_the_past(cls, start: date | None) -> date | None:
        today = datetime.now(UTC).date()
        if start and start > today:
            raise ConfigError(f"{start} is in the future", hint=f"write {today} or earlier")
        return start


def _hash(what: object) -> str:
    return hashlib.blake2b(repr(what).encode(), digest_size=6).hexdigest()


def _only_of_books(key: str, value: object, info: ValidationInfo) -> None:
    wanted = info.data.get("data_types")
    if value is not None and wanted and not any(one.table.takes_depth for one in wanted):
        _refuse_alone(key, having(lambda table: table.takes_depth))


def _refuse_alone(key: str, having_it: str) -> NoReturn:
    raise ConfigError(f"only {having_it} has a {key}", hint=f"remove it, or add {having_it} to data_types")
