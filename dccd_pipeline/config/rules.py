"""What may not be in ``dccd.yaml`` though each value of it is sound: plain generators, all in one tuple.

A rule looks at one thing, takes the time it is as an argument, and says where, what, and what to do. Pure.
Belongs here: what spans entries and sections. Does not: what one entry may ask for (collect_rules.py,
stream_rules.py), and keys and types (the models).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Final

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import Us, parse_time
from dccd_core.exchanges import get
from dccd_pipeline.config.capabilities import closed_on
from dccd_pipeline.config.collect import Entry, TypedEntry
from dccd_pipeline.config.collect_rules import COLLECT_RULES
from dccd_pipeline.config.draft import Draft, Part, Place, Problem, said_place
from dccd_pipeline.config.fields import SymbolLife
from dccd_pipeline.config.origins import with_origins
from dccd_pipeline.config.settings import said_closed
from dccd_pipeline.config.sources import refuse_unfilled, said_source
from dccd_pipeline.config.stream import StreamEntry
from dccd_pipeline.config.stream_rules import STREAM_RULES

Rule = Callable[[Draft, Us], Iterator[Problem]]


def symbols_live_forwards(config: Draft, _now: Us) -> Iterator[Problem]:
    for part in config.exchanges.values():
        for symbol, life in part.typed.symbols.items() if part.sound("symbols") else ():
            if life.delisted and life.listed and life.delisted < life.listed:
                said = f"{life.delisted} is before it was listed, {life.listed}"
                yield part.problem(("symbols", str(symbol), "delisted"), said, "exchange the two")


def accepted_gaps_end_after_they_start(config: Draft, _now: Us) -> Iterator[Problem]:
    for part in config.accepted:
        start, end = part.typed.start, part.typed.end
        if part.sound("start", "end") and parse_time(end) <= parse_time(start):
            said = f"{end} is not after start, {start}"
            yield part.problem(("end",), said, "end is the first moment not meant")


def datasets_are_collected_once(config: Draft, _now: Us) -> Iterator[Problem]:
    first: dict[Dataset, Place] = {}
    for part in config.collect:
        for n, dataset in _datasets(part):
            place = (*part.place, "symbols", n)
            if (known := first.setdefault(dataset, place)) != place:
                said = f"{dataset} is already collected by {said_place(known)}"
                yield Problem(place, said, "remove one of the two")


def entries_have_names_of_their_own(config: Draft, _now: Us) -> Iterator[Problem]:
    names = {part.place: part.typed.called for part in config.collect if _is_named(part)}
    yield from _same_names(names)


def datasets_are_recorded_once(config: Draft, _now: Us) -> Iterator[Problem]:
    first: dict[Dataset, Place] = {}
    for part in config.stream:
        if not part.sound("exchange", "symbols", "data_types", "span") or not _is_plain(part.typed):
            continue
        seen = set[Dataset]()
        for n, dataset in enumerate(part.typed.datasets):
            known = first.setdefault(dataset, part.place)
            if known != part.place or dataset in seen:
                said = f"{dataset} is already recorded by {said_place(known)}"
                place = ("symbols", n // len(part.typed.data_types))
                yield part.problem(place, said, "remove one of the two")
            seen.add(dataset)


def streams_have_names_of_their_own(config: Draft, _now: Us) -> Iterator[Problem]:
    yield from _same_names({part.place: part.typed.name for part in config.stream if part.sound("name")})
    collected = {part.typed.called: part.place for part in config.collect if _is_named(part)}
    for part in config.stream:
        if part.sound("name") and part.typed.job in collected:
            said = f"its job would be called like that of {said_place(collected[part.typed.job])}"
            yield part.problem(
                ("name",), said, f"give one of the two another name, like {part.typed.name}_live"
            )


def remotes_have_names_of_their_own(config: Draft, _now: Us) -> Iterator[Problem]:
    named = [part for part in config.remotes if part.sound("name")]
    yield from _same_names({part.place: part.typed.name for part in named})
    collected = {part.typed.called: part.place for part in config.collect if _is_named(part)}
    for part in named:
        if part.typed.job in collected:
            said = f"its job would be called like that of {said_place(collected[part.typed.job])}"
            hint = f"give one of the two another name, like {part.typed.name}_copy"
            yield part.problem(("name",), said, hint)


def remotes_are_apart(config: Draft, _now: Us) -> Iterator[Problem]:
    """A copy within the lake would be copied, too; and of two in one place each is the other's."""
    known: dict[Place, PurePath] = {("store",): _spot(config.store)} if config.store else {}
    for part in config.remotes:
        if not part.sound("to"):
            continue
        spot = _spot(part.typed.to)
        for place, other in known.items():
            if spot == other or spot in other.parents or other in spot.parents:
                is_there = "is" if spot == other else "is not apart from"
                said = f"{part.typed.to} {is_there} the place of {said_place(place)}"
                yield part.problem(("to",), said, "choose a place of its own")
        known[part.place] = spot


