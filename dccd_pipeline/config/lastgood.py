"""The last good configuration goes on while ``dccd.yaml`` is broken, empty, gone, or lacks a variable.

After each load that succeeds its text is kept in ``$DAGSTER_HOME/dccd``, one file for each path; variables
stay unexpanded, and relative paths are still meant from the folder of the original.

Belongs here: which configuration counts. Does not: reading one (read.py), or who may go on with an old one:
code locations, runs, and commands that only look (main.py).
"""

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from dccd_core.domain.errors import ConfigError
from dccd_pipeline.config.read import config_file, load_settings, parse_settings, read_config
from dccd_pipeline.config.settings import Origin, Settings

_FOLDER = Path("dccd") / "configurations"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings that count. ``mistake``: why they are not those of the file now; empty when they are."""

    settings: Settings
    mistake: str = ""


def dagster_home() -> Path:
    """Return the folder of the Dagster instance, whether it is there or not.

    ``$DAGSTER_HOME``, else ``.dagster`` beside the configuration, else in this folder.
    """
    named = os.environ.get("DAGSTER_HOME")
    return Path(named).expanduser().absolute() if named else config_file().absolute().parent / ".dagster"


def load_lasting(home: Path | None = None) -> Loaded:
    """Load the configuration, and keep it; or, where it cannot be used, return the last one that could.

    Raises:
        SettingsError: it cannot be used, and there is no other.
    """
    file, home = config_file(), home or dagster_home()
    kept = _kept(file, home)
    try:
        settings, mistake = load_settings(), _vanished(file, kept)
    except ConfigError as e:
        if not os.path.exists(kept):  # noqa: PTH110 -- no error where nobody may look
            raise
        settings, mistake = None, str(e)
    if settings is None or mistake:
        origin = Origin(str(file), file.absolute().parent)
        return Loaded(parse_settings(read_config(kept), origin), mistake)
    if file.exists():
        _keep(kept, read_config(file))
    return Loaded(settings)


def _kept(file: Path, home: Path) -> Path:
    name = hashlib.sha256(str(file.absolute()).encode()).hexdigest()[:16]
    return home / _FOLDER / f"{name}.yaml"


def _vanished(file: Path, kept: Path) -> str:
    """Say what happened to a file that held something once, and holds nothing now."""
    if not os.path.exists(kept):  # noqa: PTH110 -- likewise
        return ""
    if not file.exists():
        return f"{file}: is gone"
    lines = (line.partition("#")[0].strip() for line in read_config(file).splitlines())
    return "" if any(lines) else f"{file}: is empty"


def _keep(kept: Path, text: str) -> None:
    """Replace what is kept, whole or not at all.

    A home that is not there yet keeps nothing, nor does one where this user may not write: he looks only.
    """
    with suppress(OSError, ConfigError):
        if not kept.parents[2].exists() or (kept.exists() and read_config(kept) == text):
            return
        kept.parent.mkdir(parents=True, exist_ok=True)
        draft = kept.with_name(f".{kept.name}.{uuid4().hex}")
        draft.touch(0o600)
        draft.write_text(text, "utf-8")
        draft.replace(kept)
