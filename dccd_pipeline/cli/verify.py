"""``dccd verify``: what is stored is read again, and held against what it should be.

Belongs here: options in, exit code out. Does not: finding out (answer/verifying.py, dccd_core.keep.pins).
"""

import json
import re
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import click
from rich.filesize import decimal

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError, DccdError
from dccd_core.domain.sizes import counted
from dccd_core.domain.timespan import DAY, ZERO, TimeRange, iso, union
from dccd_core.fetch.verify import Harm, Harmed, Verified
from dccd_core.fetch.verify import verify as verify_partition
from dccd_core.keep.pins import Pins, Verdict
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import SystemClock
from dccd_core.quality.coverage import Gap, unexplained, wanted_time
from dccd_pipeline.cli import render
from dccd_pipeline.cli.options import lasting, say_where, told
from dccd_pipeline.cli.pin import as_builtins, said
from dccd_pipeline.config.fields import named_exchange, read_symbol
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.config.wanted import wanted_times

_SHARE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*%")


class Share(click.ParamType[float]):
    """A share, like 5%."""

    name = "share"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = _SHARE.fullmatch(str(value))
        if not match or not 0 < float(match[1]) <= 100:
            self.fail(f"{value!r} is no share -> write 5%", param, ctx)
        return float(match[1]) / 100


