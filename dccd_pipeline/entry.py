"""One entry of ``collect`` in ``dccd.yaml``, checked against what its exchange really serves.

A field looks at the sound fields above it (``info.data``) instead of waiting for the whole model to be
sound, so that no mistake hides another. Mistakes are ConfigErrors: pydantic knows their place in the YAML.
"""

import re
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from dccd_core.adapter.contract import Endpoint, Exchange
from dccd_core.domain.barspan import format_bar_span, parse_bar_span
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.datatype import DataType
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, Ns, moment
from dccd_core.exchanges import NAMES, get
from dccd_pipeline.cron import CRONS, parse_cron, parse_interval

_DEPTH: Final = 100
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_CODE: Final = r"[^\s/:_-]+"
# TUSD and BUSD are left out: DOTUSD is DOT/USD, not DO/TUSD.
_GLUED: Final = re.compile(
    r"(\w+?)[-_]?(USDT|USDC|FDUSD|USD|EUR|GBP|JPY|TRY|BRL|AUD|CAD|CHF|DAI|BTC|ETH|BNB)(?:_(\w+))?"
)


def _exchange(info: ValidationInfo) -> Exchange | None:
    return get(info.data["exchange"]) if "exchange" in info.data else None


def _endpoint(info: ValidationInfo) -> Endpoint | None:
    exchange = _exchange(info)
    return exchange.endpoints[info.data["data_type"]] if exchange and "data_type" in info.data else None


def _symbol(value: object, info: ValidationInfo) -> Symbol:
    text = str(value)
    try:
        symbol = Symbol.parse(text)
    except ConfigError as e:
        if parts := _GLUED.fullmatch(text.upper()):
            e.hint = f"write {Symbol(*parts.groups())}"
        raise
    if text.islower():
        raise ConfigError(f"symbol {text!r} is in lower case", hint=f"write {text.upper()}")
    exchange = _exchange(info)
    if exchange and symbol.market not in exchange.kinds:
        settles = {"spot": None, "linear": symbol.quote, "inverse": symbol.base}
        near = next(kind for kind in settles if kind in exchange.kinds)
        hint = f"its {near} market would be {Symbol(symbol.base, symbol.quote, settles[near])}"
        raise ConfigError(f"{exchange.name} has no {symbol.market} markets, so no {text}", hint=hint)
    return symbol


def _first_day(data: dict[str, Any]) -> date:
    return moment(get(data["exchange"]).since).date()


def _default_name(data: dict[str, Any]) -> str:
    span = (format_bar_span(data["span"]),) if data["span"] else ()
    return "_".join((data["exchange"], data["data_type"], *span))


def _listed(spans: tuple[Ns, ...]) -> str:
    return ", ".join(map(format_bar_span, spans))


ExchangeName = Annotated[
    str,
    AfterValidator(lambda name: get(name).name),
    WithJsonSchema({"type": "string", "enum": list(NAMES)}),
]
_SymbolText = Annotated[
    Symbol,
    PlainValidator(_symbol),
    WithJsonSchema({"type": "string", "pattern": f"^{_CODE}/{_CODE}(:{_CODE})?$"}),
]