def _spot(place: str) -> PurePath:
    """Return a place so that one that is in another begins with it."""
    address = place.partition("?")[0]
    if address.startswith("rclone:"):
        return PurePath(address.replace(":", "/"))
    return (
        PurePath(address.replace("://", "/")) if "://" in address else Path(address).expanduser().absolute()
    )


def derived_bars_have_their_source(config: Draft, now: Us) -> Iterator[Problem]:
    """Of derived bars somebody collects what they are built of, from no later on."""
    known = {dataset for part in config.collect for _, dataset in _datasets(part)}
    hidden = {(p.typed.exchange, p.typed.data_type) for p in config.collect if _hides_datasets(p)}
    told = _entries(config, now)
    for at, part in enumerate(config.collect):
        for n, dataset in _datasets(part) if _is_filled(part) else ():
            source, rows = part.typed.built_from(dataset), said_source(part.typed.derive_from or "")
            origin = told[at].origins.get(dataset.symbol) if at in told else None
            if source and source not in known and (source.exchange, source.data_type) not in hidden:
                of = f"{source.exchange} {rows} of {source.symbol}"
                said = f"no entry collects the {of}, of which to build bars"
                yield part.problem(("symbols", n), said, f"add {{{_entry_of(source)}}}")
            elif origin and told[at].start < origin.start:
                said = f"the {rows} of {dataset.symbol} are collected from {origin.start} on only"
                hint = f"write {origin.start}, or let the {rows} start earlier"
                yield part.problem(("start",), said, hint)


def _is_filled(part: Part[TypedEntry]) -> bool:
    """Tell whether bars are built of what fills them: else it is the wrong source, whoever collects it."""
    source, span = part.typed.derive_from, part.typed.span
    if source is None or span is None or not part.sound("derive_from", "span"):
        return False
    try:
        refuse_unfilled(source, span, [span])
    except ConfigError:
        return False
    return True


def _hides_datasets(part: Part[TypedEntry]) -> bool:
    """Tell whether other mistakes hide which datasets of its data type an entry collects."""
    whole = part.sound("symbols", "span") and bool(_datasets(part))
    return part.sound("exchange", "data_type") and not whole


def _entry_of(source: Dataset) -> str:
    span = f", span: {source.parts[-1]}" if source.span else ""
    return f"exchange: {source.exchange}, symbols: [{source.symbol}], data_type: {source.data_type}{span}"


def _entries(config: Draft, now: Us) -> dict[int, Entry]:
    """Return the entries of which it is known since when they are wanted, by their places."""
    keys = ("symbols", "derive_from", "start")
    parts = {at: part for at, part in enumerate(config.collect) if part.sound(*keys) and _datasets(part)}
    return with_origins({at: Entry.of(part.typed, {}, now) for at, part in parts.items()})


