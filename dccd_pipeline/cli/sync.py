"""``dccd sync``: remotes brought up now, as their schedules do. An instance of Dagster is told of it.

Belongs here: options in, exit code out, what is printed. Does not: copying (dccd_core.keep).
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Drawn

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import ConfigError, LakeError
from dccd_core.keep.copies import Copies
from dccd_core.keep.remotes.remote import Outside, open_remote
from dccd_core.keep.sync import Follow, Options, Progress, Synced, said_of, sync
from dccd_core.keep.take import take as take_from
from dccd_core.net.clock import SystemClock
from dccd_pipeline.cli.options import STOPPED, told
from dccd_pipeline.config.kept import dagster_home
from dccd_pipeline.config.read import load_settings
from dccd_pipeline.config.remotes import RemoteEntry
from dccd_pipeline.config.settings import Settings

_SHOWN = 20


@click.command("sync")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--verify", is_flag=True, help="Read all that is there back, too.")
@click.option(
    "--replace", multiple=True, metavar="DATASET[/PARTITION]", help="What is right here, whatever is there."
)
@click.option(
    "--take",
    multiple=True,
    metavar="DATASET/PARTITION",
    help="What is right there: ours is united with it.",
)
@click.option("--anew", is_flag=True, help="Begin again where an earlier copy is gone; a new id.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@told
def sync_command(
    names: tuple[str, ...],
    verify: bool,
    replace: tuple[str, ...],
    take: tuple[str, ...],
    anew: bool,
    as_json: bool,
) -> None:
    """Copy what is new in the lake to remotes now, all of them or NAMES, and prove it there.

    What is there is never replaced by less. Exit code 0 only when all that is here is there.
    """
    settings = load_settings()
    entries, options = chosen(settings, names), Options(verify, frozenset(replace), anew)
    taken = [partition_of(one) for one in take]
    if taken and len(entries) > 1:
        raise ConfigError("--take is from one remote", hint="name it: dccd sync NAME --take ...")
    results = [_synced(settings, entry, options, taken, as_json=as_json) for entry in entries]
    if as_json:
        click.echo(json.dumps([said for _, said in results]))
    sys.exit(max(code for code, _ in results))


def chosen(settings: Settings, names: Sequence[str]) -> list[RemoteEntry]:
    """Return the remotes that are meant: these, or all that are switched on.

    Raises:
        ConfigError: there is no such remote, or none.
    """
    known = {entry.name: entry for entry in settings.remotes}
    if not known:
        hint = f"add one under remotes: in {settings.source}"
        raise ConfigError("there is no remote to copy to", hint=hint)
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"there is no remote {unknown[0]}", hint=f"configured: {', '.join(known)}")
    found = [known[name] for name in dict.fromkeys(names)] or [one for one in known.values() if one.enabled]
    if not found:
        raise ConfigError("every remote is switched off", hint=f"name those to sync: {', '.join(known)}")
    return found


def partition_of(name: str) -> tuple[Dataset, str]:
    """Return the partition that is called so.

    Raises:
        ConfigError: there is no such name.
    """
    dataset, _, key = name.rpartition("/")
    found = Dataset.parse(dataset)
    partition_span(found.grain, key)
    return found, key


def _synced(
    settings: Settings,
    entry: RemoteEntry,
    options: Options,
    taken: Sequence[tuple[Dataset, str]],
    *,
    as_json: bool,
) -> tuple[int, dict[str, object]]:
    """Sync one remote; return the exit code, and what came of it as builtins."""
    clock, lake = SystemClock(), settings.lake()
    begun = clock.steady()
    try:
        remote = open_remote(entry.place, Outside(settings.s3.keys.client))
        for dataset, key in taken:
            take_from(lake, remote, dataset, key)
        with _Bar(entry.name) as bar:
            synced = sync(lake, remote, clock.now(), options, Follow(bar.tell))
    except LakeError as e:
        if not as_json:
            click.echo(f"{entry.name}: {e}", err=True)
        return 1, {"remote": entry.name, "to": entry.to, "well": False, "error": str(e)}
    _tell_dagster(synced, Copies(lake.store, entry.name))
    if not as_json:
        _show(entry, synced, (clock.steady() - begun) / 1e6)
    code = STOPPED if synced.halted else int(not synced.well)
    sums = {"files": synced.files, "bytes": synced.bytes, "waiting": synced.waiting, "well": synced.well}
    return code, {**asdict(synced), **_plain(synced), **sums, "to": entry.to}


def _plain(synced: Synced) -> dict[str, object]:
    troubles = {"mended": synced.mended, "conflicts": synced.conflicts, "failed": synced.failed}
    return {name: [{"path": one.path, "why": one.why} for one in some] for name, some in troubles.items()}


def _show(entry: RemoteEntry, synced: Synced, seconds: float) -> None:
    done = {"copied": synced.copied, "mended": len(synced.mended), "found there": synced.proven}
    did = ", ".join(f"{count:,} {what}" for what, count in done.items() if count) or "nothing was new"
    click.echo(
        f"{entry.name}: {synced.files:,} files, {decimal(synced.bytes)} at {entry.to}; "
        f"{did}; {decimal(synced.sent)} sent in {seconds:,.1f} s"
    )
    for word, troubles in (
        ("mended", synced.mended),
        ("conflict", synced.conflicts),
        ("failed", synced.failed),
    ):
        for one in troubles[:_SHOWN]:
            click.echo(f"{word}: {said_of(one)}", err=word != "mended")
        if len(troubles) > _SHOWN:
            click.echo(f"{word}: {len(troubles) - _SHOWN} more", err=word != "mended")
    if synced.waiting:
        click.echo(f"{synced.waiting:,} files wait for the next sync", err=True)
    if synced.conflicts:
        click.echo(
            "what is there is kept -> where that is right, "
            f"`dccd sync {entry.name} --take DATASET/PARTITION` unites ours with it; "
            f"where ours is right, `dccd sync {entry.name} --replace DATASET/PARTITION` puts it there",
            err=True,
        )


def _tell_dagster(synced: Synced, copies: Copies) -> None:
    """Show on the asset what was done by hand; where there is no instance nobody looks."""
    if not dagster_home().exists():
        return
    from dccd_pipeline.cli.instance import open_instance  # noqa: PLC0415 -- Dagster takes a second to import
    from dccd_pipeline.keep.report import report  # noqa: PLC0415

    with open_instance() as instance:
        instance.report_runless_asset_event(report(synced, copies.last()))


class _Bar:
    """A bar of the bytes that were looked after, on a terminal."""

    def __init__(self, name: str) -> None:
        columns = (TextColumn(name), BarColumn(bar_width=16), DownloadColumn(), TransferSpeedColumn())
        from dccd_pipeline.cli.render import ERR  # noqa: PLC0415 -- as late as it is needed

        self._drawn = Drawn(*columns, console=ERR, disable=not sys.stderr.isatty(), transient=True)
        self._task = self._drawn.add_task(name, total=None)

    def __enter__(self) -> "_Bar":
        self._drawn.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._drawn.stop()

    def tell(self, far: Progress) -> None:
        self._drawn.update(self._task, completed=max(far.done_bytes, far.sent), total=far.bytes)
