"""From a YAML file to ``Settings``, or to one clear line for each mistake in it."""

import os
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dccd_core.api.configured import VARIABLE, config_file, with_variables
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import Us
from dccd_pipeline.config.accepted import AcceptedGap
from dccd_pipeline.config.alerts import Alerts
from dccd_pipeline.config.capabilities import present
from dccd_pipeline.config.collect import Entry, TypedEntry
from dccd_pipeline.config.collect_rules import COLLECT_RULES
from dccd_pipeline.config.draft import Draft, Part, Place, Problem, sound_part, whole_draft
from dccd_pipeline.config.fields import SymbolLife
from dccd_pipeline.config.kept import dagster_home, kept_file, kept_since
from dccd_pipeline.config.purge import Purge
from dccd_pipeline.config.reconcile import Reconcile
from dccd_pipeline.config.remotes import RemoteEntry
from dccd_pipeline.config.rules import problems_of
from dccd_pipeline.config.runs import KeepRuns
from dccd_pipeline.config.s3 import S3Settings
from dccd_pipeline.config.settings import ExchangeSettings, Origin, Settings, TypedSettings
from dccd_pipeline.config.stream import StreamEntry
from dccd_pipeline.config.words import meant

EMBEDDED: Final = "embedded defaults"
"""The ``source`` of settings that no file gave."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DATE: Final = "tag:yaml.org,2002:timestamp"
_TEXT: Final = "tag:yaml.org,2002:str"

_SECTIONS: Final[dict[str | int, type[BaseModel]]] = {
    "collect": TypedEntry,
    "stream": StreamEntry,
    "exchanges": ExchangeSettings,
    "alerts": Alerts,
    "accepted": AcceptedGap,
    "remotes": RemoteEntry,
    "purge": Purge,
    "keep_runs": KeepRuns,
    "reconcile": Reconcile,
    "s3": S3Settings,
}
_LATER: Final[dict[type[BaseModel], tuple[str, ...]]] = {
    TypedSettings: ("archive",),
    ExchangeSettings: ("archive_url",),
}
_LIFE: Final = len(("exchanges", "name", "symbols", "symbol"))
_SAID: Final = {
    "missing": "missing",
    "too_short": "has nothing in it",
    "invalid_key": "is no key: keys are text",
    "string_type": "should be text",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "tuple_type": "should be a list",
    "dict_type": "should be keys with values",
    "model_type": "should be keys with values",
}


class SettingsError(ConfigError):
    """All that is wrong with a configuration: ``str()`` is one line for each mistake."""

    def __init__(self, message: str, *, source: str = "") -> None:
        super().__init__(message)
        self.source = source

    def __str__(self) -> str:
        return "\n".join(self.lines)

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(str(self.args[0]).splitlines())


def load_settings(path: Path | None = None) -> Settings:
    """Read ``path``, else ``$DCCD_CONFIG``, else ``./dccd.yaml``, else the defaults that come with dccd.

    Raises:
        SettingsError: the file cannot be read, is no YAML, or asks for something impossible.
    """
    return load_with_text(path)[0]


def load_with_text(path: Path | None = None, home: Path | None = None) -> tuple[Settings, str | None]:
    """Return besides what ``load_settings`` does the text that says so; None of the defaults.

    What was accepted once is judged by the time it was accepted at, as ``home`` remembers it, else the home
    of Dagster: no day that passes makes a mistake of it.

    Raises:
        SettingsError: as ``load_settings``.
    """
    file = path or config_file()
    if path or os.environ.get("DCCD_CONFIG") or file.exists():
        text = read_config(file)
        since = kept_since(kept_file(file, home or dagster_home()), text)
        return parse_settings(text, Origin(str(file), file.absolute().parent), judged=since), text
    return embedded_settings(), None


def embedded_settings() -> Settings:
    """Return the defaults that come with dccd; their store is in the current folder."""
    text = files("dccd_pipeline").joinpath("default.yaml").read_text("utf-8")
    return parse_settings(text, Origin(EMBEDDED, Path.cwd()))


def parse_settings(text: str, origin: Origin, now: Us | None = None, judged: Us | None = None) -> Settings:
    """Read YAML text; ``origin`` is where it came from, ``now`` the time it is; ``judged``: see settings_of.

    Raises:
        SettingsError: it is no YAML, or asks for something impossible.
    """
    try:
        return settings_of(_construct(text), origin, now, judged)
    except yaml.YAMLError as e:
        raise SettingsError(_syntax(e, text), source=origin.source) from e
    except SettingsError:
        raise
    except ValueError as e:  # a number that YAML knows by its looks and Python cannot read
        raise SettingsError(f"the file: {e}", source=origin.source) from e


def settings_of(
    raw: object,
    origin: Origin = Origin(),  # noqa: B008 -- frozen
    now: Us | None = None,
    judged: Us | None = None,
) -> Settings:
    """Return the settings that builtins, as YAML gives them, mean.

    ``judged``: the time at which they must not ask for anything impossible, at most ``now``, as without it.

    Raises:
        SettingsError: they ask for something impossible; it says all that is wrong with them.
    """
    now = present() if now is None else now
    judged = now if judged is None else min(judged, now)
    try:
        typed = TypedSettings.model_validate(raw)
    except ValidationError as e:
        mistakes = e.errors(include_url=False)
        found = [*_problems(mistakes), *problems_of(sound_part(raw, _unsound(mistakes)), judged)]
    else:
        if not (found := problems_of(whole_draft(typed), judged)):
            return Settings.of(typed, origin, now)
    lines = map(str, sorted(found, key=lambda problem: _rank(problem.where)))
    raise SettingsError("\n".join(lines), source=origin.source)


def entry_of(raw: Mapping[str, object], now: Us) -> Entry:
    """Return the entry that nobody has configured, but that could be.

    Raises:
        ConfigError: its exchange does not serve it, or it cannot be read.
    """
    try:
        typed = TypedEntry.model_validate(raw)
    except ValidationError as e:
        first, *_ = _problems(e.errors(include_url=False))
        raise ConfigError(first.said, hint=first.hint) from e
    for problem in problems_of(Draft({}, [Part((), typed)]), now, COLLECT_RULES):
        raise ConfigError(problem.said, hint=problem.hint)
    return Entry.of(typed, {}, now)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of ``dccd.yaml``, for editors that complete and check while one types."""
    return TypedSettings.model_json_schema()


