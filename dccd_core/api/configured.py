"""Where the configuration is, and which store it names; all else in it is no business of the core."""

import os
import re
from pathlib import Path
from typing import Final

import yaml

from dccd_core.domain.errors import ConfigError

DEFAULT_STORE: Final = "./data"

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/[^?]*)?(\?one_writer=true)?")
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def config_file() -> Path:
    """Return where the configuration is, or would be: ``$DCCD_CONFIG``, else ``./dccd.yaml``."""
    return Path(os.environ.get("DCCD_CONFIG") or "dccd.yaml")


def configured_store() -> str:
    """Return the store of the configuration; where there is none, ``./data``.

    Raises:
        ConfigError: the file cannot be read, or what it names is no store.
    """
    file = config_file()
    if not file.exists() and not os.environ.get("DCCD_CONFIG"):
        return store_at(DEFAULT_STORE, Path.cwd())
    try:
        named = _store_in(file.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        said = " ".join(str(e).split())
        raise ConfigError(f"{file} cannot be read: {said}", hint="see dccd config check") from e
    return store_at(named, file.absolute().parent)


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

    return _VARIABLE.sub(value, text)


def _store_in(text: str) -> str:
    """Return what stands under ``store``; what else there is may be wrong, or not be known here."""
    root = yaml.compose(text, _LOADER)
    pairs: list[tuple[yaml.Node, yaml.Node]] = root.value if isinstance(root, yaml.MappingNode) else []
    named = [str(value.value) for key, value in pairs if key.value == "store"]
    return with_variables(named[-1]) if named else DEFAULT_STORE
