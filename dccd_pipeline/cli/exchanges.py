"""The commands of ``dccd`` that are about exchanges: what they serve, what they list, how they are."""

import asyncio
import json
import sys
from dataclasses import asdict

import click

from dccd_core.exchanges import NAMES
from dccd_pipeline.cli import render
from dccd_pipeline.cli.capability_table import exchange_table, matrix_markdown
from dccd_pipeline.cli.doctor import examinable, examined
from dccd_pipeline.cli.listing import listed_symbols
from dccd_pipeline.cli.options import configured, lasting, told
from dccd_pipeline.config.fields import named_exchange


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
@told
def exchanges(name: str | None, as_json: bool, markdown: bool) -> None:
    """What each exchange serves, or one of them: how far back, which bars, how fast."""
    names = [name] if name else NAMES
    if as_json:
        click.echo(json.dumps(exchange_table(names)))
    elif markdown:
        click.echo(matrix_markdown(names), nl=False)
    else:
        render.exchanges(exchange_table(names), documented=name is not None)


@click.command()
@click.argument("exchange")
@click.argument("pattern", default="*")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@told
def symbols(exchange: str, pattern: str, as_json: bool) -> None:
    """List what can be traded at an exchange: all, or what matches a PATTERN like 'BTC/*'."""
    found = listed_symbols(lasting(), named_exchange(exchange).name, pattern)
    if as_json:
        click.echo(json.dumps(found["symbol"].to_list()))
        return
    for symbol, market, listed in found.rows():
        since = f"  since {listed:%Y-%m-%d}" if listed else ""
        click.echo(f"{symbol:<24}{market}{since}")
    if not found.height:
        click.echo(f"nothing at {exchange} matches {pattern!r}", err=True)
        sys.exit(1)


@click.command()
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@told
def doctor(names: tuple[str, ...], as_json: bool) -> None:
    """Ask exchanges whether they still answer as dccd knows them: the configured ones, or NAMES.

    Exit code 0 only when everything is well.
    """
    settings = configured()
    found = asyncio.run(examined(settings, names or examinable(settings)))
    if as_json:
        rows = [{"exchange": name, **asdict(one)} for name, findings in found.items() for one in findings]
        click.echo(json.dumps(rows))
    else:
        render.findings(found)
    sys.exit(0 if all(one.ok for findings in found.values() for one in findings) else 1)