def typed_text(settings: Settings) -> object:
    """Return the text that settings are from, by key, variables of the environment as they were typed."""
    file = Path(settings.source)
    if settings.source in ("", EMBEDDED) or not file.exists():
        return None
    return yaml.load(read_config(file), yaml.BaseLoader)  # noqa: S506 -- it makes texts only


def read_config(file: Path) -> str:
    """Return the text of a configuration.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return file.read_text("utf-8-sig")
    except OSError as e:
        said = f"{file}: {e.strerror} -> see to that file, or name another one with -c"
        raise SettingsError(said, source=str(file)) from e
    except UnicodeDecodeError as e:
        said = f"{file}: is not UTF-8 at byte {e.start} -> save it as UTF-8"
        raise SettingsError(said, source=str(file)) from e


def _construct(text: str) -> object:
    loader = _LOADER(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return {}
        _prepare(node, set(), loader)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _prepare(node: yaml.Node, seen: set[int], loader: yaml.SafeLoader) -> None:
    """Refuse keys given twice, of which YAML would keep the last in silence; leave dates to the models.

    Variables of the environment are put in, as if they had been typed.
    """
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if str(key.value) in keys:
                said = f"key {key.value!r} is given twice"
                raise yaml.MarkedYAMLError(problem=said, problem_mark=key.start_mark)
            keys.add(str(key.value))
            _prepare(value, seen, loader)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _prepare(item, seen, loader)
    else:
        _expand(node, loader)
        node.tag = _TEXT if node.tag == _DATE else node.tag


def _expand(node: yaml.Node, loader: yaml.SafeLoader) -> None:
    """Put the value of a variable in the place of ``${NAME}``."""
    typed = str(node.value)
    if "${" not in typed:
        return
    try:
        node.value = with_variables(typed)
    except ConfigError as e:
        raise yaml.MarkedYAMLError(problem=str(e), problem_mark=node.start_mark) from e
    alone = VARIABLE.fullmatch(typed)  # between braces it stands in quotes, even for a number
    if alone or getattr(node, "style", None) is None:
        node.tag = loader.resolve(yaml.ScalarNode, node.value, (True, False))


def _syntax(error: yaml.YAMLError, text: str) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark or error.context_mark):
        line, column, said = mark.line, mark.column, error.problem or error.context
    else:  # a character that YAML does not allow: the reader counts from the start
        before = text[: getattr(error, "position", 0)]
        line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
        said = getattr(error, "reason", "cannot be read")
    alias = "alias" in f"{getattr(error, 'context', '')} {said}"
    hint = " -> put into quotes what begins with *" if alias else ""
    return f"line {line + 1}, column {column + 1}: {said}{hint}"


def _unsound(mistakes: list[ErrorDetails]) -> list[Place]:
    """Return where nothing can be gone by, keys included that an unknown one may have been meant to be."""
    return [mistake["loc"] for mistake in mistakes] + list(_misspelt(mistakes))


def _misspelt(mistakes: list[ErrorDetails]) -> set[Place]:
    """Return the keys that unknown ones may have been meant to be."""
    unknown = [mistake["loc"] for mistake in mistakes if mistake["type"] == "extra_forbidden"]
    return {(*loc[:-1], near) for loc in unknown for near in _near(loc)}


def _problems(mistakes: list[ErrorDetails]) -> Iterator[Problem]:
    misspelt = _misspelt(mistakes)
    for mistake in mistakes:
        absent = mistake["type"] == "missing" or mistake["input"] is None
        all_wrong = mistake["type"] == "too_short" and mistake["input"]
        if not all_wrong and not (absent and mistake["loc"] in misspelt):
            # else the lines of its items, or of the misspelt key, say it already
            yield Problem(mistake["loc"], _said(mistake))


def _rank(place: Place) -> list[int]:
    """Return by what problems are put in order: that of the sections, the entries, and their keys."""
    keys = [list(_model(place[: at + 1]).model_fields) for at in range(len(place))]
    return [part if isinstance(part, int) else _index(part, of) for part, of in zip(place, keys, strict=True)]


def _index(key: str, keys: list[str]) -> int:
    return keys.index(key) if key in keys else len(keys)


def _said(mistake: ErrorDetails) -> str:
    kind, loc = mistake["type"], mistake["loc"]
    if kind == "value_error":
        return str(mistake.get("ctx", {})["error"])
    if kind == "extra_forbidden":
        return _unknown(loc)
    said = _SAID.get(kind) or mistake["msg"].removeprefix("Input ")
    if kind not in ("missing", "too_short", "invalid_key"):
        said += f", not {repr(mistake['input'])[:60]}"
    return said + _example(loc)


def _unknown(loc: tuple[int | str, ...]) -> str:
    if loc[-1] in _LATER.get(_model(loc), ()):
        return "not in this version yet -> remove it"
    near = _near(loc)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(_model(loc).model_fields)}"
    return f"unknown key -> {hint}"


def _near(loc: tuple[int | str, ...]) -> list[str]:
    """Return the known key nearest to the one at ``loc``, if there is one like it."""
    near = meant(loc[-1], _model(loc).model_fields)
    return [near] if near else []


def _model(loc: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the model that the key at ``loc`` stands in."""
    if loc[0] == "exchanges" and len(loc) > _LIFE:
        return SymbolLife
    return _SECTIONS[loc[0]] if len(loc) > 1 else TypedSettings


def _example(loc: tuple[int | str, ...]) -> str:
    field = _model(loc).model_fields.get(str(loc[-1])) if loc else None
    if field is None or not field.examples:
        return ""
    example = str(field.examples[0]).replace("'", "")  # a list as YAML writes it
    return f" -> write {loc[-1]}: {example}"
