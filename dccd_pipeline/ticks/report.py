"""What a tick reports on the asset ``collect/NAME``: totals, and the datasets that somebody should look at.

All datasets stand in the table once an hour at most: a thousand of them at each tick would fill the storage.

Belongs here: rows and numbers. Does not: finding them out (run.py).
See https://docs.dagster.io/guides/build/assets/metadata-and-tags
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import HOUR, Us, iso
from dccd_core.lake.lake import State
from dccd_pipeline.assets.freshness import standing
from dccd_pipeline.config.collect import Entry

TABLE_EVERY: Final = HOUR
_SHOWN: Final = 100


def collect_asset(name: str) -> dg.AssetKey:
    """Return the asset that shows how the ticks of an entry go."""
    return dg.AssetKey(["collect", name])


def collect_spec(entry: Entry) -> dg.AssetSpec:
    return dg.AssetSpec(
        collect_asset(entry.name),
        group_name="collect",
        description=(
            f"How ticks of {entry.name} go, {_counted(len(entry.datasets))}: materialised when all of them "
            "are up to date and none has a gap that nobody explained, else observed; what is wrong is named."
        ),
    )


def _counted(datasets: int) -> str:
    return "1 dataset" if datasets == 1 else f"{datasets:,} datasets"


@dataclass(frozen=True, slots=True)
class Row:
    """How one dataset is after a tick.

    ``until``: up to when all is proven; None: nothing is. ``behind``: why that is too early; empty when it is
    not. ``gaps``: how many, ``more``: than after the tick before. ``trouble``: what else is wrong.
    """

    dataset: Dataset
    rows: int
    until: Us | None
    behind: str
    gaps: int
    more: bool
    trouble: str

    @property
    def well(self) -> bool:
        """Whether it is as far as it should be, and could be brought further."""
        return not self.behind and not self.trouble

    @property
    def odd(self) -> bool:
        """Whether somebody should look at it."""
        return self.more or not self.well


@dataclass(slots=True)
class Totals:
    """What a tick brought: ``bytes`` of them were appended; partitions ``folded``, and ``why``."""

    rows: int = 0
    requests: int = 0
    bytes: int = 0
    folded: int = 0
    why: str = ""


def row_of(
    entry: Entry, dataset: Dataset, states: Mapping[str, State], gaps_before: int, trouble: str, now: Us
) -> Row:
    """Say how a dataset is; ``trouble``: what stopped it lately."""
    at = standing(entry, dataset, states, now, trouble)
    gaps = sum(len(state.ledger.gaps()) for state in states.values())
    rows = sum(state.rows + state.unfolded for state in states.values())
    return Row(dataset, rows, at.until, at.why, gaps, gaps > gaps_before, trouble)


def report(
    entry: Entry, rows: Sequence[Row], totals: Totals, *, whole: bool
) -> dg.AssetMaterialization | dg.AssetObservation:
    """Return the report on ``collect/NAME``; ``whole``: with a row for each dataset."""
    odd = [one for one in rows if one.odd]
    shown = rows if whole else odd[:_SHOWN]
    untils = [one.until for one in rows if one.until is not None]
    numbers = {
        "datasets": len(rows),
        "up_to_date": sum(one.well for one in rows),
        "behind": sum(bool(one.behind) for one in rows),
        "failing": sum(bool(one.trouble) for one in rows),
        "gaps": sum(one.gaps for one in rows),
        "new_rows": totals.rows,
        "requests": totals.requests,
        "bytes": totals.bytes,
        "folded": totals.folded,
    }
    metadata: dict[str, dg.MetadataValue] = {
        name: dg.MetadataValue.int(number) for name, number in numbers.items()
    }
    words = {
        "proven_until": iso(min(untils)) if untils else "",
        "folded_because": totals.why,
        "of_the_others": f"{len(odd) - _SHOWN} more are not shown" if len(odd) > _SHOWN and not whole else "",
    }
    metadata |= {name: dg.MetadataValue.text(text) for name, text in words.items() if text}
    if shown:
        metadata["shown"] = dg.MetadataValue.table(list(_records(shown)))
    well = all(one.well and not one.gaps for one in rows)
    event = dg.AssetMaterialization if well else dg.AssetObservation
    return event(collect_asset(entry.name), metadata=metadata)


def _records(rows: Iterable[Row]) -> Iterable[dg.TableRecord]:
    for one in rows:
        until = iso(one.until) if one.until is not None else "never"
        said = one.trouble or one.behind or ("new gaps" if one.more else "")
        yield dg.TableRecord(
            {
                "dataset": str(one.dataset),
                "rows": one.rows,
                "proven_until": until,
                "gaps": one.gaps,
                "said": said,
            }
        )
