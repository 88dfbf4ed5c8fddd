"""One entry of ``collect`` in ``dccd.yaml``, checked against what its exchange really serves.

A field looks at the sound fields above it (``info.data``) instead of waiting for the whole model to be
sound, so that no mistake hides another. Mistakes are ConfigErrors: pydantic knows their place in the YAML.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal

from pydantic import (
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
)

from dccd_core.adapter.contract import FULL, NOW, Endpoint, Exchange
from dccd_core.domain.barspan import format_bar_span, parse_bar_span
from dccd_core.domain.dataset import FORMATS, Dataset, partition_key
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, ZERO, TimeRange, Us, moment, parse_time
from dccd_core.exchanges import NAMES, get
from dccd_core.tables import DataType
from dccd_pipeline.config.capabilities import (
    KINDS,
    askable_since,
    can_ask,
    closed_on,
    elsewhere,
    listed_spans,
    nearest_span,
    present,
    said_time,
    served,
)
from dccd_pipeline.config.cron import CRONS, parse_cron, parse_interval
from dccd_pipeline.config.fields import (
    Day,
    ExchangeName,
    Strict,
    SymbolLife,
    SymbolText,
    exchange_of,
    read_day,
)
from dccd_pipeline.config.sources import TRADES, read_source, refuse_months, refuse_unfilled, short_span
from dccd_pipeline.config.words import having, said_unknown

_DEPTH: Final = 100
_NEVER: Final = "never"
_RECENT: Final = "recent"
_OLD_STARTS: Final = {
    "last": "write the first day you want, or leave start out: what is there is never asked for again",
    "origin": "leave start out, that is all there is; `config check` says what it costs",
}
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def _endpoints(data: Mapping[str, Any], data_type: DataType | None = None) -> dict[str, Endpoint]:
    """Return what serves the entry's symbols, by kind of market; of unsound ones any kind may be meant."""
    if "exchange" not in data or "data_type" not in data:
        return {}
    kinds = sorted({symbol.market_type for symbol in data["symbols"]}) if "symbols" in data else KINDS
    return served(get(data["exchange"]), data_type or data["data_type"], kinds)


def _source(data: Mapping[str, Any]) -> dict[str, Endpoint]:
    """Return what is asked for the entry's rows, by kind of market: for derived bars the trades.

    Nothing for what is built of bars: how far those reach says the entry that collects them.
    """
    source = data.get("derive_from")
    return {} if short_span(source) else _endpoints(data, DataType(source) if source else None)


def _first_day(data: Mapping[str, Any]) -> date:
    """Return the day from which on there is something to collect."""
    return _recent(data) if _limited(_source(data)) else moment(get(data["exchange"]).since).date()


def _recent(data: Mapping[str, Any]) -> date:
    """Return the first day of the year that holds the earliest moment that can be asked for now."""
    now = present()
    since = [askable_since(one, data.get("span"), now) for one in _limited(_source(data)).values()]
    year = moment(min(since, default=now)).date().replace(month=1, day=1)
    return max(year, moment(get(data["exchange"]).since).date()) if "exchange" in data else year


def _is_limited(endpoint: Endpoint) -> bool:
    """Tell whether it knows a part of the past only; the present alone is no matter of days."""
    return endpoint.reach not in (FULL, NOW)


def _limited(endpoints: Mapping[str, Endpoint]) -> dict[str, Endpoint]:
    return {kind: one for kind, one in endpoints.items() if _is_limited(one)}


def _wrong(
    data: Mapping[str, Any], endpoints: Mapping[str, Endpoint], test: Callable[[Endpoint], bool]
) -> str:
    """Return a kind of market whose endpoint fails; none where an unsound symbol may mean another."""
    kinds = [kind for kind, endpoint in endpoints.items() if test(endpoint)]
    return kinds[0] if kinds and ("symbols" in data or len(kinds) == len(endpoints)) else ""


