"""What ``dccd.yaml`` takes, from the models that read it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from dccd_core.domain.barspan import format_bar_span
from dccd_core.domain.sizes import GIB
from dccd_core.domain.timespan import Us
from dccd_pipeline.config.read import json_schema
from docs.hooks.markdown import anchor, code, prose, table

Schema = Mapping[str, Any]

_HEAD: Final = """# dccd.yaml

Written by `make docs` from what reads the file. `dccd config check` says of every mistake in one line
what to write instead, `dccd config show` what is in force, `dccd config schema` prints a JSON schema for
editors. `${NAME}` is taken from the environment, anywhere in the file. Unknown keys are mistakes.

"""
_TOP: Final = "The file"
_EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "dccd.yaml"
_LONG: Final = 1_000_000
"""Numbers from here on are no counts: microseconds, or bytes."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the file: where it stands, what it is, and its keys in order."""

    where: str
    about: str
    keys: Mapping[str, Schema]
    needed: tuple[str, ...]


def keys_page() -> str:
    example = _EXAMPLE.read_text("utf-8")
    return _HEAD + "\n".join(map(_said, sections())) + f"\n## An example\n\n```yaml\n{example}```\n"


def sections() -> list[Section]:
    """Return the file and all parts of it, each after the one that it stands in."""
    schema = json_schema()
    return list(_sections("", schema, schema["$defs"]))


def _sections(where: str, of: Schema, models: Schema) -> Iterator[Section]:
    keys = cast("Mapping[str, Schema]", of["properties"])
    yield Section(where or _TOP, of.get("description", ""), keys, tuple(of.get("required", ())))
    for name, key in keys.items():
        if model := _model(key):
            below = f"{where}.{name}" if where else name
            yield from _sections(below + _inside(key), models[model], models)


def _model(key: Schema) -> str:
    """Return the model that the value of a key, or each in it, is; empty where it is none."""
    if "$ref" in key:
        return str(key["$ref"]).rpartition("/")[2]
    return next((model for one in _parts(key) if (model := _model(one))), "")


def _parts(key: Schema) -> Iterator[Schema]:
    yield from key.get("anyOf", ())
    yield from key.get("patternProperties", {}).values()
    yield from (one for name in ("items", "additionalProperties") if isinstance(one := key.get(name), dict))


def _inside(key: Schema) -> str:
    """Say how one stands in the value of a key: in a list, or by a name."""
    if key.get("type") == "array":
        return "[]"
    if key.get("type") == "object":
        return ".SYMBOL" if "patternProperties" in key else ".NAME"
    return ""


def _said(section: Section) -> str:
    rows = [
        (code(name), _takes(name, key, section), _without(name, key, section), prose(key.get("description")))
        for name, key in section.keys.items()
    ]
    title = section.where if section.where == _TOP else code(section.where)
    return f"## {title}\n\n{prose(section.about)}\n\n" + table(
        ("key", "like", "without it", "what it is"), rows
    )


def _takes(name: str, key: Schema, section: Section) -> str:
    """Show what one writes: examples, or where the keys of it stand."""
    if _model(key):
        below = name if section.where == _TOP else f"{section.where}.{name}"
        return f"see [{code(below + _inside(key))}](#{anchor(below + _inside(key))})"
    if choices := key.get("enum") or key.get("items", {}).get("enum"):
        return ", ".join(map(code, choices))
    return ", ".join(code(_typed(one)) for one in key.get("examples", ()))


def _without(name: str, key: Schema, section: Section) -> str:
    """Say what counts where a key is left out, unless what is said of it says so."""
    if name in section.needed:
        return "needed"
    if "Without it" in key.get("description", "") or "Else:" in key.get("description", ""):
        return ""
    value = key.get("default")
    return "" if value in (None, [], {}, "") else code(_typed(_shown(value)))


def _shown(value: object) -> object:
    """Write a default as it is typed: lengths of time and sizes are numbers in the schema."""
    if not isinstance(value, int) or value < _LONG:
        return value
    return f"{value // GIB}GiB" if value % GIB == 0 else format_bar_span(Us(value))


def _typed(value: object) -> object:
    """Write a value as YAML has it.

    >>> _typed(["BTC/USDT"]), _typed(True)
    ('[BTC/USDT]', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(str(_typed(one)) for one in cast('list[object]', value))}]"
    return value
