"""``dccd read``: stored rows, folded or live, for the terminal or into a file.

Belongs here: from a question to rows or a file. Does not: options (main.py), and how rows are stored.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import polars as pl

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError, LakeError
from dccd_core.domain.timespan import TimeRange, iso
from dccd_core.lake.lake import LakeStore

_WRITERS: Final[Mapping[str, Callable[[pl.LazyFrame, Path], object]]] = {
    ".csv": lambda rows, file: rows.sink_csv(file),
    ".parquet": lambda rows, file: rows.sink_parquet(file),
    ".json": lambda rows, file: rows.sink_ndjson(file),
}


class NoRowsError(LakeError):
    """There are none in the time that was asked for."""


def rows_of(lake: LakeStore, dataset: Dataset, wanted: TimeRange, *, restore: bool = True) -> pl.LazyFrame:
    """Return the rows of ``wanted``; what of them is held elsewhere only is brought back, all at once.

    Raises:
        ConfigError: the lake holds nothing of the dataset; with the nearest that it holds.
        NoRowsError: none in this time.
        LakeError: something is held elsewhere, and cannot be brought back, or is not to be.
    """
    if not lake.holds(dataset):
        held = [str(one) for one in lake.datasets() if one.exchange == dataset.exchange]
        there = f"it holds {', '.join(held[:5])}" if held else "see dccd inventory"
        hint = f"{there}, or fill it with dccd backfill"
        raise ConfigError(f"the lake holds nothing of {dataset}", hint=hint)
    rows = lake.scan(dataset, wanted, restore=restore)
    lake.fetch(dataset, lake.elsewhere(dataset, wanted))
    if not rows.head(1).collect().height:
        raise NoRowsError(f"no rows of {dataset} in this time", hint=_extent(lake, dataset))
    return rows


def recorded_elsewhere(lake: LakeStore, dataset: Dataset, *, streamed: bool) -> str | None:
    """Return what to say where a stream's newest rows may lie on another machine, the one that records them.

    ``streamed``: whether it is known to be recorded somewhere; else its newest partition says so.
    """
    if "://" not in lake.url:
        return None
    mine = lake.segments(dataset.exchange, dataset.data_type, dataset.span)
    if any(Path(one.path).is_absolute() for one in mine):
        return None  # it is this machine; what ticks appended lies in the bucket
    if not (streamed or _newest_is_streamed(lake, dataset)):
        return None
    said = f"{dataset} is streamed: its newest rows are seen only on the machine that records them"
    return f"{said}, here once they are folded (fold_every, an hour by default)"


def _newest_is_streamed(lake: LakeStore, dataset: Dataset) -> bool:
    keys = lake.keys(dataset)
    state = lake.state(dataset, keys[-1]) if keys else None
    return bool(state and state.ledger.streamed())


def _extent(lake: LakeStore, dataset: Dataset) -> str:
    states, live = lake.all_known(dataset).values(), lake.live_rows().get(dataset)
    firsts = [state.first for state in states if state.first is not None] + ([live.first] if live else [])
    lasts = [state.last for state in states if state.last is not None] + ([live.last] if live else [])
    return f"it has some from {iso(min(firsts))} to {iso(max(lasts))}" if firsts else "it has none at all"


def write_rows(rows: pl.LazyFrame, file: Path) -> None:
    """Write rows into a file, in the format that its name ends in.

    Raises:
        ConfigError: it cannot be written there, or like that.
    """
    if file.suffix not in _WRITERS:
        raise ConfigError(f"cannot write {file.name}", hint=f"end it in {', '.join(_WRITERS)}")
    if not file.absolute().parent.is_dir():
        raise ConfigError(f"cannot write {file}: there is no folder {file.parent}", hint="make it first")
    try:
        _WRITERS[file.suffix](rows, file)
    except OSError as e:
        raise LakeError(f"cannot write {file}: {e.strerror or e}", hint="choose another place") from e
