"""The folder of the Dagster instance, and which ``dagster.yaml`` counts in it. No Dagster is imported.

Belongs here: finding and furnishing the folder. Does not: opening the instance (instance.py).
"""

import os
from pathlib import Path
from typing import Final
from uuid import uuid4

from filelock import FileLock

from dccd_pipeline.config.kept import dagster_home

OURS: Final = Path(__file__).parents[1] / "dagster.yaml"
"""The one that comes with dccd, and that the repository's own links to."""
LOCK: Final = "dccd.opening.lock"
PATIENCE_S: Final = 120
_NAME: Final = "dagster.yaml"
_FORMER: Final = "telemetry: {enabled: false}\n"
"""What earlier versions wrote."""


def home_for_all() -> Path:
    """Return the folder, made and furnished when it is not there; ``DAGSTER_HOME`` says it from now on."""
    named, home = os.environ.get("DAGSTER_HOME"), dagster_home()
    home.mkdir(parents=True, exist_ok=True)
    if not named:
        with FileLock(home / LOCK, timeout=PATIENCE_S):
            furnish(home, home.parent / _NAME)
    os.environ["DAGSTER_HOME"] = str(home)  # Dagster takes no relative one
    return home


def furnish(home: Path, beside: Path | None = None) -> None:
    """Link a ``dagster.yaml`` into ``home``: ``beside`` where it is there, else ours.

    One that somebody put there himself stays. A link goes on with the next version of dccd; ours may also
    lead to where dccd is not any more.
    """
    own = home / _NAME
    target = os.path.relpath(beside, home) if beside and beside.exists() else str(OURS)
    if own.is_symlink():
        if os.readlink(own) == target or not _is_ours(own):  # noqa: PTH115 -- as it is written
            return
    elif own.exists() and own.read_text() != _FORMER:
        return
    draft = home / f".{_NAME}.{uuid4().hex}"
    draft.symlink_to(target)
    draft.replace(own)


def _is_ours(link: Path) -> bool:
    """Tell whether a link leads to what comes with some dccd, or nowhere."""
    return not link.exists() or link.resolve().parts[-2:] == OURS.parts[-2:]
