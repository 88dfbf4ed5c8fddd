"""``dccd diff``: where two sources of one dataset differ.

Belongs here: options in, exit code out. Does not: comparing (dccd_core.bars.diff).
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import click
import msgspec

from dccd_core.bars.diff import Diff, Difference, against_trades, against_venue, newest_hour
from dccd_core.bars.differences import TRADES, Known, known_differences, note_differences
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError, LakeError
from dccd_core.domain.sizes import counted
from dccd_core.domain.timespan import TimeRange, Us, iso
from dccd_core.exchanges import get
from dccd_core.net.clock import SystemClock
from dccd_pipeline.cli import render
from dccd_pipeline.cli.options import Moment, lasting, told
from dccd_pipeline.config.settings import Settings

_SHOWN: Final = 100
_LAST: Final = Us(2**62)


@click.command()
@click.argument("name", metavar="DATASET")
@click.option("--start", type=Moment(), help="First moment to compare, UTC.")
@click.option("--end", type=Moment(), help="First moment not to compare any more, UTC.")
@click.option("--venue", is_flag=True, help="Ask the exchange; without --start the newest hour of it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@told
def diff(name: str, start: Us | None, end: Us | None, venue: bool, as_json: bool) -> None:
    """Show where two sources of a dataset differ: its bars and its trades, or what is stored and the venue.

    DATASET is written as `dccd inventory` does. What was found before and is not settled is shown, too. No
    row is changed. Exit code 0 when something could be compared, and all of it is alike.
    """
    dataset, settings = Dataset.parse(name), lasting()
    wanted = TimeRange(Us(start or 0), end or _LAST) if start or end else None
    found, against = (
        _against_venue(settings, dataset, wanted) if venue else _against_trades(settings, dataset, wanted)
    )
    lake = settings.lake()
    try:
        source = get(dataset.exchange).title if venue else TRADES
        note_differences(lake, dataset, found.parts, source, found.found, SystemClock().now())
    except LakeError as e:  # whoever may only read the lake still sees it
        click.echo(f"not remembered: {e}", err=True)
    known = [one for one in known_differences(lake, [dataset]).get(dataset, ()) if _is_news(one, found)]
    if as_json:
        head = {"dataset": str(dataset), "against": against}
        rows = [asdict(one) for one in found.found]
        more = {"rows": rows, "known": msgspec.to_builtins(known)}
        click.echo(json.dumps({**head, "compared": found.compared, "differ": found.differ, **more}))
    else:
        _show(dataset, against, found, known)
    sys.exit(0 if found.compared and not found.differ and not known else 1)


def _is_news(known: Known, found: Diff) -> bool:
    """Tell whether it was found before, and not again just now."""
    return Difference(known.at, known.name, known.said) not in found.found


def _against_trades(settings: Settings, dataset: Dataset, wanted: TimeRange | None) -> tuple[Diff, str]:
    if dataset.source is None:
        raise ConfigError(f"{dataset} is made of nothing else that is stored", hint="compare it with --venue")
    return against_trades(settings.lake(), dataset, wanted), str(dataset.source)


def _against_venue(settings: Settings, dataset: Dataset, wanted: TimeRange | None) -> tuple[Diff, str]:
    from dccd_pipeline.cli.backfill import venues_of  # noqa: PLC0415 -- it brings Dagster

    if dataset.data_type.table.pictures:
        raise ConfigError(
            f"{dataset}: no exchange shows its past", hint="a stream compares it while it records"
        )
    settings.require_open(get(dataset.exchange))
    lake = settings.lake()
    span = wanted or newest_hour(lake, dataset, SystemClock().now())
    if span is None:
        return Diff(), get(dataset.exchange).title

    async def ask() -> Diff:
        async with venues_of(settings).connect(dataset.exchange) as venue:
            return await against_venue(venue, lake, dataset, span)

    return asyncio.run(ask()), get(dataset.exchange).title


def _show(dataset: Dataset, against: str, found: Diff, known: Sequence[Known]) -> None:
    if known:
        before = [(iso(one.at), one.name, one.said, one.against, iso(one.seen)) for one in known[:_SHOWN]]
        heads = ("when", "row", "difference", "against", "found at")
        render.table(f"{dataset}: {len(known):,} found before", heads, before)
    if not found.compared:
        click.echo(
            f"{dataset}: nothing of it can be compared with {against}: not both have a time that is proven"
        )
        return
    rows = [(iso(one.at), one.name, one.said) for one in found.found[:_SHOWN]]
    if rows:
        render.table(f"{dataset} and {against}", ("when", "row", "difference"), rows)
    more = f", the first {_SHOWN} are shown" if found.differ > _SHOWN else ""
    click.echo(f"{counted(found.compared, 'row')} compared with {against}, {found.differ:,} differ{more}")
