"""Which Dagster instance the ``dccd`` command uses: ``DAGSTER_HOME``, else ``.dagster`` by ``dccd.yaml``."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import dagster as dg
from filelock import FileLock

from dccd_core.domain.errors import ConfigError
from dccd_pipeline.cli.home import LOCK, PATIENCE_S, home_for_all
from dccd_pipeline.config.kept import dagster_home
from dccd_pipeline.dagster_compat import migration_heads

_DATABASES: Final = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


def open_instance(home: Path | None = None) -> dg.DagsterInstance:
    """Open the instance, or another in the folder ``home``; the folder is made when it is not there.

    One process after the other: two that make the databases at once leave them broken for good.

    Raises:
        ConfigError: two have done so already.
    """
    if home:
        home.mkdir(parents=True, exist_ok=True)
    place = home or home_for_all()
    with FileLock(place / LOCK, timeout=PATIENCE_S):
        try:
            return _own(home) if home else dg.DagsterInstance.get()
        except Exception as e:
            if broken := _broken(place):
                raise ConfigError(_said(*broken), hint=_mend(*broken)) from e
            raise


def existing_instance() -> dg.DagsterInstance:
    """Open the instance for somebody who only looks; where there is none, one that is forgotten again."""
    return open_instance() if dagster_home().exists() else dg.DagsterInstance.ephemeral()


def _own(home: Path) -> dg.DagsterInstance:
    """Open an instance that nobody else uses, with what Dagster takes for granted."""
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text("telemetry: {enabled: false}\n")
    return dg.DagsterInstance.from_config(str(home))


def _broken(home: Path) -> tuple[Path, dict[int, str]] | None:
    """Return a database that tells of several versions, and their rows: two processes made it together."""
    for file in (home / name for name in _DATABASES):
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            found = dict(database.execute("SELECT rowid, version_num FROM alembic_version").fetchall())
            if len(found) > 1:
                return file, found
    return None


def _said(file: Path, versions: Mapping[int, str]) -> str:
    return f"{file}: two programs made this database at once, now it tells of {len(versions)} versions"


def _mend(file: Path, versions: Mapping[int, str]) -> str:
    heads = migration_heads()
    kept = next((row for row, version in versions.items() if version in heads), min(versions))
    order = f"DELETE FROM alembic_version WHERE rowid <> {kept}"  # noqa: S608 -- shown, not run
    return f'end all programs that use it, then run: sqlite3 {file} "{order}"'


def main() -> None:
    """Open it before Dagster's own programs do, several at once."""
    from dccd_pipeline.cli.options import told  # noqa: PLC0415 -- who opens an instance has it already

    told(lambda: open_instance().dispose())()


if __name__ == "__main__":
    main()
