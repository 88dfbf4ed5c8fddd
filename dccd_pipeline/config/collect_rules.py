"""What an entry of ``collect`` may not ask for: what its exchange does not serve, or not then. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import islice

from dccd_core.adapter.contract import FULL, Endpoint, Exchange
from dccd_core.domain.barspan import format_bar_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, Us, moment, parse_time
from dccd_core.exchanges import get
from dccd_core.tables import DataType
from dccd_pipeline.config.capabilities import (
    KINDS,
    can_ask,
    closed_on,
    elsewhere,
    example_of,
    listed_spans,
    nearest_span,
    said_time,
    served,
)
from dccd_pipeline.config.collect import RECENT, TypedEntry, is_limited, recent_day
from dccd_pipeline.config.cron import parse_cron
from dccd_pipeline.config.draft import Draft, Part, Problem
from dccd_pipeline.config.sources import TRADES, refuse_unfilled, short_span
from dccd_pipeline.config.words import having


@dataclass(frozen=True, slots=True)
class _Question:
    """What an entry asks its exchange for, as far as it is known."""

    part: Part[TypedEntry]
    now: Us
    exchange: Exchange | None
    data_type: DataType | None
    """None, too, where the exchange serves none of it: then nothing more can be said of it."""
    sure: bool
    """Whether the kinds of market are known; an unsound symbol may mean any."""

    @property
    def entry(self) -> TypedEntry:
        return self.part.typed

    @property
    def endpoints(self) -> dict[str, Endpoint]:
        """What serves its data type, by kind of market."""
        return self._serving(self.data_type) if self.data_type else {}

    @property
    def asked(self) -> dict[str, Endpoint]:
        """What is asked for its rows, by kind of market: for derived bars trades, or nothing at all."""
        source = self.entry.derive_from
        return self._serving(DataType(source)) if source in TRADES else {} if source else self.endpoints

    def _serving(self, data_type: DataType) -> dict[str, Endpoint]:
        kinds = sorted({symbol.market_type for symbol in self.entry.symbols}) if self.sure else KINDS
        return served(self.exchange, data_type, self.now, kinds) if self.exchange else {}

    def wrong_kind(self, endpoints: Mapping[str, Endpoint], test: Callable[[Endpoint], bool]) -> str:
        """Return a kind of market whose endpoint fails; none where an unsound symbol may mean another."""
        kinds = [kind for kind, endpoint in endpoints.items() if test(endpoint)]
        return kinds[0] if kinds and (self.sure or len(kinds) == len(endpoints)) else ""


def _questions(config: Draft, now: Us) -> Iterator[_Question]:
    for part in config.collect:
        entry = part.typed
        exchange = get(entry.exchange) if part.sound("exchange") else None
        data_type = entry.data_type if part.sound("data_type") else None
        if exchange and data_type and not served(exchange, data_type, now):
            data_type = None
        kinds = {symbol.market_type for symbol in entry.symbols}
        unserved = exchange and data_type and kinds - served(exchange, data_type, now).keys()
        yield _Question(part, now, exchange, data_type, part.sound("symbols") and not unserved)


def data_type_is_served(config: Draft, now: Us) -> Iterator[Problem]:
    for part in config.collect:
        exchange, data_type = get(part.typed.exchange), part.typed.data_type
        if part.sound("exchange", "data_type") and not served(exchange, data_type, now):
            known = [other for other in DataType if served(exchange, other, now)]
            gone = f", it closed on {last}" if (last := closed_on(exchange, now)) else ""
            hint = f"it serves {', '.join(known)}"
            yield part.problem(("data_type",), f"{exchange.name} serves no {data_type}{gone}", hint)


def symbols_are_served(config: Draft, now: Us) -> Iterator[Problem]:
    for one in _questions(config, now):
        for n, symbol in one.part.items("symbols", one.entry.symbols):
            if one.exchange and (wrong := _unserved(one.exchange, symbol, one.data_type, now)):
                yield one.part.problem(("symbols", n), *wrong)


def _unserved(
    exchange: Exchange, symbol: Symbol, data_type: DataType | None, now: Us
) -> tuple[str, str] | None:
    kind = symbol.market_type
    known = served(exchange, data_type, now) if data_type else exchange.kinds
    if kind in known:
        return None
    if kind not in exchange.kinds:
        return no_such_market(exchange, symbol, known)
    others = [other for other in DataType if kind in served(exchange, other, now)]
    _, hint = no_such_market(exchange, symbol, known)
    hint = f"{hint}; of {symbol} it serves {', '.join(others)}" if others else hint
    return f"{exchange.name} serves no {data_type} of {kind} markets", hint


def no_such_market(exchange: Exchange, symbol: Symbol, known: object) -> tuple[str, str]:
    """Return what to say of a kind of market that an exchange does not have, and the nearest it has."""
    near = next(kind for kind in KINDS if kind in (known or exchange.kinds))  # type: ignore[operator]
    said = f"{exchange.name} has no {symbol.market_type} markets, so no {symbol}"
    return said, f"its {near} market would be {example_of(near, symbol)}"


def bars_can_be_derived(config: Draft, now: Us) -> Iterator[Problem]:
    for one in _questions(config, now):
        value = one.entry.derive_from
        if value is None or one.data_type is None or not one.part.sound("derive_from"):
            continue
        if one.data_type.table.built_from is None:
            hint = f"remove it, only {having(lambda table: table.built_from)} has one"
            yield one.part.problem(("derive_from",), f"{one.data_type} takes no derive_from", hint)
        elif value in TRADES and one.exchange and one.part.sound("symbols"):
            kinds = {symbol.market_type for symbol in one.entry.symbols}
            if lacking := sorted(kinds - served(one.exchange, DataType(value), now).keys()):
                of = f"{' and '.join(lacking)} markets to build bars of"
                yield one.part.problem(
                    ("derive_from",), f"{one.exchange.name} serves no {value} of {of}", "remove it"
                )


def span_is_served(config: Draft, now: Us) -> Iterator[Problem]:
    for one in _questions(config, now):
        if one.part.sound("span") and (wrong := _wrong_span(one)):
            yield one.part.problem(("span",), *wrong)


def _wrong_span(one: _Question) -> tuple[str, str] | None:
    span, data_type, endpoints = one.entry.span, one.data_type, one.endpoints
    if data_type is None or (span is None and not data_type.table.takes_span):
        return None
    if span and not data_type.table.takes_span:
        hint = f"remove it, only {having(lambda table: table.takes_span)} has one"
        return f"{data_type} takes no span", hint
    known = list(dict.fromkeys(bar for endpoint in endpoints.values() for bar in endpoint.spans))
    if span is None:
        hint = f"write one of {listed_spans(known)}" if known else "write it like 1m"
        return f"missing, {data_type} needs one", hint
    if source := one.entry.derive_from:
        return _refusal(lambda: refuse_unfilled(source, span, known))
    return _unserved_span(one, span, endpoints)


def _unserved_span(one: _Question, span: Us, endpoints: Mapping[str, Endpoint]) -> tuple[str, str] | None:
    kind = one.wrong_kind(endpoints, lambda endpoint: span not in endpoint.spans)
    if not kind or not one.exchange or not one.data_type:
        return None
    bars = f"{format_bar_span(span)} bars" + (f" of {kind} markets" if len(endpoints) > 1 else "")
    spans = endpoints[kind].spans
    hint = f"nearest is {nearest_span(span, spans)}, it serves {listed_spans(spans)}"
    if source := one.data_type.table.built_from:
        endpoint = served(one.exchange, DataType(source), one.now).get(kind)
        if endpoint and endpoint.reach.rows is None and DAY % span == 0:
            hint += f"; or derive_from: {source}"
    return f"{one.exchange.name} serves no {bars}", hint


def start_can_be_served(config: Draft, now: Us) -> Iterator[Problem]:
    """Of each start say what is wrong with it first."""
    for one in _questions(config, now):
        start = one.entry.start
        if not one.part.sound("start") or start is None:
            continue
        wrong = _wrong_day(one, start) if isinstance(start, date) else _no_recent(one)
        for said, hint in islice(wrong, 1):
            yield one.part.problem(("start",), said, hint)


def _no_recent(one: _Question) -> Iterator[tuple[str, str]]:
    asked = one.asked
    if short_span(one.entry.derive_from):
        hint = "leave start out: they begin with those they are built of"
        yield f"{RECENT} says nothing of bars that are built of stored ones", hint
    if one.exchange and asked and all(endpoint.reach == FULL for endpoint in asked.values()):
        said = f"{one.exchange.name} serves the full history, so {RECENT} says nothing"
        yield said, f"write a day, {moment(one.exchange.since).date()} or later"


def _wrong_day(one: _Question, start: date) -> Iterator[tuple[str, str]]:
    today, exchange = moment(one.now).date(), one.exchange
    if start > today:
        yield f"{start} is in the future", f"write {today} or earlier"
    if exchange is None:
        return
    if (last := closed_on(exchange, one.now)) and start > last:
        yield f"{exchange.title} closed on {last}", f"write {last} or earlier"
    yield from _out_of_reach(one, exchange, start)
    if start < (first := moment(exchange.since).date()):
        yield f"{exchange.name} has nothing before {first}", f"write {first} or later"


def _out_of_reach(one: _Question, exchange: Exchange, start: date) -> Iterator[tuple[str, str]]:
    asked, bar = one.asked, one.entry.span
    kind = one.wrong_kind(asked, is_limited)  # a day that is served today will not be so for ever
    if not kind or not one.data_type or not one.part.sound("derive_from", "span") or _wrong_span(one):
        return
    if start == recent_day(exchange, asked, bar, one.now):
        return
    yield (
        f"{exchange.name} serves {asked[kind].reach} of {_rows(one)}{_since(asked[kind], one)}",
        ", or ".join(_ways_out(one, exchange, kind, parse_time(str(start)))),
    )


def _rows(one: _Question) -> str:
    bar = one.entry.span
    return one.entry.derive_from or (f"{format_bar_span(bar)} bars" if bar else one.entry.data_type)


def _since(endpoint: Endpoint, one: _Question) -> str:
    since = endpoint.reach.since(one.now, one.entry.span)
    return f", now from {said_time(since)} on" if since else ""


def _ways_out(one: _Question, exchange: Exchange, kind: str, at: Us) -> Iterator[str]:
    data_type, bar, now = one.entry.data_type, one.entry.span, one.now
    yield f"write start: {RECENT}"
    source = None if one.entry.derive_from else data_type.table.built_from
    if source and can_ask(exchange, DataType(source), kind, None, at, now):
        yield f"derive_from: {source}"
    if others := elsewhere(exchange, data_type, kind, bar, at, now):
        yield f"take it from {' or '.join(others)}"


def end_is_after_the_start(config: Draft, now: Us) -> Iterator[Problem]:
    for part in config.collect:
        start, end = part.typed.start, part.typed.end
        if part.sound("exchange", "data_type", "symbols", "span", "derive_from"):
            start = part.typed.shown_since(now) or start
        if part.sound("start", "end") and end and isinstance(start, date) and end <= start:
            hint = f"write a day after {start}: the end is the first day not wanted"
            yield part.problem(("end",), f"{end} is not after the start", hint)


def schedule_can_fire(config: Draft, now: Us) -> Iterator[Problem]:
    for one in _questions(config, now):
        last = closed_on(one.exchange, now) if one.exchange else None
        said = f"{one.exchange.title if one.exchange else ''} closed on {last}, nothing new comes"
        if last and one.part.sound("every") and isinstance(one.entry.every, int):
            yield one.part.problem(("every",), said, "remove every")
        if one.entry.cron is None or not one.part.sound("cron"):
            continue
        if one.entry.every is not None or not one.part.sound("every"):
            yield one.part.problem(("cron",), "cron and every exclude each other", "keep one of the two")
        elif last:
            yield one.part.problem(("cron",), said, "remove cron")
        elif wrong := _refusal(partial(parse_cron, one.entry.cron, now)):
            yield one.part.problem(("cron",), *wrong)


def _refusal(check: Callable[[], object]) -> tuple[str, str] | None:
    """Return what ``check`` refuses, and the hint."""
    try:
        check()
    except ConfigError as e:
        return str(e.args[0]), e.hint
    return None


def depth_is_served(config: Draft, now: Us) -> Iterator[Problem]:
    for one in _questions(config, now):
        depth, data_type = one.entry.depth, one.data_type
        if not depth or not data_type or not one.part.sound("depth"):
            continue
        if not data_type.table.takes_depth:
            hint = f"remove it, only {having(lambda table: table.takes_depth)} has one"
            yield one.part.problem(("depth",), f"{data_type} takes no depth", hint)
            continue
        levels = [endpoint.page_limit for endpoint in one.endpoints.values()]
        most = (min if one.sure else max)(levels, default=depth)
        if depth > most:
            said = f"{one.entry.exchange} serves at most {most} levels, not {depth}"
            yield one.part.problem(("depth",), said, f"write {most}")


def there_is_a_tail_to_fold(config: Draft, _now: Us) -> Iterator[Problem]:
    for part in config.collect:
        built = part.typed.derive_from is not None
        if built and part.typed.fold_every is not None and part.sound("fold_every", "derive_from"):
            said = "what is built of stored rows is put into its files at once"
            yield part.problem(("fold_every",), said, "remove it")


COLLECT_RULES = (
    data_type_is_served,
    symbols_are_served,
    bars_can_be_derived,
    span_is_served,
    start_can_be_served,
    end_is_after_the_start,
    schedule_can_fire,
    depth_is_served,
    there_is_a_tail_to_fold,
)
"""What is asked of each entry by itself."""
