"""One entry of ``collect`` in ``dccd.yaml``: as it was typed, and as it is meant.

Belongs here: its keys and their types, and what those that were left out mean. Does not: whether all of it
can be had (collect_rules.py).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Annotated, Final, Literal

from pydantic import Field, PlainValidator, PrivateAttr

from dccd_core.adapter.contract import FULL, NOW, Endpoint, Exchange
from dccd_core.domain.barspan import format_bar_span, parse_bar_span
from dccd_core.domain.dataset import FORMATS, Dataset, partition_key
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, ZERO, TimeRange, Us, moment, parse_time
from dccd_core.exchanges import NAMES, get
from dccd_core.tables import DataType
from dccd_pipeline.config.capabilities import askable_since, closed_on, present, served
from dccd_pipeline.config.cron import CRONS, parse_interval
from dccd_pipeline.config.fields import (
    DataTypeName,
    Day,
    EntryName,
    ExchangeName,
    Strict,
    SymbolLife,
    SymbolText,
    TickFold,
    read_day,
)
from dccd_pipeline.config.sources import TRADES, read_source, refuse_months, short_span

_DEPTH: Final = 100
_NEVER: Final = "never"
RECENT: Final = "recent"
_OLD_STARTS: Final = {
    "last": "write the first day you want, or leave start out: what is there is never asked for again",
    "origin": "leave start out, that is all there is; `config check` says what it costs",
}


def _span(value: str | int) -> Us:
    refuse_months(value)
    return parse_bar_span(value)


def _start(value: object) -> date | str:
    if isinstance(value, str) and value in _OLD_STARTS:
        raise ConfigError(f"{value!r} is a word of dccd 3", hint=_OLD_STARTS[value])
    return RECENT if value == RECENT else read_day(value)


def _every(value: str | int | None) -> Us | str | None:
    if value == _NEVER:
        return _NEVER
    return None if value is None else parse_interval(value)


class TypedEntry(Strict):
    """Datasets of one exchange, data type and span that are kept up to date together."""

    exchange: ExchangeName = Field(examples=[NAMES[0]])
    """The exchange to ask."""

    data_type: DataTypeName = Field(examples=list(TRADES))
    """What to collect."""

    symbols: tuple[SymbolText, ...] = Field(min_length=1, examples=[["BTC/USDT", "ETH/USDT"]])
    """Markets in unified notation: BTC/USDT spot, BTC/USDT:USDT linear, BTC/USD:BTC inverse perpetual."""

    derive_from: Annotated[str, PlainValidator(read_source, json_schema_input_type=str | int)] | None = Field(
        default=None, examples=[*TRADES, "1h"]
    )
    """Build the bars from the collected trades, or from shorter collected bars, instead of asking for bars.

    Only for ohlc: trades, or the length of the shorter bars, which must divide that of these.
    """

    span: Annotated[Us, PlainValidator(_span, json_schema_input_type=str | int)] | None = Field(
        default=None, examples=["1m", "1h", 60]
    )
    """Length of a bar, like 1m, or in seconds. Only for ohlc, which needs it."""

    start: Annotated[
        date | Literal["recent"] | None,
        PlainValidator(_start, json_schema_input_type=date | Literal["recent"]),
    ] = Field(default=None, examples=["2024-01-01", RECENT])
    """The first day to collect, UTC, or recent where only the latest rows are served. Without it: all."""

    end: Day | None = Field(default=None, examples=["2025-01-01"])
    """The first day not to collect any more, UTC. Without it: never."""

    every: Annotated[
        Us | Literal["never"] | None, PlainValidator(_every, json_schema_input_type=str | int | None)
    ] = Field(default=None, examples=["5m", "1h", "never"])
    """How often to bring the datasets up to date, never: by hand only. Without it and cron: every 1h."""

    cron: str | None = Field(default=None, examples=["0 2 * * *"])
    """When to bring them up to date, instead of every: minute, hour, day, month, weekday, in timezone."""

    fold_every: TickFold = Field(default=None, examples=["auto", "1h", 0])
    """How long new rows lie beside their file, where Lake and dccd read see them, at most 1d; 0: not at all.

    Without it, or auto: until writing the file anew is worth it; a day at most. What is built of stored rows
    takes none.
    """

    enabled: bool = Field(default=True, strict=True, examples=[False])
    """With false nothing is collected by itself; what is stored stays, and so do the assets."""

    depth: int | None = Field(default=None, strict=True, ge=1, examples=[_DEPTH])
    """Levels per side of a snapshot. Only for orderbook. Without it: 100, or all where there are fewer."""

    name: EntryName = ""
    """What its job and schedule are called. Without it: exchange_ohlc_span, exchange_trades."""

    @property
    def called(self) -> str:
        """Its name, or what it is called without one."""
        span = (format_bar_span(self.span),) if self.span else ()
        return self.name or "_".join((self.exchange, self.data_type, *span))

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """One dataset per symbol, in the order of the symbols."""
        return tuple(Dataset(self.exchange, symbol, self.data_type, self.span) for symbol in self.symbols)

    def endpoints(self, data_type: DataType, now: Us) -> dict[str, Endpoint]:
        """Return what serves ``data_type`` of its symbols, by kind of market."""
        kinds = sorted({symbol.market_type for symbol in self.symbols})
        return served(get(self.exchange), data_type, now, kinds)

    def asked(self, now: Us) -> dict[str, Endpoint]:
        """Return what is asked for its rows, by kind of market: for derived bars the trades.

        Nothing for what is built of bars: how far those reach says the entry that collects them.
        """
        if short_span(self.derive_from):
            return {}
        return self.endpoints(DataType(self.derive_from or self.data_type), now)

    def built_from(self, dataset: Dataset) -> Dataset | None:
        """Return of what stored rows those of ``dataset`` are built; None: the exchange is asked for them."""
        if self.derive_from is None:
            return None
        return replace(dataset, span=short) if (short := short_span(self.derive_from)) else dataset.source

    @property
    def turn(self) -> tuple[bool, Us]:
        """When it is to be brought up to date, among others: after what it is built of."""
        built_of_bars = short_span(self.derive_from) is not None
        return self.derive_from is not None, (built_of_bars and self.span) or ZERO

    def shown_since(self, now: Us) -> date | None:
        """Return from which day on it is wanted where only the latest rows are; None where a day was written.

        None, too, where all rows are shown.
        """
        if isinstance(self.start, date):
            return None
        asked = self.asked(now)
        if self.start == RECENT or any(map(is_limited, asked.values())):
            return recent_day(get(self.exchange), asked, self.span, now)
        return None

    def first_day(self, now: Us) -> date:
        """Return the day from which on it is wanted: of what has ended since, as it was when it ended."""
        if isinstance(self.start, date):
            return self.start
        day = self.shown_since(now)
        if day and self.end and day >= self.end:
            day = self.shown_since(parse_time(str(self.end)))
        return day or moment(get(self.exchange).since).date()


class Entry(TypedEntry):
    """An entry in which what was left out has been filled in."""

    start: date  # pyright: ignore[reportGeneralTypeIssues, reportIncompatibleVariableOverride]
    _lives: Mapping[Symbol, SymbolLife] = PrivateAttr(default_factory=dict[Symbol, SymbolLife])
    _origins: Mapping[Symbol, "Entry"] = PrivateAttr(default_factory=dict[Symbol, "Entry"])
    _zone: str = PrivateAttr(default="UTC")

    @classmethod
    def of(cls, typed: TypedEntry, lives: Mapping[Symbol, SymbolLife], now: Us) -> "Entry":
        """Return what a sound entry means, told about its symbols' lives."""
        depth = typed.depth
        if typed.data_type.table.takes_depth and depth is None:
            served_by = typed.endpoints(typed.data_type, now).values()
            depth = min([_DEPTH, *(one.page_limit for one in served_by)])
        meant = {"name": typed.called, "start": typed.first_day(now), "depth": depth}
        made = cls.model_construct(set(typed.model_fields_set), **{**dict(typed), **meant})
        return made.living(lives)

    @property
    def cron_schedule(self) -> str:
        """When to bring the datasets up to date, as a cron expression; in the time zone if it is a cron."""
        return self.cron or CRONS[self.every if isinstance(self.every, int) else HOUR]

    @property
    def zone(self) -> str:
        """The time zone of its cron."""
        return self._zone

    def zoned(self, zone: str) -> "Entry":
        """Return the entry, told in which time zone its cron is meant."""
        told = self.model_copy()
        told._zone = zone
        return told

    @property
    def last_day(self) -> date | None:
        """The last day there is something to collect of: the exchange has closed, or nobody wants more."""
        closed, last = closed_on(get(self.exchange), present()), self.end and self.end - timedelta(days=1)
        return min((day for day in (closed, last) if day), default=None)

    @property
    def within(self) -> TimeRange | None:
        """The time that is wanted of the partitions; None: all of it."""
        return TimeRange(ZERO, parse_time(str(self.end))) if self.end else None

    @property
    def tick(self) -> str:
        """What the job is called that brings it up to date by itself."""
        return f"{self.name}_tick"

    @property
    def scheduled(self) -> bool:
        """Whether ticks bring it up to date by themselves."""
        return self.enabled and self.every != _NEVER and closed_on(get(self.exchange), present()) is None

    def living(self, lives: Mapping[Symbol, SymbolLife]) -> "Entry":
        """Return the entry, told about its symbols' lives."""
        told = self.model_copy()
        told._lives = lives
        return told

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
        endpoint = get(self.exchange).endpoint(symbol.market_type, asked.data_type)
        assert endpoint is not None, "the rules refuse it"
        return endpoint

    def askable(self, dataset: Dataset, keys: Iterable[str], now: Us) -> list[str]:
        """Return the partitions that can be asked for now: within the reach, and in the symbol's life."""
        since = askable_since(self.source(dataset.symbol), self.asked_for(dataset).span, now)
        life, form = self.life_of(dataset.symbol), FORMATS[dataset.grain]
        first = max(partition_key(dataset.grain, since), f"{life.listed:{form}}" if life.listed else "")
        last = f"{life.delisted:{form}}" if life.delisted else None
        return [key for key in keys if first <= key and (last is None or key <= last)]

    def is_out_of_reach(self, dataset: Dataset, now: Us) -> bool:
        """Tell whether it has ended, and nothing of it can be asked for any more."""
        ends = (self.last_day, self.life_of(dataset.symbol).delisted)
        last = min((day for day in ends if day), default=None)
        if last is None or self.derive_from:
            return False  # what it is built of may be stored
        end = parse_time(str(last + timedelta(days=1)))
        source = self.source(dataset.symbol)
        return end <= now and end <= askable_since(source, self.asked_for(dataset).span, now)


def is_limited(endpoint: Endpoint) -> bool:
    """Tell whether it knows a part of the past only; the present alone is no matter of days."""
    return endpoint.reach not in (FULL, NOW)


def recent_day(exchange: Exchange, asked: Mapping[str, Endpoint], span: Us | None, now: Us) -> date:
    """Return the first day of the year that holds the earliest moment that can be asked for now."""
    since = [askable_since(one, span, now) for one in asked.values() if is_limited(one)]
    year = moment(min(since, default=now)).date().replace(month=1, day=1)
    return max(year, moment(exchange.since).date())


def is_unbounded(entry: Entry) -> bool:
    """Tell whether nobody said since when what is vast is wanted: then it is since the exchange began."""
    return entry.data_type.table.vast and "start" not in entry.model_fields_set
