"""Where the text of the last good configuration is kept, and since when it counts.

Belongs here: the places. Does not: which configuration counts (lastgood.py), or reading one (read.py).
"""

import hashlib
import os
from pathlib import Path

from dccd_core.api.configured import config_file
from dccd_core.domain.timespan import Us

_FOLDER = Path("dccd") / "configurations"


def dagster_home() -> Path:
    """Return the folder of the Dagster instance, whether it is there or not.

    ``$DAGSTER_HOME``, else ``.dagster`` beside the configuration, else in this folder.
    """
    named = os.environ.get("DAGSTER_HOME")
    return Path(named).expanduser().absolute() if named else config_file().absolute().parent / ".dagster"


def kept_file(file: Path, home: Path) -> Path:
    """Return where the text of a configuration is kept."""
    name = hashlib.sha256(str(file.absolute()).encode()).hexdigest()[:16]
    return home / _FOLDER / f"{name}.yaml"


def kept_since(kept: Path, text: str) -> Us | None:
    """Return since when this very text is kept; None when it is not."""
    try:
        same = kept.read_text("utf-8-sig") == text
        return Us(int(kept.stat().st_mtime_ns // 1_000)) if same else None
    except (OSError, UnicodeDecodeError):
        return None
