"""Where this machine keeps what no store holds."""

import os
from pathlib import Path


def state_dir() -> Path:
    """Return the folder of what all processes of a user share: ``$DCCD_STATE_DIR``, else by XDG."""
    if chosen := os.environ.get("DCCD_STATE_DIR"):
        return Path(chosen)
    xdg = os.environ.get("XDG_STATE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".local" / "state") / "dccd"
