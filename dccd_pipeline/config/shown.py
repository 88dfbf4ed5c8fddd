"""The effective configuration for people, without secrets.

A value in which a variable of the environment stands is shown as it was typed, with the variable's name; what
a model marks with ``repr=False`` is not shown at all, nor is a password in an address.

Belongs here: from settings to builtins. Does not: printing.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from enum import Enum
from typing import Any, Final, cast

from pydantic import BaseModel

from dccd_core.domain.barspan import format_bar_span
from dccd_core.domain.timespan import MILLISECOND, SECOND, Us
from dccd_pipeline.config.settings import Settings

HIDDEN: Final = "***"
_LENGTHS: Final = ("span", "every", "fold_every", "snapshot_every", "silent_after")
_PASSWORD: Final = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def shown(settings: Settings, typed: object = None) -> dict[str, Any]:
    """Return the settings as YAML can write them; ``typed``: the text of the file, by key, as typed there."""
    return cast("dict[str, Any]", _as_typed(_plain(settings), typed))


def _plain(value: object, key: str = "") -> object:
    """Return builtins; ``key``: the one that the value stands at."""
    if isinstance(value, BaseModel):
        return {
            name: _plain(getattr(value, name), name) if of.repr or not getattr(value, name) else HIDDEN
            for name, of in type(value).model_fields.items()
            if getattr(value, name) not in (None, "")
        }
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(one, key) for one in cast("Sequence[object]", value)]
    return _one(value, key)


def _one(value: object, key: str) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bool | float) or (isinstance(value, int) and key not in _LENGTHS):
        return value
    if isinstance(value, int):
        return _length(Us(value))
    return str(value) if isinstance(value, date) else _PASSWORD.sub(HIDDEN, str(value))


def _length(value: Us) -> str | int:
    """Write a length of time as it is read.

    >>> _length(Us(100_000)), _length(Us(86_400 * SECOND)), _length(Us(0))
    ('100ms', '1d', 0)
    """
    if value % SECOND:
        return f"{value // MILLISECOND}ms"
    return format_bar_span(value) if value else 0


def _as_typed(value: object, typed: object) -> object:
    """Put in what was typed wherever a variable of the environment stands in it."""
    if isinstance(typed, str) and "${" in typed:
        return typed
    if isinstance(value, dict) and isinstance(typed, Mapping):
        by_key = cast("Mapping[str, object]", typed)
        return {key: _as_typed(one, by_key.get(key)) for key, one in cast("dict[str, object]", value).items()}
    if isinstance(value, list) and isinstance(typed, Sequence) and not isinstance(typed, str):
        items = cast("Sequence[object]", typed)
        pairs = enumerate(cast("list[object]", value))
        return [_as_typed(one, items[at] if at < len(items) else None) for at, one in pairs]
    return cast("object", value)