def _default_name(data: dict[str, Any]) -> str:
    span = (format_bar_span(data["span"]),) if data["span"] else ()
    return "_".join((data["exchange"], data["data_type"], *span))


def _refuse_unserved_span(data: Mapping[str, Any], span: Us, endpoints: Mapping[str, Endpoint]) -> None:
    kind = _wrong(data, endpoints, lambda endpoint: span not in endpoint.spans)
    if not kind:
        return
    bars = f"{format_bar_span(span)} bars" + (f" of {kind} markets" if len(endpoints) > 1 else "")
    spans = endpoints[kind].spans
    hint = f"nearest is {nearest_span(span, spans)}, it serves {listed_spans(spans)}"
    if source := data["data_type"].table.built_from:
        endpoint = served(get(data["exchange"]), DataType(source)).get(kind)
        if endpoint and endpoint.reach.rows is None and DAY % span == 0:
            hint += f"; or derive_from: {source}"
    raise ConfigError(f"{data['exchange']} serves no {bars}", hint=hint)


def _refuse_out_of_reach(exchange: Exchange, data: Mapping[str, Any], start: date) -> None:
    bar, endpoints, now = data.get("span"), _source(data), present()
    unsound = "derive_from" not in data or "span" not in data
    if unsound or start == _recent(data):
        return
    at = parse_time(str(start))
    kind = _wrong(data, endpoints, _is_limited)  # a day that is served today will not be so for ever
    if not kind:
        return
    data_type, since = data["data_type"], endpoints[kind].reach.since(now, bar)
    rows = data["derive_from"] or (f"{format_bar_span(bar)} bars" if bar else data_type)
    today = f", now from {said_time(since)} on" if since else ""
    hints = ["write start: recent"]
    source = None if data["derive_from"] else data_type.table.built_from
    if source and can_ask(exchange, DataType(source), kind, None, at):
        hints.append(f"derive_from: {source}")
    if others := elsewhere(exchange, data_type, kind, bar, at):
        hints.append(f"take it from {' or '.join(others)}")
    raise ConfigError(
        f"{exchange.name} serves {endpoints[kind].reach} of {rows}{today}", hint=", or ".join(hints)
    )


def _refuse_closed(exchange: Exchange, start: date) -> None:
    if (last := closed_on(exchange)) and start > last:
        raise ConfigError(f"{exchange.title} closed on {last}", hint=f"write {last} or earlier")


def _refuse_schedule(exchange: Exchange | None, key: str) -> None:
    if exchange and (last := closed_on(exchange)):
        raise ConfigError(f"{exchange.title} closed on {last}, nothing new comes", hint=f"remove {key}")


