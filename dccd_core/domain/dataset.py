"""A dataset and the calendar pieces it is kept in."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from dccd_core.domain.barspan import format_bar_span, parse_bar_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, TimeRange, Us, moment, us
from dccd_core.tables import DataType, Grain

FORMATS: Final = {Grain.YEAR: "%Y", Grain.MONTH: "%Y-%m", Grain.DAY: "%Y-%m-%d"}


@dataclass(frozen=True, slots=True)
class Dataset:
    """(exchange, symbol, data type, span): one Dagster asset. ``span`` is the length of a bar."""

    exchange: str
    symbol: Symbol
    data_type: DataType
    span: Us | None = None

    @classmethod
    def parse(cls, text: str) -> "Dataset":
        """Read what ``str`` writes.

        Raises:
            ConfigError: it is something else.

        >>> str(Dataset.parse("binance/ohlc/BTC-USDT/60m"))
        'binance/ohlc/BTC-USDT/1h'
        """
        parts = text.split("/")
        if len(parts) in (3, 4) and parts[1] in list(DataType):
            exchange, name, slug, *span = parts
            data_type = DataType(name)
            if bool(span) == data_type.table.takes_span:
                bar = parse_bar_span(span[0]) if span else None
                return cls(exchange, Symbol.from_slug(slug), data_type, bar)
        raise ConfigError(
            f"{text[:60]!r} is no dataset",
            hint="write it as dccd inventory does: binance/ohlc/BTC-USDT/1h, binance/trades/BTC-USDT",
        )

    def __str__(self) -> str:
        return "/".join(self.parts)

    @property
    def parts(self) -> tuple[str, ...]:
        """The asset key: exchange, data type, slug and, for bars, the span."""
        span = (format_bar_span(self.span),) if self.span else ()
        return (self.exchange, self.data_type.value, self.symbol.slug, *span)

    @property
    def source(self) -> "Dataset | None":
        """What its rows can be computed from; None: only the exchange knows them."""
        built_from = self.data_type.table.built_from
        return Dataset(self.exchange, self.symbol, DataType(built_from)) if built_from else None

    @property
    def grain(self) -> Grain:
        """The calendar length of its partitions."""
        return self.data_type.table.grain(self.span)


@dataclass(frozen=True, slots=True)
class ListingPeriod:
    """When a market opened and when it ended for good, as far as somebody knows."""

    listed: Us | None = None
    ended: Us | None = None


UNKNOWN: Final = ListingPeriod()


@lru_cache(maxsize=1 << 14)  # an inventory asks for the same days of every dataset
def partition_span(grain: Grain, key: str) -> TimeRange:
    """Return the time a partition covers.

    >>> partition_span(Grain.MONTH, "2024-02").length // DAY
    29
    """
    try:
        start = datetime.strptime(key, FORMATS[grain]).replace(tzinfo=UTC)
    except ValueError:
        start = None
    if start is None or start.strftime(FORMATS[grain]) != key:
        raise ConfigError(f"{key!r} is no {grain} partition", hint=f"keys look like {FORMATS[grain]}")
    if grain is Grain.YEAR:
        end = start.replace(year=start.year + 1)
    elif grain is Grain.MONTH:
        end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    else:
        return TimeRange(us(start), Us(us(start) + DAY))
    return TimeRange(us(start), us(end))


def partition_key(grain: Grain, at: Us) -> str:
    """Return the key of the partition that holds ``at``."""
    return moment(at).strftime(FORMATS[grain])


def partition_keys(grain: Grain, span: TimeRange) -> Iterator[str]:
    """Yield the keys of every partition that shares time with ``span``, in order."""
    at = span.start
    while at < span.end:
        key = partition_key(grain, at)
        yield key
        at = partition_span(grain, key).end
