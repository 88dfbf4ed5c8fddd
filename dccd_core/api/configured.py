"""Where the configuration is, and what of it ``Lake()`` goes by: the store, other servers, accepted gaps.

All else in it is no business of the core, and neither is whether the rest is right.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import yaml

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.sizes import read_size
from dccd_core.domain.timespan import TimeRange, parse_time
from dccd_core.lake.partition.ledger import Accepted
from dccd_core.lake.store.s3 import S3Keys

if TYPE_CHECKING:
    from dccd_core.keep.remotes.remote import Place

DEFAULT_STORE: Final = "./data"
_NAME: Final = "dccd.yaml"

VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A variable of the environment, as a configuration names it."""
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/[^?]*)?(\?one_writer=true)?")
_LOADER: Final = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_CHECK: Final = "see dccd config check"


def config_file() -> Path:
    """Return where the configuration is, or would be.

    ``$DCCD_CONFIG``, else ``./dccd.yaml``, else ``$XDG_CONFIG_HOME/dccd/dccd.yaml`` where only that is there.
    """
    if named := os.environ.get("DCCD_CONFIG"):
        return Path(named)
    own = _user_folder() / "dccd" / _NAME
    return own if own.exists() and not Path(_NAME).exists() else Path(_NAME)


def _user_folder() -> Path:
    """Return where a user's own configurations are; a relative one does not count, so says the standard."""
    named = Path(os.environ.get("XDG_CONFIG_HOME") or "")
    return named if named.is_absolute() else Path(os.path.expanduser("~/.config"))  # noqa: PTH111 -- never fails


@dataclass(frozen=True, slots=True)
class Reach:
    """Other servers than the exchange's own: scheme, host and prefix of their addresses."""

    rest_url: str | None = None
    ws_url: str | None = None


@dataclass(frozen=True, slots=True)
class Configured:
    """What the core takes from a configuration. ``raw``: the text of all of it; ``folder``: where it lies."""

    store: str
    raw: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)  # it may hold a secret
    folder: Path = Path()

    def reach(self, exchange: str) -> Reach:
        """Return the servers to ask in an exchange's stead.

        Raises:
            ConfigError: they are none, or a variable of the environment is not set.
        """
        own = _mapping(
            _mapping(self.raw.get("exchanges"), "exchanges").get(exchange), f"exchanges.{exchange}"
        )
        rest_url, ws_url = (_text(own, key, f"exchanges.{exchange}.{key}") for key in ("rest_url", "ws_url"))
        return Reach(rest_url, ws_url)

    def remotes(self) -> "list[Place]":
        """Return where copies of the store are.

        Raises:
            ConfigError: one is no such place.
        """
        from dccd_core.keep.remotes.remote import Place, kind_of  # noqa: PLC0415 -- who only reads needs none

        found = list[Place]()
        for at, one in enumerate(_listed(self.raw.get("remotes"))):
            place = f"remotes[{at}]"
            remote = _mapping(one, place)
            name, to = (_needed(remote, key, place) for key in ("name", "to"))
            is_folder = kind_of(to).module == "folder"
            found.append(Place(name, store_at(to, self.folder) if is_folder else to))
        return found

    def keep_free(self) -> int:
        """Return how many bytes are to stay free where the store is.

        Raises:
            ConfigError: it is no size.
        """
        purge = _mapping(self.raw.get("purge"), "purge")
        return read_size(_text(purge, "keep_free", "purge.keep_free") or 0)

    def s3(self) -> S3Keys:
        """Return how to reach buckets.

        Raises:
            ConfigError: it is no such thing, or a variable of the environment is not set.
        """
        return s3_keys(_mapping(self.raw.get("s3"), "s3"))

    def accepted(self) -> dict[str, list[Accepted]]:
        """Return the known irregularities by the name of their dataset.

        Raises:
            ConfigError: one is no such thing.
        """
        found: dict[str, list[Accepted]] = {}
        for at, one in enumerate(_listed(self.raw.get("accepted"))):
            place = f"accepted[{at}]"
            gap = _mapping(one, place)
            dataset, start, end, why = (
                _needed(gap, key, place) for key in ("dataset", "start", "end", "why")
            )
            span = TimeRange(parse_time(start), parse_time(end))
            found.setdefault(str(Dataset.parse(dataset)), []).append(Accepted(span, why))
        return found


