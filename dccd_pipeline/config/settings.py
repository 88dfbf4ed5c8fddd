"""What a human typed in ``dccd.yaml``, and what is meant by it, as frozen models. How it is read: read.py."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, PrivateAttr

from dccd_core.adapter.contract import Exchange
from dccd_core.api.configured import DEFAULT_STORE, store_at
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import Us
from dccd_core.keep.restore import Restorer, restorer
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.config.accepted import AcceptedGap, by_dataset
from dccd_pipeline.config.alerts import Alerts
from dccd_pipeline.config.capabilities import closed_on, present
from dccd_pipeline.config.collect import Entry, TypedEntry
from dccd_pipeline.config.fields import ExchangeName, Strict, SymbolLife, SymbolText, read_address
from dccd_pipeline.config.origins import with_origins
from dccd_pipeline.config.purge import Purge
from dccd_pipeline.config.reconcile import Reconcile
from dccd_pipeline.config.remotes import RemoteEntry
from dccd_pipeline.config.runs import KeepRuns
from dccd_pipeline.config.s3 import S3Settings
from dccd_pipeline.config.stream import StreamEntry


@dataclass(frozen=True, slots=True)
class Origin:
    """Where settings come from; without a source they were made in Python."""

    source: str = ""
    folder: Path = Path()


def _prefix(url: str, scheme: str = "http") -> str:
    if "?" in url or "#" in url:
        raise ConfigError("is more than scheme, host and prefix", hint="let it end before the ? or #")
    return read_address(url, scheme).rstrip("/")


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


def _zone(zone: str) -> str:
    if zone not in available_timezones():
        near = get_close_matches(zone, available_timezones(), 1) or ["Europe/Paris"]
        raise ConfigError(f"{zone!r} is no time zone", hint=f"did you mean {near[0]}?")
    return zone


def _store(store: str) -> str:
    store_at(store, Path())
    return store


class TypedSettings(Strict):
    """What dccd collects, from where, and where it keeps it."""

    store: Annotated[str, AfterValidator(_store)] = Field(default=DEFAULT_STORE, examples=[DEFAULT_STORE])
    """A folder, relative to this file's folder, or s3://bucket/prefix."""

    exchanges: dict[ExchangeName, ExchangeSettings] = Field(default_factory=dict[str, ExchangeSettings])
    """What differs from the defaults, per exchange."""

    collect: tuple[TypedEntry, ...] = ()
    """What to collect, and how often."""

    stream: tuple[StreamEntry, ...] = ()
    """What to record as it happens."""

    alerts: Alerts | None = None
    """Where to say what goes wrong. Without it: only in Dagster."""

    remotes: tuple[RemoteEntry, ...] = ()
    """Where copies of the lake are kept, and how often they are brought up."""

    s3: S3Settings = Field(default_factory=S3Settings)
    """How to reach buckets: that of the store, and those of remotes."""

    purge: Purge | None = None
    """What makes way here once remotes hold it. Without it nothing does."""

    accepted: tuple[AcceptedGap, ...] = ()
    """What is known to be missing, and taken as it is: it is shown, but fails nothing."""

    keep_runs: KeepRuns = Field(default_factory=KeepRuns)
    """For how long Dagster's storage keeps what became of runs."""

    reconcile: Reconcile = Field(default_factory=Reconcile)
    """How much of what streams recorded is held against the exchange each day."""

    timezone: Annotated[str, AfterValidator(_zone)] = Field(default="UTC", examples=["Europe/Paris"])
    """Of cron, and of times that are printed. Data stay UTC."""


class Settings(TypedSettings):
    """What is meant by it: what was left out is filled in."""

    collect: tuple[Entry, ...] = ()  # pyright: ignore[reportIncompatibleVariableOverride]
    _source: str = PrivateAttr(default="")

    @classmethod
    def of(cls, typed: TypedSettings, origin: Origin, now: Us) -> "Settings":
        """Return what sound settings from ``origin`` mean."""
        lives = {name: own.symbols for name, own in typed.exchanges.items()}
        made = [Entry.of(one, lives.get(one.exchange, {}), now) for one in typed.collect]
        entries = [entry.zoned(typed.timezone) for entry in made]
        meant = {
            "store": store_at(typed.store, origin.folder),
            "collect": tuple(with_origins(dict(enumerate(entries))).values()),
            "stream": tuple(one.completed() for one in typed.stream),
            "remotes": tuple(one.placed(origin.folder) for one in typed.remotes),
        }
        made = cls.model_construct(set(typed.model_fields_set), **{**dict(typed), **meant})
        made._source = origin.source
        return made

    @property
    def source(self) -> str:
        """Where the settings were read: a path or ``embedded defaults``; empty when made in Python."""
        return self._source

    def lake(self, tell: Callable[[str], object] | None = None) -> LakeStore:
        """Open the store; what is accepted counts as explained there.

        What remotes hold is brought back when it is needed; ``tell`` is told so in a line, else the log.
        """
        accepted = by_dataset(self.accepted_gaps())
        lake = LakeStore(self.store, accepted=accepted, s3=self.s3.keys.client)
        lake.bring = self.restorer(lake, tell)
        return lake

    def restorer(self, lake: LakeStore, tell: Callable[[str], object] | None = None) -> Restorer:
        """Return what brings back what these remotes hold of a lake, as long as it leaves ``keep_free``."""
        places = [entry.place for entry in self.remotes]
        return restorer(lake, places, self.s3.keys.client, (self.purge and self.purge.keep_free) or 0, tell)

    def accepted_gaps(self) -> list[tuple[str, int, int, str]]:
        return [(gap.dataset, gap.span.start, gap.span.end, gap.why) for gap in self.accepted]

    def life_of(self, exchange: str, symbol: Symbol) -> SymbolLife:
        own = self.exchanges.get(exchange, ExchangeSettings())
        return own.symbols.get(symbol, SymbolLife())

    def require_open(self, exchange: Exchange) -> None:
        """Refuse an exchange that has closed, unless another server is to answer in its stead."""
        own = self.exchanges.get(exchange.name)
        if (last := closed_on(exchange, present())) and not (own and own.rest_url):
            said, hint = said_closed(exchange, last)
            raise ConfigError(said, hint=hint)


def said_closed(exchange: Exchange, last: date) -> tuple[str, str]:
    """Return what to say of an exchange for which nobody answers any more, and the hint."""
    hint = f"set exchanges.{exchange.name}.rest_url to a server that still has its history"
    return f"{exchange.title} closed on {last}", hint


def off_lines(settings: Settings) -> list[str]:
    """Name the entries that nothing brings up to date by itself, and why."""
    whys = [
        (entry.name, "enabled: false" if not entry.enabled else "every: never")
        for entry in settings.collect
        if not entry.enabled or entry.every == "never"
    ]
    silent = [entry.name for entry in settings.stream if not entry.enabled]
    return [
        *(
            f"remote/{one.name}: off ({'enabled: false' if not one.enabled else 'every: never'}); "
            f"`dccd sync {one.name}` brings it up"
            for one in settings.remotes
            if not one.scheduled
        ),
        *(f"{name}: off ({why}); `dccd collect {name}` brings it up to date" for name, why in whys),
        *(f"{name}: off (enabled: false); `dccd stream {name}` records it" for name in silent),
    ]
