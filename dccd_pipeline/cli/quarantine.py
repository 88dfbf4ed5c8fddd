"""``dccd quarantine``: the rows that were refused, and why; and asking for them again.

Belongs here: options in, exit code out. Does not: why a row is refused (dccd_core.quality).
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

import click
import polars as pl

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.sizes import counted
from dccd_core.domain.timespan import TimeRange, Us, iso, union
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import DATA, QUARANTINE, dataset_folder, parse_data_path
from dccd_core.lake.partition.ledger import Accepted
from dccd_core.lake.partition.quarantine import REASON
from dccd_core.net.clock import SystemClock
from dccd_core.tables import DataType
from dccd_pipeline.cli import render
from dccd_pipeline.cli.options import lasting, say_where, told
from dccd_pipeline.config.accepted import by_dataset
from dccd_pipeline.config.settings import Settings

_SHOWN: Final = 20
"""Rows of a partition that are drawn; JSON has all."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The ``rows`` beside a partition, with their ``reason`` and with why they are ``accepted`` (or null).

    ``counts``: how many of them are still missing; the exchange gave a good row in the place of the others,
    or they are accepted.
    """

    dataset: Dataset
    key: str
    rows: pl.DataFrame
    counts: int


@click.command()
@click.argument("name", metavar="[DATASET]", required=False)
@click.option("--retry", is_flag=True, help="Ask the exchange for these rows again, in recorded runs.")
@click.option(
    "--accept", "why", metavar="WHY", help="Take the absence of these rows as it is, for this reason."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@told
def quarantine(name: str | None, retry: bool, why: str | None, as_json: bool) -> None:
    """Show the rows that were refused, all or of a dataset, each with the reason.

    DATASET is a name as `dccd inventory` prints it. Rows whose absence is accepted, by `accepted` in
    dccd.yaml or by --accept, and those that the exchange gave again as they should be, are shown and do not
    count. Exit code 0 when none counts.
    """
    if retry and why is not None:
        raise ConfigError(
            "--retry and --accept exclude each other", hint="ask again first, then accept the rest"
        )
    if why is not None and (name is None or not why.strip()):
        raise ConfigError(
            "--accept is for one dataset, and for a reason", hint="name both: DATASET --accept WHY"
        )
    settings = lasting()
    lake = settings.lake()
    found = list(refused_in(lake, settings, _chosen(lake, name)))
    if retry and any(one.counts for one in found):
        _ask_again(settings, found)
        found = list(refused_in(lake, settings, _chosen(lake, name)))
    if why is not None:
        _accept(lake, found, why.strip())
        found = list(refused_in(lake, settings, _chosen(lake, name)))
    if as_json:
        click.echo(json.dumps([_as_builtins(one) for one in found]))
    else:
        _show(found, settings)
    sys.exit(1 if any(one.counts for one in found) else 0)


def refused_in(lake: LakeStore, settings: Settings, datasets: Sequence[Dataset]) -> Iterator[Refused]:
    """Yield what was refused of datasets, partition by partition, in order."""
    accepted = by_dataset(settings.accepted_gaps())
    for dataset in datasets:
        for key in _keys(lake, dataset):
            rows = lake.quarantined(dataset, key)
            if rows.height:
                state = lake.known(dataset, key)
                counts = state.ledger.quarantined if state else rows.height
                own = state.ledger.accepted if state else ()  # the configuration's reason comes first
                told_why = _told_accepted(rows, [*accepted.get(str(dataset), ()), *own])
                yield Refused(dataset, key, told_why, counts)


def _chosen(lake: LakeStore, name: str | None) -> list[Dataset]:
    """Return the datasets that are meant: those beside which something is.

    Raises:
        ConfigError: it is no name of one that the lake knows.
    """
    files = (path for data_type in DataType for path in lake.store.named(data_type, (QUARANTINE,)))
    places = (parse_data_path(path.removesuffix(QUARANTINE) + DATA) for path in files)
    found = sorted({place[0] for place in places if place}, key=str)
    if name is None:
        return found
    wanted = Dataset.parse(name)
    if wanted not in found and not lake.holds(wanted):
        near = get_close_matches(str(wanted), map(str, {*found, *lake.datasets()}), 1, cutoff=0.0)
        hint = f"did you mean {near[0]}?" if near else "see dccd inventory"
        raise ConfigError(f"the lake holds nothing of {wanted}", hint=hint)
    return [wanted]


def _keys(lake: LakeStore, dataset: Dataset) -> list[str]:
    files = lake.store.named(dataset_folder(dataset), (QUARANTINE,))
    places = [parse_data_path(path.removesuffix(QUARANTINE) + DATA) for path in files]
    return [place[1] for place in places if place and place[0] == dataset]


def _told_accepted(rows: pl.DataFrame, accepted: Sequence[Accepted]) -> pl.DataFrame:
    times = pl.col("ts").to_physical()
    whys = [
        pl.when(times.is_between(one.span.start, one.span.end, closed="left")).then(pl.lit(one.why))
        for one in accepted
    ]
    return rows.with_columns(accepted=pl.coalesce(*whys, pl.lit(None, pl.String)))


def _accept(lake: LakeStore, found: Sequence[Refused], why: str) -> None:
    from dccd_core.api.unasked import unasked  # noqa: PLC0415 -- who only looks needs no exchange
    from dccd_core.fetch.accept import accept  # noqa: PLC0415

    for one in found:
        if one.counts:
            accept(unasked(one.dataset.exchange, SystemClock()), lake, one.dataset, one.key, why)


def _ask_again(settings: Settings, found: Sequence[Refused]) -> None:
    """Have the partitions filled whose rows count: a refused row leaves a gap, and gaps are asked for."""
    from dccd_pipeline.build import silent  # noqa: PLC0415 -- it brings Dagster
    from dccd_pipeline.cli.backfill import orders_of, run_order  # noqa: PLC0415
    from dccd_pipeline.cli.instance import open_instance  # noqa: PLC0415

    now, spans = SystemClock().now(), dict[Dataset, list[TimeRange]]()
    for one in found:
        span = partition_span(one.dataset.grain, one.key)
        if one.counts and span.start < now:
            spans.setdefault(one.dataset, []).append(TimeRange(span.start, Us(min(span.end, now))))
    with open_instance() as instance:
        for dataset, parts in spans.items():
            for part in union(parts):
                for order in orders_of(settings, [dataset], part.start, part.end):
                    result = run_order(settings, order, instance, silent)
                    if result.failure:
                        click.echo(result.failure, err=True)


def _show(found: Sequence[Refused], settings: Settings) -> None:
    for one in found:
        _draw(one, settings.timezone)
    counts, rows = sum(one.counts for one in found), sum(one.rows.height for one in found)
    if counts:
        said = f"{counted(counts, 'row')} in quarantine, of {rows:,} that were refused"
        hint = "dccd quarantine [DATASET] --retry asks again; DATASET --accept WHY takes it as it is"
        click.echo(f"{said} -> {hint}")
    else:
        click.echo(f"nothing is in quarantine; refused before and settled by now: {counted(rows, 'row')}")
    say_where(settings)


def _draw(one: Refused, zone: str) -> None:
    reasons = Counter(one.rows[REASON].to_list())
    why = "; ".join(f"{count:,} x {reason}" for reason, count in reasons.most_common(3))
    title = f"{one.dataset} {one.key}: {one.counts:,} count of {one.rows.height:,}: {why}"
    columns = [name for name in one.rows.columns if name not in ("ts", REASON, "accepted")]
    rows = [
        (
            "-" if row["ts"] is None else render.local(iso(row["ts"]), zone),
            " ".join(f"{name}={row[name]}" for name in columns if row[name] is not None),
            str(row[REASON]),
            row["accepted"] or "",
        )
        for row in one.rows.head(_SHOWN).with_columns(pl.col("ts").to_physical()).iter_rows(named=True)
    ]
    render.table(title, ("time", "row", "reason", "accepted"), rows)
    if one.rows.height > _SHOWN:
        click.echo(f"and {one.rows.height - _SHOWN:,} more: dccd quarantine {one.dataset} --json")


def _as_builtins(one: Refused) -> dict[str, object]:
    rows = one.rows.with_columns(pl.col(pl.Datetime).dt.to_string("iso:strict"))
    return {
        "dataset": str(one.dataset),
        "partition": one.key,
        "counts": one.counts,
        "rows": rows.to_dicts(),
    }
