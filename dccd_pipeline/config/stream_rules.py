"""What an entry of ``stream`` may not ask for: what its exchange does not push. Pure."""

from collections.abc import Iterator

from dccd_core.adapter.contract import Exchange
from dccd_core.adapter.live import Channel
from dccd_core.domain.barspan import format_bar_span
from dccd_core.domain.timespan import Us, moment
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
from dccd_pipeline.config.collect_rules import no_such_market
from dccd_pipeline.config.draft import Draft, Part, Problem
from dccd_pipeline.config.stream import StreamEntry
from dccd_pipeline.config.words import having


def _exchange(part: Part[StreamEntry]) -> Exchange | None:
    """Return the exchange, where it is known and can be listened to."""
    exchange = get(part.typed.exchange)
    return exchange if part.sound("exchange") and exchange.live else None


def _kinds(part: Part[StreamEntry], exchange: Exchange) -> list[str]:
    """Return the kinds of market of the symbols; unsound ones may be of any."""
    kinds = {symbol.market_type for symbol in part.typed.symbols}
    return sorted(kinds) if part.sound("symbols") and kinds <= exchange.kinds else list(KINDS)


def _channels(part: Part[StreamEntry], *data_types: DataType) -> list[Channel]:
    exchange = _exchange(part)
    if exchange is None:
        return []
    kinds = _kinds(part, exchange)
    return [one for data_type in data_types for one in pushed(exchange, data_type, kinds).values()]


def exchange_can_be_listened_to(config: Draft, now: Us) -> Iterator[Problem]:
    for part in config.stream:
        exchange = get(part.typed.exchange)
        if part.sound("exchange") and exchange.live is None:
            others = ", ".join(other for other in NAMES if get(other).live)
            last = closed_on(exchange, now)
            said = f"closed on {last}, nothing new comes" if last else "cannot be listened to"
            yield part.problem(("exchange",), f"{exchange.title} {said}", f"choose one of {others}")


def symbols_are_traded(config: Draft, _now: Us) -> Iterator[Problem]:
    for part in config.stream:
        exchange = get(part.typed.exchange)
        for n, symbol in part.items("symbols", part.typed.symbols):
            if part.sound("exchange") and symbol.market_type not in exchange.kinds:
                yield part.problem(("symbols", n), *no_such_market(exchange, symbol, exchange.kinds))


def data_types_are_pushed(config: Draft, _now: Us) -> Iterator[Problem]:
    for part in config.stream:
        exchange = _exchange(part)
        for n, data_type in part.items("data_types", part.typed.data_types):
            if exchange and (lacking := _lacking(part, exchange, data_type)):
                of = f" of {lacking[0]} markets" if pushed(exchange, data_type) else ""
                known = [other for other in DataType if not _lacking(part, exchange, other)]
                hint = f"it pushes {', '.join(known)}" if known else ""
                hint = hint or f"list the {lacking[0]} markets in another stream"
                yield part.problem(("data_types", n), f"{exchange.name} pushes no {data_type}{of}", hint)


def _lacking(part: Part[StreamEntry], exchange: Exchange, data_type: DataType) -> list[str]:
    """Name the kinds of market among the entry's symbols that nothing brings ``data_type`` of."""
    found = pushed(exchange, data_type)
    if found and not part.sound("symbols"):
        return []  # an unsound symbol may have meant a market that has it
    return [kind for kind in _kinds(part, exchange) if kind in exchange.kinds and kind not in found]


def data_types_are_named_once(config: Draft, _now: Us) -> Iterator[Problem]:
    for part in config.stream:
        known = part.typed.data_types
        twice = [one for n, one in enumerate(known) if one in known[:n]]
        if twice and part.sound("data_types"):
            yield part.problem(("data_types",), f"{twice[0]} is there twice", "remove one of the two")


def span_is_pushed(config: Draft, _now: Us) -> Iterator[Problem]:
    for part in config.stream:
        spanned = [one for one in part.typed.data_types if one.table.takes_span]
        if part.sound("span", "data_types") and (wrong := _wrong_span(part, spanned)):
            yield part.problem(("span",), *wrong)


def _wrong_span(part: Part[StreamEntry], spanned: list[DataType]) -> tuple[str, str] | None:
    span, known = part.typed.span, spans_of(_channels(part, *spanned))
    if not spanned:
        return _alone("span", having(lambda table: table.takes_span)) if span else None
    if span is None:
        hint = f"write one of {listed_spans(known)}" if known else "write it like 1m"
        return f"missing, {spanned[0]} needs one", hint
    if known and span not in known:
        said = f"{part.typed.exchange} pushes no {format_bar_span(span)} bars"
        return said, f"nearest is {nearest_span(span, known)}, it pushes {listed_spans(known)}"
    return None


def books_are_pushed(config: Draft, _now: Us) -> Iterator[Problem]:
    """Only books have a depth and a pace, and only as deep as they are pushed."""
    for part in config.stream:
        if not part.sound("data_types"):
            continue
        entry, deep = part.typed, [one for one in part.typed.data_types if one.table.takes_depth]
        for key in ("depth", "snapshot_every"):
            if getattr(entry, key) is not None and part.sound(key) and not deep:
                yield part.problem((key,), *_alone(key, having(lambda table: table.takes_depth)))
        most = deepest(_channels(part, *deep))
        if entry.depth and most and entry.depth > most and part.sound("depth"):
            said = f"{entry.exchange} pushes at most {most} levels, not {entry.depth}"
            yield part.problem(("depth",), said, f"write {most}")


def _alone(key: str, having_it: str) -> tuple[str, str]:
    return f"only {having_it} has a {key}", f"remove it, or add {having_it} to data_types"


def stream_starts_in_the_past(config: Draft, now: Us) -> Iterator[Problem]:
    today = moment(now).date()
    for part in config.stream:
        start = part.typed.start
        if part.sound("start") and start and start > today:
            yield part.problem(("start",), f"{start} is in the future", f"write {today} or earlier")


STREAM_RULES = (
    exchange_can_be_listened_to,
    symbols_are_traded,
    data_types_are_pushed,
    data_types_are_named_once,
    span_is_pushed,
    books_are_pushed,
    stream_starts_in_the_past,
)
"""What is asked of each stream by itself."""
