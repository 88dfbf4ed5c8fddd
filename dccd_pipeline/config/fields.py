"""What several parts of ``dccd.yaml`` are made of: exchanges, symbols, days, and what a symbol lives through.

Belongs here: reading what was typed. Does not: whether it can be had (rules.py).
"""

import ast
import inspect
import re
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from textwrap import dedent
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from dccd_core.adapter.contract import Exchange
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.dataset import ListingPeriod
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MINUTE, ZERO, Us, parse_time
from dccd_core.exchanges import NAMES, get
from dccd_core.tables import DataType
from dccd_pipeline.config.words import said_unknown

_CODE: Final = r"[^\s/:_-]+"
# TUSD and BUSD are left out: DOTUSD is DOT/USD, not DO/TUSD.
_GLUED: Final = re.compile(
    r"(\w+?)[-_]?(USDT|USDC|FDUSD|USD|EUR|GBP|JPY|TRY|BRL|AUD|CAD|CHF|DAI|BTC|ETH|BNB)(?:_(\w+))?"
)
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_AUTO: Final = "auto"
_AT_ONCE: Final = re.compile(r"0[smhd]?")


def named_exchange(text: str) -> Exchange:
    """Return the exchange that somebody means, however it is written."""
    return get(text.strip().lower())


def read_symbol(text: str) -> Symbol:
    """Return the symbol that somebody means: ``btc/usdt`` and ``BTC-USDT``, as paths have it, are understood.

    Raises:
        ConfigError: it is none; with the one that may be meant.
    """
    text = text.strip()
    text = text.upper() if text.islower() else text
    try:
        return Symbol.from_slug(text)
    except ConfigError:
        return _parsed(text, "EXCHANGE")


def _parsed(text: str, exchange: str) -> Symbol:
    """Read unified notation; what others write instead is answered with it."""
    if "*" in text:
        hint = f"list them; `dccd symbols {exchange} '{text}'` shows which there are"
        raise ConfigError(f"{text!r}: symbols are written one by one", hint=hint)
    try:
        symbol = Symbol.parse(text)
    except ConfigError as e:
        if parts := _GLUED.fullmatch(text.upper()):
            e.hint = f"write {Symbol(*parts.groups())}"
        raise
    if symbol.settle not in (None, symbol.base, symbol.quote):
        pair = f"{symbol.base}/{symbol.quote}"
        said = f"{text!r} is no market: what follows the colon is the currency it is settled in"
        hint = f"write {pair} for spot, {pair}:{symbol.quote} for the perpetual"
        raise ConfigError(said, hint=f"{hint}, {pair}:{symbol.base} for the inverse one")
    return symbol


def _symbol(value: object, info: ValidationInfo) -> Symbol:
    if isinstance(value, bool):
        raise ConfigError(
            "YAML reads this symbol as true or false", hint="put it into quotes, like 'NO/USDT'"
        )
    text = str(value)
    symbol = _parsed(text, info.data.get("exchange", "EXCHANGE"))  # the hint is to be a command that works
    if text.islower():
        raise ConfigError(f"symbol {text!r} is in lower case", hint=f"write {text.upper()}")
    return symbol


def _data_type(value: object) -> DataType:
    if value not in tuple(DataType):
        said, hint = said_unknown(value)
        raise ConfigError(said, hint=hint)
    return DataType(str(value))


def _plain_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        near = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")
        said = f"{name!r} is not letters, digits and _ after a letter"
        raise ConfigError(said, hint=f"write {near if near[:1].isalpha() else f'n{near}'}")
    return name


def read_address(url: str, scheme: str = "http") -> str:
    """Return an address of ``scheme``, or of its secure form.

    Raises:
        ConfigError: it is none. What was typed may hold a secret: it is not repeated.
    """
    try:
        parts = urlsplit(url)
        sound = parts.scheme in (scheme, f"{scheme}s") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ConfigError(f"is no {scheme} address", hint=f"write it like {scheme}s://example.org/path")
    return url


def read_day(value: object) -> date:
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ConfigError(f"{value!r} is no day", hint="write it like 2024-01-01") from None


