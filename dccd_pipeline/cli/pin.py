"""``dccd pin``: views of the lake that never change.

Belongs here: options in, exit code out. Does not: what a pin is (dccd_core.keep.pins).
"""

import json
from collections.abc import Sequence

import click
from rich.filesize import decimal

from dccd_core.api.asked import range_of
from dccd_core.api.pins import make_pin
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError, DccdError
from dccd_core.domain.sizes import counted
from dccd_core.domain.timespan import Us, iso
from dccd_core.keep.pins import Pin, Pins, said_time
from dccd_core.net.clock import SystemClock
from dccd_pipeline.cli import render
from dccd_pipeline.cli.options import Moment, lasting, say_where, told
from dccd_pipeline.config.settings import Settings


@click.command()
@click.argument("name", required=False)
@click.argument("datasets", nargs=-1, metavar="[DATASET]...")
@click.option("--start", type=Moment(), help="Only partitions that share time with [start, end), UTC.")
@click.option("--end", type=Moment(), help="First moment not wanted any more, UTC.")
@click.option("--list", "listed", is_flag=True, help="List the pins there are.")
@click.option("--drop", metavar="NAME", help="Remove this pin; the lake stays as it is.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@told
def pin(
    name: str | None,
    datasets: tuple[str, ...],
    start: Us | None,
    end: Us | None,
    listed: bool,
    drop: str | None,
    as_json: bool,
) -> None:
    """Keep datasets, all or these, as they are now, for ever under a name.

    DATASET is a name as `dccd inventory` prints it. What ticks and streams left in the tail is folded first.
    In a folder nothing is copied; the files become read-only. A pin lies in pins/NAME of the store, and is
    itself a lake: any engine reads it.
    """
    settings = lasting()
    asked = sum((name is not None, listed, drop is not None))
    if asked != 1 or (name is None and (datasets or start is not None or end is not None)):
        raise ConfigError(
            "one thing at a time", hint="dccd pin NAME [DATASET...], dccd pin --list, or dccd pin --drop NAME"
        )
    if name is not None:
        wanted = range_of(start, end, SystemClock().now())
        made = make_pin(settings.lake(), name, [Dataset.parse(one) for one in datasets], wanted)
        click.echo(json.dumps(as_builtins(made)) if as_json else said(made))
    elif drop is not None:
        freed = Pins(settings.lake()).drop(drop, SystemClock().now())
        click.echo(
            json.dumps({"dropped": drop, "freed": freed})
            if as_json
            else f"{drop} is gone; {decimal(freed)} freed"
        )
    else:
        _show(settings, as_json=as_json)


def said(pin: Pin) -> str:
    """Say in a line what a pin holds."""
    what = f"{counted(len(pin.files), 'partition')} of {counted(len(pin.datasets), 'dataset')}"
    return f"{pin.name}: {what}, {pin.rows:,} rows, {decimal(pin.bytes)}, in {pin.url}"


def as_builtins(pin: Pin) -> dict[str, object]:
    start, end = said_time(pin.wanted)
    return {
        "name": pin.name,
        "url": pin.url,
        "pin_of": pin.of,
        "made": iso(pin.made),
        "start": start,
        "end": end,
        "datasets": [str(one) for one in pin.datasets],
        "partitions": len(pin.files),
        "rows": pin.rows,
        "bytes": pin.bytes,
        "hash": pin.hash,
    }


def _show(settings: Settings, *, as_json: bool) -> None:
    """List the pins; one whose manifest is damaged is listed as such."""
    pins = Pins(settings.lake())
    found, damaged = list[tuple[Pin, int]](), list[tuple[str, str]]()
    for name in pins.names():
        try:
            found.append((pins.find(name), pins.own_bytes(name)))
        except DccdError as e:
            damaged.append((name, str(e)))
    if as_json:
        whole = [{**as_builtins(one), "own_bytes": own} for one, own in found]
        click.echo(json.dumps([*whole, *({"name": name, "damaged": why} for name, why in damaged)]))
        return
    _table(found, damaged, settings.timezone)
    say_where(settings)


def _table(found: Sequence[tuple[Pin, int]], damaged: Sequence[tuple[str, str]], zone: str) -> None:
    numbers = ("datasets", "partitions", "rows", "bytes", "of it only here")
    head = ("pin", "made", *numbers[:-1], numbers[-1], "hash")
    rows = [
        (
            one.name,
            render.local(iso(Us(one.made // 1_000_000 * 1_000_000)), zone),
            f"{len(one.datasets):,}",
            f"{len(one.files):,}",
            f"{one.rows:,}",
            decimal(one.bytes),
            decimal(own),
            one.hash[:12],
        )
        for one, own in found
    ]
    rows += [(name, why, *("-" for _ in numbers), "-") for name, why in damaged]
    render.table(counted(len(rows), "pin"), head, rows, numbers)
