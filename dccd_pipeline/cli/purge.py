"""``dccd purge``: what others verifiably hold is taken away here, now, as its schedule does.

Belongs here: options in, exit code out, what is printed. Does not: purging (dccd_core.keep).
"""

import json
import sys

import click

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.sizes import said_size
from dccd_pipeline.cli.options import told
from dccd_pipeline.config.read import load_settings


@click.command("purge")
@click.option("--dry-run", is_flag=True, help="Say what would go, and why the rest stays; remove nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@told
def purge_command(dry_run: bool, as_json: bool) -> None:
    """Take away here what remotes verifiably hold, by `purge` of dccd.yaml: only closed, proven partitions.

    Each remote is asked at that moment. What stays is a small record: the partition is known as before, and
    comes back when it is read. Exit code 1 when there is not as much room as `keep_free` says.
    """
    from dccd_pipeline.keep.purge import purge_of, said, said_lacking  # noqa: PLC0415 -- Dagster takes a second

    settings = load_settings()
    if not settings.remotes:
        raise ConfigError("there is no remote that could hold anything", hint="add one under remotes:")
    if settings.purge is None and not dry_run:
        hint = "say when: purge: {keep_free: 20GiB, older_than: 90d, copies: 1}; or see --dry-run"
        raise ConfigError("dccd.yaml says nothing of purge", hint=hint)
    report = purge_of(settings, dry_run=dry_run).run()
    if as_json:
        gone = [
            {"dataset": str(one.dataset), "partition": one.key, "bytes": one.bytes, "remotes": one.remotes}
            for one in report.gone
        ]
        kept = [{"dataset": str(one.dataset), "partition": one.key, "why": one.why} for one in report.kept]
        click.echo(json.dumps({"gone": gone, "kept": kept, "freed": report.freed, "lacking": report.lacking}))
    else:
        for line in said(report):
            click.echo(line)
        did = "would go" if dry_run else "gone"
        click.echo(f"{len(report.gone):,} {did}, {said_size(report.freed)}; {len(report.kept):,} stay")
        if report.lacking:
            click.echo(said_lacking(report), err=True)
    sys.exit(1 if report.lacking else 0)