def s3_keys(raw: Mapping[str, object]) -> S3Keys:
    """Return how to reach buckets, as ``s3:`` of a configuration says it.

    Raises:
        ConfigError: a key is unknown, or its value is no such thing.
    """
    if unknown := sorted(raw.keys() - {"region", "endpoint_url", "profile", "retries"}):
        hint = "known here: region, endpoint_url, profile, retries"
        raise ConfigError(f"s3.{unknown[0]}: unknown key", hint=hint)
    typed = {key: None if value is None else str(value) for key, value in raw.items()}
    region, endpoint_url, profile = (
        _text(typed, key, f"s3.{key}") for key in ("region", "endpoint_url", "profile")
    )
    retries = _text(typed, "retries", "s3.retries")
    if retries is not None and not retries.isdecimal():
        raise ConfigError("s3.retries: should be a whole number", hint=_CHECK)
    return S3Keys(region, endpoint_url, profile, None if retries is None else int(retries))


def configured() -> Configured:
    """Read the configuration as far as the core goes by it; where there is none, the store is ``./data``.

    Raises:
        ConfigError: the file cannot be read, or what it names is no store.
    """
    file = config_file()
    if not file.exists() and not os.environ.get("DCCD_CONFIG"):
        return Configured(store_at(DEFAULT_STORE, Path.cwd()))
    try:
        typed: object = yaml.load(file.read_text("utf-8-sig"), _LOADER)  # noqa: S506 -- it makes texts only
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        said = " ".join(str(e).split())
        raise ConfigError(f"{file} cannot be read: {said}", hint=_CHECK) from e
    raw = _mapping(typed, "the file")
    store = _text(raw, "store", "store")
    folder = file.absolute().parent
    return Configured(store_at(DEFAULT_STORE if store is None else store, folder), raw, folder)


def store_at(store: str, folder: Path) -> str:
    """Return the address of a store as it is written in a configuration that lies in ``folder``.

    Raises:
        ConfigError: it is none.
    """
    if _BUCKET.fullmatch(store):
        return store.rstrip("/")
    if not store or _SCHEME.match(store):
        hint = "write a folder like ./data, or s3://bucket/prefix"
        raise ConfigError(f"{store!r} is no place for the data", hint=hint)
    try:
        return str(folder / Path(store).expanduser())
    except RuntimeError:
        raise ConfigError(f"{store!r}: no such home folder", hint="write the path out") from None


def with_variables(text: str) -> str:
    """Put the values of variables of the environment in the place of ``${NAME}``.

    Raises:
        ConfigError: one of them is not set.
    """

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            raise ConfigError(f"the environment variable {match[1]} is not set")
        return found

    return VARIABLE.sub(value, text)


def _listed(raw: object) -> list[object]:
    return [] if not raw else list(cast("list[object]", raw)) if isinstance(raw, list | tuple) else [raw]


def _mapping(raw: object, place: str) -> dict[str, object]:
    if raw is None or raw == "":
        return {}
    if not isinstance(raw, dict):
        raise ConfigError(f"{place}: should be keys with values", hint=_CHECK)
    return cast("dict[str, object]", raw)


def _text(raw: Mapping[str, object], key: str, place: str) -> str | None:
    """Return a text as it is meant, None where there is none."""
    typed = raw.get(key)
    if typed is not None and not isinstance(typed, str):
        raise ConfigError(f"{place}: should be text", hint=_CHECK)
    return None if typed is None else with_variables(typed)


def _needed(raw: Mapping[str, object], key: str, place: str) -> str:
    text = _text(raw, key, f"{place}.{key}")
    if not text:
        raise ConfigError(f"{place}.{key}: missing", hint=_CHECK)
    return text
