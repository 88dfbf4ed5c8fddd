"""The last good configuration goes on while ``dccd.yaml`` is broken, empty, gone, or lacks a variable.

After each load that succeeds its text is kept in ``$DAGSTER_HOME/dccd``, one file for each path; variables
stay unexpanded, and relative paths are still meant from the folder of the original.

Belongs here: which configuration counts. Does not: reading one (read.py), or who may go on with an old one:
code locations, runs, and commands that only look (main.py).
"""

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from dccd_core.api.configured import config_file
from dccd_core.domain.errors import ConfigError
from dccd_pipeline.config.kept import dagster_home, kept_file, kept_since
from dccd_pipeline.config.read import SettingsError, load_with_text, parse_settings, read_config
from dccd_pipeline.config.settings import Origin, Settings

_LOOKS_ONLY: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
"""Of who may not write into the home nothing is kept: he looks only, and the services' own user keeps it."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings that count. ``mistake``: why they are not those of the file now; empty when they are.

    ``unkept``: why they could not be kept, as of a full disk: after a mistake those of an earlier time would
    count. Empty when they were.
    """

    settings: Settings
    mistake: str = ""
    unkept: str = ""


def load_lasting(home: Path | None = None) -> Loaded:
    """Load the configuration, and keep it; or, where it cannot be used, return the last one that could.

    Raises:
        SettingsError: it cannot be used, and there is no other.
    """
    file, home = config_file(), home or dagster_home()
    kept = kept_file(file, home)
    try:
        settings, text = load_with_text(home=home)
        mistake = _vanished(file, kept, text)
    except ConfigError as e:
        if not os.path.exists(kept):  # noqa: PTH110 -- no error where nobody may look
            raise
        return Loaded(_last_good(file, kept, e), str(e))
    if mistake:
        return Loaded(_last_good(file, kept, SettingsError(mistake, source=str(file))), mistake)
    return Loaded(settings, unkept=_keep(kept, text) if text is not None else "")


def _last_good(file: Path, kept: Path, mistake: ConfigError) -> Settings:
    """Return the settings that were kept.

    Raises:
        ConfigError: they cannot be used either, as of an earlier version; it is the mistake that is raised.
    """
    try:
        text = read_config(kept)
        origin = Origin(str(file), file.absolute().parent)
        return parse_settings(text, origin, judged=kept_since(kept, text))
    except ConfigError:
        raise mistake from None


def _vanished(file: Path, kept: Path, text: str | None) -> str:
    """Say what happened to a file that held something once, and holds nothing now."""
    if not os.path.exists(kept):  # noqa: PTH110 -- likewise
        return ""
    if text is None:
        return f"{file}: is gone"
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return "" if any(lines) else f"{file}: is empty"


def _keep(kept: Path, text: str) -> str:
    """Replace what is kept, whole or not at all; say why it cannot be. No home: nothing is kept."""
    draft = kept.with_name(f".{kept.name}.{uuid4().hex}")
    try:
        if not kept.parents[2].exists() or kept_since(kept, text) is not None:
            return ""
        kept.parent.mkdir(parents=True, exist_ok=True)
        draft.touch(0o600)
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(kept)
    except OSError as e:
        with suppress(OSError):
            draft.unlink()
        if e.errno in _LOOKS_ONLY:
            return ""
        return (
            f"the configuration cannot be kept in {kept.parent}: {e.strerror}; after a mistake in it, "
            "an earlier one would count, or none -> free space there"
        )
    return ""