class Strict(BaseModel):
    """Frozen; unknown keys are refused; the strings under the fields describe them in the JSON schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Entry(Strict):
    """Datasets of one exchange, data type and span that are kept up to date together."""

    exchange: ExchangeName = Field(examples=[NAMES[0]])
    """The exchange to ask."""

    data_type: DataType = Field(examples=["trades"])
    """What to collect."""

    symbols: tuple[_SymbolText, ...] = Field(min_length=1, examples=[["BTC/USDT", "ETH/USDT"]])
    """Markets in unified notation: BTC/USDT spot, BTC/USDT:USDT linear, BTC/USD:BTC inverse perpetual."""

    span: Ns | None = Field(default=None, validate_default=True, examples=["1m", "1h", 60])
    """Length of a bar, like 1m, or in seconds. Only for ohlc, which needs it."""

    start: date = Field(default_factory=_first_day, examples=["2024-01-01"])
    """The first day to collect, UTC. Without it: the day the exchange's data begins."""

    every: Ns | None = Field(default=None, examples=["5m", "1h"])
    """How often to bring the datasets up to date. Without it and without cron: every 1h."""

    cron: str | None = Field(default=None, examples=["0 2 * * *"])
    """When to bring them up to date, instead of every: minute, hour, day, month, weekday (UTC)."""

    depth: int | None = Field(default=None, validate_default=True, strict=True, ge=1, examples=[_DEPTH])
    """Levels per side of a snapshot. Only for orderbook. Without it: 100, or all where there are fewer."""

    name: str = Field(
        default_factory=_default_name,
        examples=["majors"],
        json_schema_extra={"pattern": f"^{_NAME.pattern}$"},
    )
    """What its job and schedule are called. Without it: exchange_ohlc_span, exchange_trades."""

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """One dataset per symbol, in the order of the symbols."""
        return tuple(Dataset(self.exchange, symbol, self.data_type, self.span) for symbol in self.symbols)

    @property
    def cron_schedule(self) -> str:
        """When to bring the datasets up to date, as a cron expression (UTC)."""
        return self.cron or CRONS[self.every or HOUR]

    @field_validator("data_type", mode="before")
    @classmethod
    def _served_data_type(cls, value: object, info: ValidationInfo) -> DataType:
        if value not in tuple(DataType):
            near = get_close_matches(str(value), tuple(DataType), 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(DataType)}"
            raise ConfigError(f"unknown data type {value!r}", hint=hint)
        data_type, exchange = DataType(str(value)), _exchange(info)
        if exchange and data_type not in exchange.endpoints:
            hint = f"it serves {', '.join(exchange.endpoints)}"
            raise ConfigError(f"{exchange.name} serves no {data_type}", hint=hint)
        return data_type

    @field_validator("span", mode="plain", json_schema_input_type=str | int | None)
    @classmethod
    def _served_span(cls, value: str | int | None, info: ValidationInfo) -> Ns | None:
        span = None if value is None else parse_bar_span(value)
        data_type, endpoint = info.data.get("data_type"), _endpoint(info)
        if data_type in (DataType.TRADES, DataType.ORDERBOOK) and span:
            raise ConfigError(f"{data_type} takes no span", hint="remove it, only ohlc has one")
        if data_type is DataType.OHLC and span is None:
            hint = f"write one of {_listed(endpoint.spans)}" if endpoint else "write it like 1m"
            raise ConfigError("missing, ohlc needs one", hint=hint)
        if endpoint and span and span not in endpoint.spans:
            near = format_bar_span(min(endpoint.spans, key=lambda served: abs(served - span)))
            hint = f"nearest is {near}, it serves {_listed(endpoint.spans)}"
            raise ConfigError(f"{info.data['exchange']} serves no {format_bar_span(span)} bars", hint=hint)
        return span

    @field_validator("start", mode="before")
    @classmethod
    def _day(cls, value: object) -> date:
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            raise ConfigError(f"{value!r} is no day", hint="write it like 2024-01-01") from None

    @field_validator("start")
    @classmethod
    def _day_with_data(cls, start: date, info: ValidationInfo) -> date:
        today = datetime.now(UTC).date()
        if start > today:
            raise ConfigError(f"{start} is in the future", hint=f"write {today} or earlier")
        exchange = _exchange(info)
        if exchange and start < (first := _first_day(info.data)):
            raise ConfigError(f"{exchange.name} has nothing before {first}", hint=f"write {first} or later")
        return start

    @field_validator("every", mode="plain", json_schema_input_type=str | int | None)
    @classmethod
    def _exact_interval(cls, value: str | int | None) -> Ns | None:
        return None if value is None else parse_interval(value)

    @field_validator("cron")
    @classmethod
    def _firing_cron(cls, text: str | None, info: ValidationInfo) -> str | None:
        if text is not None and info.data.get("every", "given, but wrong"):
            raise ConfigError("cron and every exclude each other", hint="keep one of the two")
        return None if text is None else parse_cron(text)

    @field_validator("depth")
    @classmethod
    def _served_depth(cls, depth: int | None, info: ValidationInfo) -> int | None:
        data_type, endpoint = info.data.get("data_type"), _endpoint(info)
        if data_type in (DataType.OHLC, DataType.TRADES) and depth:
            raise ConfigError(f"{data_type} takes no depth", hint="remove it, only orderbook has one")
        if data_type is not DataType.ORDERBOOK or not endpoint:
            return depth
        if depth and depth > endpoint.page_limit:
            said = f"{info.data['exchange']} serves at most {endpoint.page_limit} levels, not {depth}"
            raise ConfigError(said, hint=f"write {endpoint.page_limit}")
        return depth or min(_DEPTH, endpoint.page_limit)

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            near = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")
            said = f"{name!r} is not letters, digits and _ after a letter"
            raise ConfigError(said, hint=f"write {near if near[:1].isalpha() else f'n{near}'}")
        return name