@click.command()
@click.argument("exchange", required=False)
@click.argument("symbols", nargs=-1)
@click.option("--sample", type=Share(), help="Read so much of it only, like 5%: others each day.")
@click.option("--repair", is_flag=True, help="Ask for what is missing or wrong, and for nothing else.")
@click.option("--pin", "name", metavar="NAME", help="Read this pin instead, and compare it with the lake.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@told
def verify(
    exchange: str | None,
    symbols: tuple[str, ...],
    sample: float | None,
    repair: bool,
    name: str | None,
    as_json: bool,
) -> None:
    """Prove the lake against its ledgers: read every row again, all, or of an exchange or some symbols.

    Hashes, order, sense and completeness are recomputed; a round that is stopped goes on where it was. Exit
    code 0 only when all is what it should be and has no gap. With --pin: 0 when the pin is intact.
    """
    settings = lasting()
    if name:
        if exchange or sample or repair:
            raise ConfigError("--pin is read whole and never changes", hint="leave the other words out")
        sys.exit(_pin(settings, name, as_json=as_json))
    lake, meant = LakeStore(settings.store), _meant(exchange, symbols)
    datasets = [one for one in lake.datasets() if meant(one)]
    absent = _absent(settings, lake, meant)
    if exchange and not datasets and not absent:
        words = " ".join((exchange, *symbols))
        raise ConfigError(f"the lake holds nothing of {words}", hint="see dccd inventory")
    found, verified = _read(lake, datasets, sample, drawn=not as_json)
    gaps_of = _gaps(settings, datasets, meant)
    mended = _repair(settings, lake, found, gaps_of) if repair and (found or gaps_of) else []
    if repair:
        gaps_of, absent = _gaps(settings, datasets, meant), _absent(settings, lake, meant)
    away = sum(len(lake.elsewhere(dataset)) for dataset in datasets)
    seen = Seen(verified, found, mended, gaps_of, absent, away, empty=not datasets)
    if as_json:
        click.echo(json.dumps(_told(seen)))
    else:
        _show(seen)
        say_where(settings)
    sys.exit(0 if seen.well else 1)


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of it. ``absent``: what is collected and was never stored, with the entry's name.

    ``away``: so many partitions only remotes hold; they were not read. ``empty``: there is nothing to read.
    """

    verified: Sequence[Verified]
    found: Sequence[Harmed]
    mended: Sequence[Harmed]
    gaps_of: Mapping[Dataset, Sequence[Gap]]
    absent: Mapping[Dataset, str]
    away: int
    empty: bool

    @property
    def left(self) -> list[Harmed]:
        return [one for one in self.found if one not in self.mended]

    @property
    def well(self) -> bool:
        return not (self.left or self.gaps_of or self.absent)


def _meant(exchange: str | None, symbols: Sequence[str]) -> Callable[[Dataset], bool]:
    name = named_exchange(exchange).name if exchange else None
    wanted = {read_symbol(symbol) for symbol in symbols}
    return lambda one: name in (None, one.exchange) and (not wanted or one.symbol in wanted)


def _absent(settings: Settings, lake: LakeStore, meant: Callable[[Dataset], bool]) -> dict[Dataset, str]:
    from dccd_pipeline.answer.absent import never_stored  # noqa: PLC0415 -- it brings Dagster

    return never_stored(settings, lake, SystemClock().now(), meant)


def _read(
    lake: LakeStore, datasets: Sequence[Dataset], share: float | None, *, drawn: bool
) -> tuple[list[Harmed], list[Verified]]:
    from dccd_pipeline.answer.verifying import Rounds, files_of, parts_of, read_again, sample  # noqa: PLC0415

    now, parts = SystemClock().now(), parts_of(lake, datasets)
    parts = sample(parts, share, now // DAY) if share and parts else parts
    rounds, verified = Rounds.of(lake), list[Verified]()
    done = len(rounds.going(now).done & {*files_of(lake, parts).values()})
    if done and drawn:
        click.echo(f"goes on where it was stopped: {done:,} partitions are read already", err=True)
    with render.counting(len(parts), drawn=drawn) as tell:
        verified += read_again(lake, parts, rounds, now, tell)
    verified.sort(key=lambda one: (str(one.dataset), one.key))
    return [harmed for one in verified for harmed in one.harmed], verified


def _gaps(
    settings: Settings, datasets: Sequence[Dataset], meant: Callable[[Dataset], bool]
) -> dict[Dataset, list[Gap]]:
    """Return what is absent without a reason, up to where each dataset is proven, and vanished files."""
    from dccd_pipeline.answer.absent import vanished_keys, with_vanished  # noqa: PLC0415 -- it brings Dagster
    from dccd_pipeline.cli.instance import existing_instance  # noqa: PLC0415

    lake, now = settings.lake(), SystemClock().now()
    with existing_instance() as instance:
        gone = vanished_keys(settings, instance, lake, now)
    wanted, found = wanted_times(settings, now), dict[Dataset, list[Gap]]()
    for dataset in dict.fromkeys((*datasets, *filter(meant, gone))):
        try:
            states = lake.all_known(dataset)
        except DccdError:
            continue  # it is among what is harmed
        time = wanted_time(dataset, states, now, wanted.get(dataset)) if states else None
        lacks = unexplained(dataset, states, time) if time else []
        if of := with_vanished(dataset, lacks, gone.get(dataset, ())):
            found[dataset] = of
    return found


def _repair(
    settings: Settings, lake: LakeStore, found: Sequence[Harmed], gaps_of: Mapping[Dataset, Sequence[Gap]]
) -> list[Harmed]:
    """Ask for what is wrong or missing, in recorded runs; return what is right by now.

    What cannot be mended or asked for is said, and keeps nothing else from it.
    """
    from dccd_pipeline.build import silent  # noqa: PLC0415 -- it brings Dagster
    from dccd_pipeline.cli.backfill import orders_of, run_order  # noqa: PLC0415
    from dccd_pipeline.cli.instance import open_instance  # noqa: PLC0415

    until_now = TimeRange(ZERO, SystemClock().now())  # nothing can be lost of what is still to come
    spans = {dataset: [gap.span for gap in of] for dataset, of in gaps_of.items()}
    for (dataset, key), some in groupby(found, key=lambda one: (one.dataset, one.key)):
        harmed = list(some)
        doubtful = union(span for one in harmed for span in one.spans)
        with _said_of(dataset):
            past = [part for span in doubtful if (part := span.clip(until_now))]
            lake.mend(dataset, key, past, keep=any(one.harm is not Harm.MISSING for one in harmed))
            spans.setdefault(dataset, []).extend(doubtful)
    with open_instance() as instance:
        for dataset, part in [(one, part) for one, of in spans.items() for part in union(of)]:
            with _said_of(dataset):
                for order in orders_of(settings, [dataset], part.start, part.end):
                    result = run_order(settings, order, instance, silent)
                    if result.failure:
                        click.echo(result.failure, err=True)
    sound = {
        (one.dataset, one.key)
        for one in found
        if (again := verify_partition(lake, one.dataset, one.key)) and not again.harmed
    }
    return [one for one in found if (one.dataset, one.key) in sound]


@contextmanager
def _said_of(dataset: Dataset) -> Generator[None]:
    """Say what cannot be done about a dataset, and go on."""
    try:
        yield
    except DccdError as e:
        click.echo(f"{dataset}: {e}", err=True)


def _show(seen: Seen) -> None:
    for one in seen.found:
        span = f" ({iso(one.spans[0].start)} to {iso(one.spans[-1].end)})" if one.spans else ""
        if one in seen.mended:
            how, said = "repaired", one.said.partition(" -> ")[0]  # nothing is to be done any more
        else:
            how, said = one.harm, one.said
        click.echo(f"{how}: {one.dataset} {one.key}{span}: {said}")
    for dataset, of in seen.gaps_of.items():
        for gap in of:
            missing = "" if gap.missing is None else f", {gap.missing:,} rows"
            click.echo(f"gap: {dataset} {iso(gap.span.start)} to {iso(gap.span.end)}{missing}: {gap.why}")
    for dataset, entry in seen.absent.items():
        click.echo(f"absent: {dataset}: nothing of it is stored -> dccd collect {entry}")
    rows, size = sum(one.rows for one in seen.verified), sum(one.bytes for one in seen.verified)
    read = f"{counted(len(seen.verified), 'partition')} read again: {rows:,} rows, {decimal(size)}"
    away = f" {counted(seen.away, 'partition')} that only remotes hold: not read." if seen.away else ""
    click.echo(f"{read}; {_verdict(seen)}{away}")


def _verdict(seen: Seen) -> str:
    wrong = len({(one.dataset, one.key) for one in seen.left})
    gaps = sum(len(of) for of in seen.gaps_of.values())
    ill = [f"{wrong} not as written" if wrong else "", f"{gaps} with gaps" if gaps else ""]
    if said := ", ".join(one for one in ill if one):
        return f"{said} -> dccd verify --repair asks for it again"
    if seen.absent:
        return f"{counted(len(seen.absent), 'dataset')} of dccd.yaml not there at all"
    return "the lake holds nothing yet" if seen.empty else "all are what their ledgers say, without a gap"


def _told(seen: Seen) -> dict[str, Any]:
    """Return it as JSON has it; moments are integer microseconds."""
    return {
        "partitions": len(seen.verified),
        "rows": sum(one.rows for one in seen.verified),
        "bytes": sum(one.bytes for one in seen.verified),
        "harmed": [
            {
                "dataset": str(one.dataset),
                "key": one.key,
                "harm": one.harm,
                "spans": [[span.start, span.end] for span in one.spans],
                "rows": one.rows,
                "said": one.said,
                "repaired": one in seen.mended,
            }
            for one in seen.found
        ],
        "gaps": [
            {"dataset": str(dataset), "start": gap.span.start, "end": gap.span.end, "why": gap.why}
            for dataset, of in seen.gaps_of.items()
            for gap in of
        ],
        "absent": sorted(map(str, seen.absent)),
        "elsewhere": seen.away,
    }


def _pin(settings: Settings, name: str, *, as_json: bool) -> int:
    verdict = Pins(settings.lake()).verify(name)
    if as_json:
        click.echo(json.dumps(_as_builtins(verdict)))
    else:
        _show_pin(verdict)
    return 1 if verdict.damage else 0


def _show_pin(verdict: Verdict) -> None:
    pin = verdict.pin
    click.echo(said(pin))
    for line in verdict.damage:
        click.echo(f"damaged: {line}")
    if not verdict.damage:
        click.echo(f"intact: all rows are those of {iso(pin.made)}, hash {pin.hash}")
    for (dataset, key), what in verdict.changes.items():
        click.echo(f"changed in the lake: {dataset} {key}: {what}")
    for dataset, key in verdict.new:
        click.echo(f"new in the lake: {dataset} {key}")
    click.echo(f"the lake still has {verdict.same:,} of {counted(len(pin.files), 'partition')} as pinned")


def _as_builtins(verdict: Verdict) -> dict[str, object]:
    return {
        **as_builtins(verdict.pin),
        "intact": not verdict.damage,
        "damage": list(verdict.damage),
        "same": verdict.same,
        "changed": {f"{dataset} {key}": what for (dataset, key), what in verdict.changes.items()},
        "new": [f"{dataset} {key}" for dataset, key in verdict.new],
    }
