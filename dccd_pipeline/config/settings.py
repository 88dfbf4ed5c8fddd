"""What a human typed in ``dccd.yaml``, as frozen models. How it is read is in ``read.py``."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, TypeVar, cast
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails

from dccd_core.adapter.contract import Exchange
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.exchanges import get
from dccd_core.lake.lake import Lake
from dccd_pipeline.config.accepted import AcceptedGap, by_dataset
from dccd_pipeline.config.capabilities import closed_on
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.fields import ExchangeName, Strict, SymbolLife, SymbolText
from dccd_pipeline.config.origins import clash, underived, unread, with_origins
from dccd_pipeline.config.stream import StreamEntry

AnEntry = TypeVar("AnEntry", Entry, StreamEntry)

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/[^?]*)?(\?one_writer=true)?")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where settings come from; given to pydantic as the validation context."""

    source: str
    folder: Path


def _http(url: str) -> str:
    return _address(url, "http")


def _address(url: str, scheme: str) -> str:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in (scheme, f"{scheme}s") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound:  # what was typed may hold a secret: it is not repeated
        raise ConfigError(f"is no {scheme} address", hint=f"write it like {scheme}s://example.org/path")
    return url


def _prefix(url: str, scheme: str = "http") -> str:
    if "?" in url or "#" in url:
        raise ConfigError("is more than scheme, host and prefix", hint="let it end before the ? or #")
    return _address(url, scheme).rstrip("/")


def _socket_prefix(url: str) -> str:
    return _prefix(url, "ws")


class ExchangeSettings(Strict):
    """How to reach an exchange, and how much of its rate limits to spend."""

    rest_url: Annotated[str, AfterValidator(_prefix)] | None = Field(
        default=None, examples=["http://127.0.0.1:8900/binance"]
    )
    """Replaces scheme, host and prefix of the exchange's REST address; the exchange's own paths follow."""

    ws_url: Annotated[str, AfterValidator(_socket_prefix)] | None = Field(
        default=None, examples=["ws://127.0.0.1:8900/binance"]
    )
    """Replaces scheme, host and prefix of its WebSocket addresses; the exchange's own paths follow."""

    budget: float | None = Field(default=None, strict=True, gt=0, le=1, examples=[0.9])
    """The share of the exchange's rate limits to spend, above 0, at most 1. Without it: all but a reserve."""

    symbols: dict[SymbolText, SymbolLife] = Field(default_factory=dict[Symbol, SymbolLife])
    """What the exchange does not tell of a symbol: since when, until when, and what it is called now."""


class Alerts(Strict):
    """Where to say that something keeps failing."""

    webhook_url: Annotated[str, AfterValidator(_http)] = Field(
        repr=False, examples=["https://example.org/hook"]
    )
    """Receives an HTTP POST."""

    after_failures: int = Field(default=3, strict=True, ge=1, examples=[3])
    """How many failures in a row it takes."""