class Entry(Strict):
    """Datasets of one exchange, data type and span that are kept up to date together."""

    exchange: ExchangeName = Field(examples=[NAMES[0]])
    """The exchange to ask."""

    data_type: DataType = Field(examples=list(TRADES))
    """What to collect."""

    symbols: tuple[SymbolText, ...] = Field(min_length=1, examples=[["BTC/USDT", "ETH/USDT"]])
    """Markets in unified notation: BTC/USDT spot, BTC/USDT:USDT linear, BTC/USD:BTC inverse perpetual."""

    derive_from: str | None = Field(default=None, examples=[*TRADES, "1h"])
    """Build the bars from the collected trades, or from shorter collected bars, instead of asking for bars.

    Only for ohlc: trades, or the length of the shorter bars, which must divide that of these.
    """

    span: Us | None = Field(default=None, validate_default=True, examples=["1m", "1h", 60])
    """Length of a bar, like 1m, or in seconds. Only for ohlc, which needs it."""

    start: date = Field(default_factory=_first_day, examples=["2024-01-01", _RECENT])
    """The first day to collect, UTC, or recent where only the latest rows are served. Without it: all."""

    end: Day | None = Field(default=None, examples=["2025-01-01"])
    """The first day not to collect any more, UTC. Without it: never."""

    every: Us | Literal["never"] | None = Field(default=None, examples=["5m", "1h", "never"])
    """How often to bring the datasets up to date, never: by hand only. Without it and cron: every 1h."""

    cron: str | None = Field(default=None, examples=["0 2 * * *"])
    """When to bring them up to date, instead of every: minute, hour, day, month, weekday, in timezone."""

    enabled: bool = Field(default=True, strict=True, examples=[False])
    """With false nothing is collected by itself; what is stored stays, and so do the assets."""

    depth: int | None = Field(default=None, validate_default=True, strict=True, ge=1, examples=[_DEPTH])
    """Levels per side of a snapshot. Only for orderbook. Without it: 100, or all where there are fewer."""

    name: str = Field(
        default_factory=_default_name,
        examples=["majors"],
        json_schema_extra={"pattern": f"^{_NAME.pattern}$"},
    )
    """What its job and schedule are called. Without it: exchange_ohlc_span, exchange_trades."""

    _lives: Mapping[Symbol, SymbolLife] = PrivateAttr(default_factory=dict[Symbol, SymbolLife])
    _origins: Mapping[Symbol, "Entry"] = PrivateAttr(default_factory=dict[Symbol, "Entry"])

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """One dataset per symbol, in the order of the symbols."""
        return tuple(Dataset(self.exchange, symbol, self.data_type, self.span) for symbol in self.symbols)

    @property
    def cron_schedule(self) -> str:
        """When to bring the datasets up to date, as a cron expression; in the time zone if it is a cron."""
        return self.cron or CRONS[self.every if isinstance(self.every, int) else HOUR]

    @property
    def last_day(self) -> date | None:
        """The last day there is something to collect of: the exchange has closed, or nobody wants more."""
        closed, last = closed_on(get(self.exchange)), self.end and self.end - timedelta(days=1)
        return min((day for day in (closed, last) if day), default=None)

    @property
    def within(self) -> TimeRange | None:
        """The time that is wanted of the partitions; None: all of it."""
        return TimeRange(ZERO, parse_time(str(self.end))) if self.end else None

    @property
    def scheduled(self) -> bool:
        """Whether ticks bring it up to date by themselves."""
        return self.enabled and self.every != _NEVER and closed_on(get(self.exchange)) is None

    def living(self, lives: Mapping[Symbol, SymbolLife]) -> "Entry":
        """Return the entry, told about its symbols' lives."""
        told = self.model_copy()
        told._lives = lives
        return told

    @property
    def turn(self) -> tuple[bool, Us]:
        """When it is to be brought up to date, among others: after what it is built of."""
        built_of_bars = short_span(self.derive_from) is not None
        return self.derive_from is not None, (built_of_bars and self.span) or ZERO

    @property
    def origins(self) -> Mapping[Symbol, "Entry"]:
        """The entries that collect what its bars are built of, as far as it was told."""
        return self._origins

    def built_of(self, origins: Mapping[Symbol, "Entry"]) -> "Entry":
        """Return the entry, told which ones collect what its bars are built of.

        What is built of bars begins with them where nobody said since when.
        """
        told = self.model_copy()
        if origins and short_span(self.derive_from) and "start" not in self.model_fields_set:
            told = self.model_copy(update={"start": max(origin.start for origin in origins.values())})
        told._origins = origins
        return told

    def built_from(self, dataset: Dataset) -> Dataset | None:
        """Return of what stored rows those of ``dataset`` are built; None: the exchange is asked for them."""
        if self.derive_from is None:
            return None
        return replace(dataset, span=short) if (short := short_span(self.derive_from)) else dataset.source

    def asked_for(self, dataset: Dataset) -> Dataset:
        """Return what the exchange is asked for, so that there are rows of ``dataset`` in the end."""
        source = self.built_from(dataset)
        if source is None:
            return dataset
        origin = self._origins.get(dataset.symbol)
        return origin.asked_for(source) if origin else source

    def joined(self, other: "Entry") -> "Entry":
        """Return the entry with the symbols of ``other`` too, which is made alike."""
        symbols = tuple(dict.fromkeys((*self.symbols, *other.symbols)))
        told = self.model_copy(update={"symbols": symbols})
        told = told.built_of({**self._origins, **other._origins})
        return told.living({**self._lives, **other._lives})

    def life_of(self, symbol: Symbol) -> SymbolLife:
        return self._lives.get(symbol, SymbolLife())

    def source(self, symbol: Symbol) -> Endpoint:
        """Return what is asked for the rows of ``symbol``: for derived bars its trades, or shorter bars."""
        asked = self.asked_for(Dataset(self.exchange, symbol, self.data_type, self.span))
        return served(get(self.exchange), asked.data_type)[symbol.market_type]

    def askable(self, dataset: Dataset, keys: Iterable[str], now: Us) -> list[str]:
        """Return the partitions that can be asked for now: within the reach, and in the symbol's life."""
        since = askable_since(self.source(dataset.symbol), self.asked_for(dataset).span, now)
        life, form = self.life_of(dataset.symbol), FORMATS[dataset.grain]
        first = max(partition_key(dataset.grain, since), f"{life.listed:{form}}" if life.listed else "")
        last = f"{life.delisted:{form}}" if life.delisted else None
        return [key for key in keys if first <= key and (last is None or key <= last)]

    @field_validator("data_type", mode="before")
    @classmethod
    def _served_data_type(cls, value: object, info: ValidationInfo) -> DataType:
        if value not in tuple(DataType):
            said, hint = said_unknown(value)
            raise ConfigError(said, hint=hint)
        data_type, exchange = DataType(str(value)), exchange_of(info)
        if exchange and not served(exchange, data_type):
            known = [other for other in DataType if served(exchange, other)]
            gone = f", it closed on {last}" if (last := closed_on(exchange)) else ""
            hint = f"it serves {', '.join(known)}"
            raise ConfigError(f"{exchange.name} serves no {data_type}{gone}", hint=hint)
        return data_type

    @field_validator("derive_from", mode="plain", json_schema_input_type=str | int | None)
    @classmethod
    def _derivable(cls, typed: str | int | None, info: ValidationInfo) -> str | None:
        data_type, exchange = info.data.get("data_type"), exchange_of(info)
        if typed is not None and data_type and data_type.table.built_from is None:
            hint = f"remove it, only {having(lambda table: table.built_from)} has one"
            raise ConfigError(f"{data_type} takes no derive_from", hint=hint)
        value = None if typed is None else read_source(typed)
        if value in TRADES and exchange and data_type:
            kinds = {symbol.market_type for symbol in info.data.get("symbols", ())}
            if lacking := sorted(kinds - served(exchange, DataType(value)).keys()):
                said = (
                    f"{exchange.name} serves no {value} of {' and '.join(lacking)} markets to build bars of"
                )
                raise ConfigError(said, hint="remove it")
        return value

    @field_validator("span", mode="plain", json_schema_input_type=str | int | None)
    @classmethod
    def _served_span(cls, value: str | int | None, info: ValidationInfo) -> Us | None:
        refuse_months(value)
        span = None if value is None else parse_bar_span(value)
        data_type, endpoints = info.data.get("data_type"), _endpoints(info.data)
        if span and data_type and not data_type.table.takes_span:
            hint = f"remove it, only {having(lambda table: table.takes_span)} has one"
            raise ConfigError(f"{data_type} takes no span", hint=hint)
        known = list(dict.fromkeys(bar for one in endpoints.values() for bar in one.spans))
        if span is None and data_type and data_type.table.takes_span:
            hint = f"write one of {listed_spans(known)}" if known else "write it like 1m"
            raise ConfigError(f"missing, {data_type} needs one", hint=hint)
        if span and (source := info.data.get("derive_from")):
            refuse_unfilled(source, span, known)
        elif span and endpoints:
            _refuse_unserved_span(info.data, span, endpoints)
        return span

    @field_validator("start", mode="before", json_schema_input_type=date | Literal["recent"])
    @classmethod
    def _typed_day(cls, value: object, info: ValidationInfo) -> date:
        if isinstance(value, str) and value in _OLD_STARTS:
            raise ConfigError(f"{value!r} is a word of dccd 3", hint=_OLD_STARTS[value])
        if value != _RECENT:
            return read_day(value)
        source = _source(info.data)
        if short_span(info.data.get("derive_from")):
            hint = "leave start out: they begin with those they are built of"
            raise ConfigError("recent says nothing of bars that are built of stored ones", hint=hint)
        if source and all(one.reach == FULL for one in source.values()):
            said = f"{info.data['exchange']} serves the full history, so recent says nothing"
            raise ConfigError(said, hint=f"write a day, {_first_day(info.data)} or later")
        return _recent(info.data)

    @field_validator("start")
    @classmethod
    def _day_with_data(cls, start: date, info: ValidationInfo) -> date:
        today = datetime.now(UTC).date()
        if start > today:
            raise ConfigError(f"{start} is in the future", hint=f"write {today} or earlier")
        if exchange := exchange_of(info):
            _refuse_closed(exchange, start)
            _refuse_out_of_reach(exchange, info.data, start)
            first = moment(exchange.since).date()
            if start < first:
                raise ConfigError(
                    f"{exchange.name} has nothing before {first}", hint=f"write {first} or later"
                )
        return start

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: date | None, info: ValidationInfo) -> date | None:
        start = info.data.get("start")
        if end and start and end <= start:
            hint = f"write a day after {start}: the end is the first day not wanted"
            raise ConfigError(f"{end} is not after the start", hint=hint)
        return end

    @field_validator("every", mode="plain", json_schema_input_type=str | int | None)
    @classmethod
    def _exact_interval(cls, value: str | int | None, info: ValidationInfo) -> Us | str | None:
        if value == _NEVER:
            return _NEVER
        interval = None if value is None else parse_interval(value)
        if interval:
            _refuse_schedule(exchange_of(info), "every")
        return interval

    @field_validator("cron")
    @classmethod
    def _firing_cron(cls, text: str | None, info: ValidationInfo) -> str | None:
        if text is not None and info.data.get("every", "given, but wrong"):
            raise ConfigError("cron and every exclude each other", hint="keep one of the two")
        if text is not None:
            _refuse_schedule(exchange_of(info), "cron")
        return None if text is None else parse_cron(text)

    @field_validator("depth")
    @classmethod
    def _served_depth(cls, depth: int | None, info: ValidationInfo) -> int | None:
        data_type, endpoints = info.data.get("data_type"), _endpoints(info.data)
        takes_depth = data_type is not None and data_type.table.takes_depth
        if depth and data_type and not takes_depth:
            hint = f"remove it, only {having(lambda table: table.takes_depth)} has one"
            raise ConfigError(f"{data_type} takes no depth", hint=hint)
        if not takes_depth or not endpoints:
            return depth
        levels = [endpoint.page_limit for endpoint in endpoints.values()]
        most = min(levels) if "symbols" in info.data else max(levels)
        if depth and depth > most:
            said = f"{info.data['exchange']} serves at most {most} levels, not {depth}"
            raise ConfigError(said, hint=f"write {most}")
        return depth or min(_DEPTH, most)

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            near = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")
            said = f"{name!r} is not letters, digits and _ after a letter"
            raise ConfigError(said, hint=f"write {near if near[:1].isalpha() else f'n{near}'}")
        return name


def is_unbounded(entry: Entry) -> bool:
    """Tell whether nobody said since when what is vast is wanted: then it is since the exchange began."""
    return entry.data_type.table.vast and "start" not in entry.model_fields_set
