"""What is wrong with a configuration, and the configuration as far as it is sound, for rules to look at.

In the place of what is unsound stands an example of it, so that a rule has whole values before it; it asks
``sound`` first for the keys it goes by, and so no mistake hides another. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from dccd_core.api.configured import DEFAULT_STORE
from dccd_core.domain.errors import ConfigError
from dccd_pipeline.config.accepted import AcceptedGap
from dccd_pipeline.config.collect import TypedEntry
from dccd_pipeline.config.fields import Strict
from dccd_pipeline.config.remotes import RemoteEntry
from dccd_pipeline.config.settings import ExchangeSettings, TypedSettings
from dccd_pipeline.config.stream import StreamEntry

Place = tuple[int | str, ...]
"""A path into the file: ``("collect", 1, "symbols", 0)``."""
T = TypeVar("T")
M = TypeVar("M", bound=Strict)


def said_place(place: Place) -> str:
    """Write a place as people read it.

    >>> said_place(("collect", 1, "span")), said_place(())
    ('collect[1].span', 'the file')
    """
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place if part != "[key]")
    return "".join(parts).removeprefix(".") or "the file"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where in the file, what it is, and what to do about it."""

    where: Place
    said: str
    hint: str = ""

    def __str__(self) -> str:
        line = f"{said_place(self.where)}: {ConfigError(self.said, hint=self.hint)}"
        return " ".join(line.split())  # what was typed may hold a line break


@dataclass(frozen=True, slots=True)
class Part(Generic[M]):
    """One mapping of the file, at ``place``; ``unsound``: the paths in it of what cannot be gone by."""

    place: Place
    typed: M
    unsound: frozenset[Place] = frozenset()

    def sound(self, *keys: str) -> bool:
        """Tell whether all of ``keys`` can be gone by, with all that is in them."""
        return not any(path[0] in keys for path in self.unsound)

    def items(self, key: str, values: Sequence[T]) -> list[tuple[int, T]]:
        """Return the sound ones among the values of a list, with their places in it."""
        whole = (key,) not in self.unsound
        return [(n, value) for n, value in enumerate(values) if whole and (key, n) not in self.unsound]

    def problem(self, path: Place, said: str, hint: str) -> Problem:
        return Problem((*self.place, *path), said, hint)


@dataclass(frozen=True, slots=True)
class Draft:
    """A configuration as far as it is sound."""

    exchanges: Mapping[str, Part[ExchangeSettings]]
    collect: Sequence[Part[TypedEntry]]
    stream: Sequence[Part[StreamEntry]] = ()
    accepted: Sequence[Part[AcceptedGap]] = ()
    remotes: Sequence[Part[RemoteEntry]] = ()
    store: str = ""
    """Empty where nothing can be gone by."""


def whole_draft(typed: TypedSettings) -> Draft:
    """Return a draft of settings that are sound so far."""
    return Draft(
        {name: Part(("exchanges", name), own) for name, own in typed.exchanges.items()},
        [Part(("collect", at), entry) for at, entry in enumerate(typed.collect)],
        [Part(("stream", at), entry) for at, entry in enumerate(typed.stream)],
        [Part(("accepted", at), gap) for at, gap in enumerate(typed.accepted)],
        [Part(("remotes", at), entry) for at, entry in enumerate(typed.remotes)],
        typed.store,
    )


def sound_part(raw: object, unsound: Sequence[Place]) -> Draft:
    """Return what of ``raw``, which is wrong at these places, can be gone by."""
    file = _mapping(raw)
    exchanges = _parts("exchanges", _mapping(file.get("exchanges")).items(), ExchangeSettings, unsound)
    return Draft(
        {str(part.place[1]): part for part in exchanges},
        _parts("collect", _listed(file.get("collect")), TypedEntry, unsound),
        _parts("stream", _listed(file.get("stream")), StreamEntry, unsound),
        _parts("accepted", _listed(file.get("accepted")), AcceptedGap, unsound),
        _parts("remotes", _listed(file.get("remotes")), RemoteEntry, unsound),
        _store(file, unsound),
    )


def _store(file: Mapping[Any, object], unsound: Sequence[Place]) -> str:
    typed = file.get("store", DEFAULT_STORE)
    return typed if isinstance(typed, str) and ("store",) not in unsound else ""


def _mapping(raw: object) -> dict[Any, object]:
    return cast("dict[Any, object]", raw) if isinstance(raw, dict) else {}


def _listed(raw: object) -> Iterable[tuple[int, object]]:
    return enumerate(cast("list[object]", raw) if isinstance(raw, list) else ())


def _parts(
    section: str, raw: Iterable[tuple[int | str, object]], model: type[M], unsound: Sequence[Place]
) -> list[Part[M]]:
    found: list[Part[M]] = []
    for key, value in raw:
        place = (section, key)
        paths = frozenset(path[2:] for path in unsound if path[:2] == place)
        if isinstance(value, dict) and () not in paths and ("[key]",) not in paths:
            found.append(_part(place, _mapping(cast("object", value)), model, paths))
    return found


def _part(place: Place, raw: Mapping[Any, object], model: type[M], paths: frozenset[Place]) -> Part[M]:
    """Read a mapping with examples in the place of what is wrong with it or missing."""
    fields = model.model_fields
    lists = {path[0] for path in paths if len(path) == 2 and isinstance(path[1], int)}
    wrong = {path[0] for path in paths if path[0] not in lists or len(path) == 1}
    values = {key: value for key, value in raw.items() if key in fields and key not in wrong}
    for key in lists - wrong:
        typed, example = cast("list[object]", values[key]), _example(model, key)
        values[key] = [example[0] if (key, n) in paths else one for n, one in enumerate(typed)]
    lacking = {key for key, field in fields.items() if field.is_required() and key not in values}
    whole = model.model_validate({**{key: _example(model, key) for key in lacking}, **values})
    return Part(place, whole, paths | {(key,) for key in lacking})


def _example(model: type[Strict], key: object) -> Any:  # noqa: ANN401 -- as it would be typed
    return (model.model_fields[str(key)].examples or [None])[0]