class Settings(Strict):
    """What dccd collects, from where, and where it keeps it."""

    store: str = Field(default="./data", validate_default=True, examples=["./data"])
    """A folder, relative to this file's folder, or s3://bucket/prefix."""

    exchanges: dict[ExchangeName, ExchangeSettings] = Field(default_factory=dict[str, ExchangeSettings])
    """What differs from the defaults, per exchange."""

    collect: tuple[Entry, ...] = ()
    """What to collect, and how often."""

    stream: tuple[StreamEntry, ...] = ()
    """What to record as it happens."""

    alerts: Alerts | None = None
    """Where to say that something keeps failing. Without it: only in Dagster."""

    accepted: tuple[AcceptedGap, ...] = ()
    """What is known to be missing, and taken as it is: it is shown, but fails nothing."""

    timezone: str = Field(default="UTC", examples=["Europe/Paris"])
    """Of cron, and of times that are printed. Data stay UTC."""

    _source: str = PrivateAttr(default="")

    @property
    def source(self) -> str:
        """Where the settings were read: a path or ``embedded defaults``; empty when made in Python."""
        return self._source

    def lake(self) -> Lake:
        """Open the store; what is accepted counts as explained there."""
        return Lake(self.store, accepted=by_dataset(self.accepted_gaps()))

    def accepted_gaps(self) -> list[tuple[str, int, int, str]]:
        return [(gap.dataset, gap.span.start, gap.span.end, gap.why) for gap in self.accepted]

    def life_of(self, exchange: str, symbol: Symbol) -> SymbolLife:
        own = self.exchanges.get(exchange, ExchangeSettings())
        return own.symbols.get(symbol, SymbolLife())

    def require_open(self, exchange: Exchange) -> None:
        """Refuse an exchange that has closed, unless another server is to answer in its stead."""
        if refusal := _closed(exchange, self.exchanges):
            raise refusal

    def model_post_init(self, context: object, /) -> None:
        self._source = context.source if isinstance(context, Origin) else ""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            near = get_close_matches(zone, available_timezones(), 1) or ["Europe/Paris"]
            raise ConfigError(f"{zone!r} is no time zone", hint=f"did you mean {near[0]}?")
        return zone

    @field_validator("store")
    @classmethod
    def _place(cls, store: str, info: ValidationInfo) -> str:
        if _BUCKET.fullmatch(store):
            return store.rstrip("/")
        if not store or _SCHEME.match(store):
            hint = "write a folder like ./data, or s3://bucket/prefix"
            raise ConfigError(f"{store!r} is no place for the data", hint=hint)
        folder = info.context.folder if isinstance(info.context, Origin) else Path()
        try:
            return str(folder / Path(store).expanduser())
        except RuntimeError:
            raise ConfigError(f"{store!r}: no such home folder", hint="write the path out") from None

    @field_validator("collect", mode="wrap")
    @classmethod
    def _sound_together(
        cls, raw: object, validate: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> tuple[Entry, ...]:
        _, known, lines = _read(raw, validate, Entry)
        exchanges: Mapping[str, ExchangeSettings] | None = info.data.get("exchanges")
        known = with_origins(known)
        lines += [*_clashes(known), *underived(known, unread(raw, known))]
        if exchanges is not None:
            lines += [*_unreachable(known, exchanges), *_delisted(known, exchanges)]
            lines += _stray_lives(known, exchanges)
        if lines:
            raise ValidationError.from_exception_data("collect", lines)
        lives = {name: own.symbols for name, own in (exchanges or {}).items()}
        return tuple(entry.living(lives.get(entry.exchange, {})) for entry in known.values())

    @field_validator("stream", mode="wrap")
    @classmethod
    def _streams_together(
        cls, raw: object, validate: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> tuple[StreamEntry, ...]:
        entries, known, lines = _read(raw, validate, StreamEntry)
        collected: tuple[Entry, ...] = info.data.get("collect", ())
        if lines := [*lines, *_stream_clashes(known, {entry.name: at for at, entry in enumerate(collected)})]:
            raise ValidationError.from_exception_data("stream", lines)
        return entries


def _again(mistake: ErrorDetails) -> InitErrorDetails:
    """Return a mistake in the form in which pydantic takes it back."""
    ctx = mistake.get("ctx", {})
    return InitErrorDetails(type=mistake["type"], loc=mistake["loc"], input=mistake["input"], ctx=ctx)


def _read(
    raw: object, validate: ValidatorFunctionWrapHandler, model: type[AnEntry]
) -> tuple[tuple[AnEntry, ...], dict[int, AnEntry], list[InitErrorDetails]]:
    """Return the entries when all are sound; those that are, by their place; and the mistakes in others."""
    try:
        entries: tuple[AnEntry, ...] = validate(raw)
    except ValidationError as e:
        # what pydantic leaves out because of a mistake is none itself
        mistakes = [m for m in e.errors() if m["type"] != "default_factory_not_called"]
        return (), _sound_part(raw, mistakes, model), [_again(mistake) for mistake in mistakes]
    return entries, dict(enumerate(entries)), []


def _sound_part(raw: object, mistakes: list[ErrorDetails], model: type[AnEntry]) -> dict[int, AnEntry]:
    """Read the entries without their wrong keys, so that clashes show beside the other mistakes.

    Those that then lack something needed drop out.
    """
    wrong: defaultdict[int | str, set[int | str]] = defaultdict(set)
    for mistake in mistakes:
        at, *key = mistake["loc"] or (0,)
        wrong[at].update(key[:1])
    entries: dict[int, AnEntry] = {}
    for at, item in enumerate(cast("list[object]", raw) if isinstance(raw, list) else ()):
        if not isinstance(item, dict):
            continue
        kept = {key: value for key, value in cast("dict[str, object]", item).items() if key not in wrong[at]}
        if "name" in wrong[at]:  # or it would be compared by a default name that nobody meant
            kept["name"] = f"entry_{at}"
        try:
            entries[at] = model.model_validate(kept)
        except ValidationError:
            continue
    return entries


def _clashes(entries: Mapping[int, Entry]) -> Iterator[InitErrorDetails]:
    datasets: dict[Dataset, tuple[int, int]] = {}
    names: dict[str, int] = {}
    for at, entry in entries.items():
        for n, dataset in enumerate(entry.datasets):
            first, m = datasets.setdefault(dataset, (at, n))
            if (first, m) != (at, n):
                said = f"{dataset} is already collected by collect[{first}].symbols[{m}]"
                yield clash((at, "symbols", n), said, "remove one of the two")
        first = names.setdefault(entry.name, at)
        if first != at:
            said = f"{entry.name} is already the name of collect[{first}]"
            hint = f"give one of the two a name of its own, like {entry.name}_{at + 1}"
            yield clash((at, "name"), said, hint)


def _stream_clashes(
    entries: Mapping[int, StreamEntry], collected: Mapping[str, int]
) -> Iterator[InitErrorDetails]:
    """Say what would be recorded twice, and which names are taken; ``collected``: those of ``collect``."""
    datasets: dict[Dataset, int] = {}
    names: dict[str, int] = {}
    for at, entry in entries.items():
        for n, dataset in enumerate(entry.datasets):
            first = datasets.setdefault(dataset, at)
            if first != at or dataset in entry.datasets[:n]:
                said = f"{dataset} is already recorded by stream[{first}]"
                place = (at, "symbols", n // len(entry.data_types))
                yield clash(place, said, "remove one of the two")
        first = names.setdefault(entry.name, at)
        if first != at:
            said = f"{entry.name} is already the name of stream[{first}]"
            hint = f"give one of the two a name of its own, like {entry.name}_{at + 1}"
            yield clash((at, "name"), said, hint)
        if entry.job in collected:
            said = f"its job would be called like that of collect[{collected[entry.job]}]"
            yield clash((at, "name"), said, f"give one of the two another name, like {entry.name}_live")


def _unreachable(
    entries: Mapping[int, Entry], exchanges: Mapping[str, ExchangeSettings]
) -> Iterator[InitErrorDetails]:
    """Say once for each closed exchange that nobody answers for it."""
    first: dict[str, int] = {}
    for at, entry in entries.items():
        if first.setdefault(entry.exchange, at) != at:
            continue
        if refusal := _closed(get(entry.exchange), exchanges):
            yield clash((at, "exchange"), str(refusal.args[0]), refusal.hint)


def _closed(exchange: Exchange, exchanges: Mapping[str, ExchangeSettings]) -> ConfigError | None:
    own = exchanges.get(exchange.name)
    if not (last := closed_on(exchange)) or (own and own.rest_url):
        return None
    hint = f"set exchanges.{exchange.name}.rest_url to a server that still has its history"
    return ConfigError(f"{exchange.title} closed on {last}", hint=hint)


def _delisted(
    entries: Mapping[int, Entry], exchanges: Mapping[str, ExchangeSettings]
) -> Iterator[InitErrorDetails]:
    """Say which symbols were gone before their entry starts."""
    for at, entry in entries.items():
        lives = exchanges[entry.exchange].symbols if entry.exchange in exchanges else {}
        for n, symbol in enumerate(entry.symbols):
            life = lives.get(symbol)
            if life and life.delisted and life.delisted < entry.start:
                said = f"{symbol} was delisted on {life.delisted}, before the start, {entry.start}"
                yield clash((at, "symbols", n), said, life.hint or "remove it, or start earlier")


def _stray_lives(
    entries: Mapping[int, Entry], exchanges: Mapping[str, ExchangeSettings]
) -> Iterator[InitErrorDetails]:
    """Say which lives are told of a symbol that nobody collects, but one that is written much like it is."""
    for name, own in exchanges.items():
        collected = {str(s): at for at, e in entries.items() if e.exchange == name for s in e.symbols}
        for symbol in own.symbols:
            near = get_close_matches(str(symbol), collected, 1, 0.75)
            if str(symbol) not in collected and near and near[0] not in map(str, own.symbols):
                said = f"exchanges.{name}.symbols.{symbol} is of no entry"
                yield clash((collected[near[0]], "symbols"), said, f"did you mean {near[0]}?")


def off_lines(settings: Settings) -> list[str]:
    """Name the entries that nothing brings up to date by itself, and why."""
    whys = [
        (entry.name, "enabled: false" if not entry.enabled else "every: never")
        for entry in settings.collect
        if not entry.enabled or entry.every == "never"
    ]
    silent = [entry.name for entry in settings.stream if not entry.enabled]
    return [
        *(f"{name}: off ({why}); `dccd collect {name}` brings it up to date" for name, why in whys),
        *(f"{name}: off (enabled: false); `dccd stream {name}` records it" for name in silent),
    ]