def closed_exchanges_are_answered_for(config: Draft, now: Us) -> Iterator[Problem]:
    """Say once for each closed exchange that nobody answers for it."""
    first: dict[str, Part[TypedEntry]] = {}
    for part in config.collect:
        if part.sound("exchange"):
            first.setdefault(part.typed.exchange, part)
    for name, part in first.items():
        last, own = closed_on(get(name), now), config.exchanges.get(name)
        if last and not (own and (own.typed.rest_url or not own.sound("rest_url"))):
            yield part.problem(("exchange",), *said_closed(get(name), last))


def symbols_lived_at_the_start(config: Draft, now: Us) -> Iterator[Problem]:
    for at, entry in _entries(config, now).items():
        start, lives = entry.start, _lives(config, entry.exchange)
        for n, symbol in enumerate(entry.symbols):
            life = lives.get(symbol, SymbolLife())
            if life.delisted and life.delisted < start:
                said = f"{symbol} was delisted on {life.delisted}, before the start, {start}"
                hint = life.hint or "remove it, or start earlier"
                yield config.collect[at].problem(("symbols", n), said, hint)


def lives_are_of_symbols_that_are_collected(config: Draft, _now: Us) -> Iterator[Problem]:
    """Say which lives are told of a symbol that nobody collects, but one that is written much like it is."""
    for name in config.exchanges:
        lives = _lives(config, name)
        collected = {
            str(symbol): part
            for part in config.collect
            if part.sound("exchange") and part.typed.exchange == name
            for _, symbol in part.items("symbols", part.typed.symbols)
        }
        for symbol in lives:
            near = get_close_matches(str(symbol), collected, 1, 0.75)
            if str(symbol) not in collected and near and near[0] not in map(str, lives):
                said = f"exchanges.{name}.symbols.{symbol} is of no entry"
                yield collected[near[0]].problem(("symbols",), said, f"did you mean {near[0]}?")


def _lives(config: Draft, exchange: str) -> Mapping[Symbol, SymbolLife]:
    own = config.exchanges.get(exchange)
    return own.typed.symbols if own and own.sound("symbols") else {}


def _is_plain(entry: StreamEntry) -> bool:
    """Tell whether an entry names each of its datasets, and names each data type once."""
    spanned = any(one.table.takes_span for one in entry.data_types)
    return (entry.span is not None or not spanned) and len(set(entry.data_types)) == len(entry.data_types)


def _is_named(part: Part[TypedEntry]) -> bool:
    """Tell whether it is known what an entry is called."""
    return part.sound("name") and (bool(part.typed.name) or part.sound("exchange", "data_type", "span"))


def _datasets(part: Part[TypedEntry]) -> list[tuple[int, Dataset]]:
    """Return the datasets of an entry that are known, with the places of their symbols."""
    entry = part.typed
    if (
        not part.sound("exchange", "data_type", "span")
        or (entry.span is None) == entry.data_type.table.takes_span
    ):
        return []
    return part.items("symbols", entry.datasets)


def _same_names(names: Mapping[Place, str]) -> Iterator[Problem]:
    first: dict[str, Place] = {}
    for place, name in names.items():
        if (known := first.setdefault(name, place)) != place:
            said = f"{name} is already the name of {said_place(known)}"
            hint = f"give one of the two a name of its own, like {name}_{int(place[1]) + 1}"
            yield Problem((*place, "name"), said, hint)


RULES: Final[tuple[Rule, ...]] = (
    *COLLECT_RULES,
    *STREAM_RULES,
    symbols_live_forwards,
    accepted_gaps_end_after_they_start,
    datasets_are_collected_once,
    entries_have_names_of_their_own,
    datasets_are_recorded_once,
    streams_have_names_of_their_own,
    remotes_have_names_of_their_own,
    remotes_are_apart,
    derived_bars_have_their_source,
    closed_exchanges_are_answered_for,
    symbols_lived_at_the_start,
    lives_are_of_symbols_that_are_collected,
)


def problems_of(config: Draft, now: Us, rules: Iterable[Rule] = RULES) -> list[Problem]:
    """Return all that these rules find."""
    return [problem for rule in rules for problem in rule(config, now)]
