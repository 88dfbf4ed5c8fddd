"""Which Dagster instance the ``dccd`` command uses: ``DAGSTER_HOME``, else ``.dagster`` in this folder."""

import os
from pathlib import Path

import dagster as dg


def open_instance() -> dg.DagsterInstance:
    """Open the instance; the folder beside the project is made when it is not there."""
    if "DAGSTER_HOME" not in os.environ:
        home = Path.cwd() / ".dagster"
        home.mkdir(exist_ok=True)
        shared, own = Path.cwd() / "dagster.yaml", home / "dagster.yaml"
        if not own.exists() and shared.exists():
            own.symlink_to(os.path.relpath(shared, home))
        elif not own.exists():
            own.write_text("telemetry: {enabled: false}\n")
        os.environ["DAGSTER_HOME"] = str(home)
    return dg.DagsterInstance.get()