def _tick_fold(value: str | int | None) -> Us | None:
    return ZERO if _AT_ONCE.fullmatch(str(value)) else _fold(value, "1h, 0 for every tick, or auto")


def _stream_fold(value: str | int | None) -> Us | None:
    if _AT_ONCE.fullmatch(str(value)):
        raise ConfigError("a stream has no ticks to fold at", hint="write 1m or more")
    return _fold(value, "10m, 1h or auto")


def _fold(value: str | int | None, ways: str) -> Us | None:
    if value is None or value == _AUTO:
        return None
    try:
        length = parse_bar_span(value)
    except ConfigError:
        raise ConfigError(f"{value!r} is no length of time", hint=f"write it like {ways}") from None
    if not MINUTE <= length <= DAY:
        near = "1m or more" if length < MINUTE else "1d or less"
        raise ConfigError(f"cannot fold every {value}", hint=f"write {near}, or auto")
    return length


ExchangeName = Annotated[
    str,
    AfterValidator(lambda name: get(name).name),
    WithJsonSchema({"type": "string", "enum": list(NAMES)}),
]
SymbolText = Annotated[
    Symbol,
    PlainValidator(_symbol),
    WithJsonSchema({"type": "string", "pattern": f"^{_CODE}/{_CODE}(:{_CODE})?$"}),
]
DataTypeName = Annotated[
    DataType, PlainValidator(_data_type), WithJsonSchema({"type": "string", "enum": list(DataType)})
]
EntryName = Annotated[
    str,
    AfterValidator(_plain_name),
    Field(examples=["majors"], json_schema_extra={"pattern": f"^{_NAME.pattern}$"}),
]
BarLength = Annotated[Us, PlainValidator(parse_bar_span, json_schema_input_type=str | int)]
TickFold = Annotated[Us | None, PlainValidator(_tick_fold, json_schema_input_type=str | int | None)]
"""How often ticks are folded: None when it is worth it, zero every time."""
StreamFold = Annotated[Us | None, PlainValidator(_stream_fold, json_schema_input_type=str | int | None)]
"""How often a stream is folded; None every hour."""
Day = Annotated[date, BeforeValidator(read_day, json_schema_input_type=date)]


def _strings_under(model: type) -> Iterator[tuple[str, str]]:
    """Yield the fields of a class that have a string under them, and the string."""
    (written,) = ast.parse(dedent(inspect.getsource(model))).body
    assert isinstance(written, ast.ClassDef)
    for one, under in pairwise(written.body):
        match one, under:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)
            case _:
                pass


class Strict(BaseModel):
    """Frozen; unknown keys are refused; the strings under the fields describe them in the JSON schema."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Add the strings under the fields.

        With ``use_attribute_docstrings`` every start of dccd would look for the sources of all models.
        """
        schema = handler(core_schema)
        fields = handler.resolve_ref_schema(schema)["properties"]
        for one in reversed(cls.__mro__[: cls.__mro__.index(Strict)]):
            for name, text in _strings_under(one):
                fields[name]["description"] = text
        return schema


class SymbolLife(Strict):
    """What the exchange does not tell of a symbol."""

    listed: Day | None = Field(default=None, examples=["2020-09-15"])
    """The first day it was traded. Nothing is asked for before."""

    delisted: Day | None = Field(default=None, examples=["2024-09-10"])
    """The last day it was traded. Nothing is wanted after it."""

    renamed_to: SymbolText | None = Field(default=None, examples=["POL/USDT"])
    """What it is called since; errors say so."""

    @property
    def bounds(self) -> ListingPeriod:
        """The moments between which it was traded."""
        ended = self.delisted and Us(parse_time(str(self.delisted)) + DAY)
        return ListingPeriod(parse_time(str(self.listed)) if self.listed else None, ended)

    @property
    def hint(self) -> str:
        """What a reader can do where the exchange does not know the symbol any more; empty if nothing."""
        return f"it is called {self.renamed_to} now" if self.renamed_to else ""
