"""``dccd stream pause`` and ``resume``: one stream, one symbol or one topic of it, off and on.

Belongs here: what is meant, what is paused afterwards, and what is said. Does not: how it gets to the run
(orders.py).
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

import dagster as dg

from dccd_core.domain.errors import ConfigError
from dccd_pipeline.config.fields import read_symbol
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.config.stream import StreamEntry
from dccd_pipeline.streams.orders import Part, read_paused, write_paused
from dccd_pipeline.streams.sensor import latest_run
from dccd_pipeline.tags import STOPPED

RESUMED: Final = "a user resumed it"


def meant(
    settings: Settings, name: str, symbol: str | None, data_type: str | None
) -> tuple[StreamEntry, Part]:
    """Return which part of which stream is meant.

    Raises:
        ConfigError: there is no such stream, symbol or data type; the hint is the nearest one.
    """
    entries = {entry.name: entry for entry in settings.stream}
    if not entries:
        raise ConfigError("no stream is configured", hint=f"add one under stream: in {settings.source}")
    entry = entries[_known("stream", name, list(entries))]
    part = Part()
    if symbol:
        known = [str(one) for one in entry.symbols]
        symbol = _known(f"symbol of {name}", str(read_symbol(symbol)), known)
        part = Part(symbol)
    if symbol and data_type:
        part = Part(symbol, _known(f"data type of {name}", data_type.lower(), list(entry.data_types)))
    return entry, part


def _known(what: str, wanted: str, known: Sequence[str]) -> str:
    if wanted in known:
        return wanted
    near = get_close_matches(wanted, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"configured: {', '.join(known)}"
    raise ConfigError(f"there is no {what} called {wanted}", hint=hint)


def pause(instance: dg.DagsterInstance, entry: StreamEntry, part: Part) -> str:
    """Pause a part of a stream, until it is taken back; return what came of it."""
    before = read_paused(instance, [entry.name]).get(entry.name, frozenset())
    if any(part.within(other) for other in before):
        return f"{entry.name}: {part} was paused already"
    write_paused(instance, entry.name, with_part(before, part))
    again = " ".join(word for word in (entry.name, part.symbol, part.data_type) if word)
    return f"{entry.name}: {part} is paused, until dccd stream resume {again}"


def resume(instance: dg.DagsterInstance, entry: StreamEntry, part: Part) -> str:
    """Take a pause back; return what came of it."""
    before = read_paused(instance, [entry.name]).get(entry.name, frozenset())
    after = without_part(before, part, entry)
    if after == before:
        return f"{entry.name}: {part} was not paused"
    write_paused(instance, entry.name, after)
    left = f"; still paused: {', '.join(map(str, sorted(after)))}" if after else ""
    return f"{entry.name}: {part} goes on{left}"


def go_on(instance: dg.DagsterInstance, entry: StreamEntry, part: Part) -> list[str]:
    """Take back what keeps a part of a stream from being recorded: a pause, and of all of it a stop, too."""
    revived = revive(instance, entry) if part == Part() else ""
    paused = entry.name in read_paused(instance, [entry.name])
    said = [resume(instance, entry, part)] if paused or not revived else []
    return [*([revived] if revived else []), *said]


def revive(instance: dg.DagsterInstance, entry: StreamEntry) -> str:
    """Have the supervisor start a stream again that a user stopped; return what came of it, empty if none."""
    last = latest_run(instance, entry.name)
    if last is None or last.status is not dg.DagsterRunStatus.CANCELED or last.stopped_by_us:
        return ""
    instance.add_run_tags(last.id, {STOPPED: f"{last.id} {RESUMED}"})
    return f"{entry.name}: was stopped by a user (run {last.id}) and goes on: the daemon starts it"


def with_part(parts: Iterable[Part], part: Part) -> frozenset[Part]:
    """Return these parts and one more, which takes the place of those within it."""
    return frozenset({*(one for one in parts if not one.within(part)), part})


def without_part(parts: Iterable[Part], part: Part, entry: StreamEntry) -> frozenset[Part]:
    """Return these parts without one; of what is wider the rest stays, dataset by dataset."""
    left = set[Part]()
    for one in parts:
        own = [dataset for dataset in entry.datasets if one.has(dataset)]
        if one.within(part):
            continue
        if not any(map(part.has, own)):
            left.add(one)
        else:
            left |= {Part(str(one.symbol), one.data_type) for one in own if not part.has(one)}
    return frozenset(left)
