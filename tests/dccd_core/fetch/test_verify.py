"""Whatever is taken out of a lake, ``verify`` finds it and nothing else, and only that is asked for again."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import HOUR, TimeRange, Us, union
from dccd_core.fetch.verify import Harm, verify
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Condition
from tests.dccd_core.fetch.world import TRADES, World, bars

PARTS = [(bars(HOUR), "2023"), (bars(), "2024-02"), (TRADES, "2024-02-01")]


@dataclass
class Filled:
    """A lake that was filled once, to be copied for each case."""

    world: World
    folder: Path
    copies: int = 0

    def copy(self) -> Path:
        """Put the lake as it was filled in the place of what became of it."""
        shutil.rmtree(self.world.lake.url)
        shutil.copytree(self.folder, self.world.lake.url)
        self.world.lake = LakeStore(self.world.lake.url)
        return Path(self.world.lake.url)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    folder = tmp_path_factory.mktemp("verify")
    world = World(folder, trades_per_day={"BTC/USDT": 3_000})
    for dataset, key in PARTS:
        world.fill(dataset, key)
        assert world.condition(dataset, key) is Condition.AVAILABLE
    shutil.copytree(world.lake.url, folder / "as filled")
    return Filled(world, folder / "as filled")


class Cut(NamedTuple):
    """What is taken out of a partition: rows from ``start`` on, by their share of all; at least one."""

    part: int
    start: float
    length: float


CUTS = st.builds(
    Cut,
    st.integers(0, len(PARTS) - 1),
    st.floats(0, 0.999),
    st.one_of(st.just(0.0), st.floats(0, 0.2)),
)


def take_out(lake: LakeStore, dataset: Dataset, key: str, cut: Cut) -> tuple[int, TimeRange]:
    """Take rows out of a file, as a tool would that keeps its footer; return how many, and of which time."""
    path = lake.path(dataset, key)
    table = pq.read_table(path, partitioning=None)
    first = int(cut.start * table.num_rows)
    rows = min(table.num_rows - first, max(1, round(cut.length * table.num_rows)))
    gone = table.slice(first, rows)["ts"].cast(pa.int64()).to_numpy()
    kept = pa.concat_tables([table.slice(0, first), table.slice(first + rows)])
    rewritten(path, kept)
    return rows, TimeRange(Us(int(gone[0])), Us(int(gone[-1]) + (dataset.span or 1)))


def rewritten(path: str, table: pa.Table) -> None:
    """Write a file anew with the footer that it has."""
    footer = pq.read_metadata(path).metadata
    pq.write_table(table.replace_schema_metadata(footer), path, row_group_size=1 << 17)


def repair(world: World, dataset: Dataset, key: str, spans: list[TimeRange]) -> int:
    """Mend a partition and ask again; return how many requests that took."""
    world.lake.mend(dataset, key, spans, keep=True)
    before = world.requests()
    world.fill(dataset, key)
    return world.requests() - before


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=CUTS)
def test_what_is_taken_out_is_found_and_only_that_is_asked_for(filled: Filled, cut: Cut) -> None:
    _tried(filled, cut)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, phases=[Phase.generate])
@given(cut=CUTS)
def test_two_hundred_times(filled: Filled, cut: Cut) -> None:
    _tried(filled, cut)


def _tried(filled: Filled, cut: Cut) -> None:
    filled.copy()
    world, (dataset, key) = filled.world, PARTS[cut.part]
    whole, holes = world.stored(dataset, key), [hole for hole, *_ in world.holes(dataset, key)]
    rows, span = take_out(world.lake, dataset, key, cut)
    for other, its in PARTS:
        found = verify(world.lake, other, its)
        assert found is not None
        assert bool(found.harmed) is ((other, its) == (dataset, key))
    found = verify(world.lake, dataset, key)
    assert found is not None
    assert {one.harm for one in found.harmed} == {Harm.MISSING}, found
    assert sum(one.rows or 0 for one in found.harmed) == rows
    spans = union(part for one in found.harmed for part in one.spans)
    if dataset.span:
        assert spans == span.minus(holes), "what the venue has not was never there"
    else:  # between the trades before and after, which are there
        assert not span.minus(spans)
        times = whole["ts"].cast(pl.Int64).to_numpy()
        around = [times[times < span.start][-1:], times[times >= span.end][:1]]
        low, high = (int(one[0]) if one.size else None for one in around)
        ends = {int(times[0]), int(times[-1])}  # where those of one moment were taken, it may be either
        parts = [part for part in spans if part.length > 1 or part.start not in ends]
        assert all(low is None or part.start >= low for part in parts)
        assert all(high is None or part.end <= high + 1 for part in parts)
    asked = repair(world, dataset, key, spans)
    assert world.stored(dataset, key).equals(whole)
    assert world.condition(dataset, key) is Condition.AVAILABLE
    assert verify(world.lake, dataset, key) == verify(LakeStore(world.lake.url), dataset, key)
    again = verify(world.lake, dataset, key)
    assert again is not None
    assert not again.harmed
    pages = max(-(-rows // 1_000), len(spans))  # of one moment at either end: both are asked for
    # and a row each for the borders of a span and what is before it
    assert asked <= pages + 3 * len(spans), "no more than the pages that hold it"


def test_values_that_were_changed_make_all_of_it_doubtful(filled: Filled) -> None:
    filled.copy()
    world, (dataset, key) = filled.world, PARTS[0]
    path = world.lake.path(dataset, key)
    table = pq.read_table(path, partitioning=None)
    volume = table["quote_volume"].to_numpy().copy()
    volume[7] = np.nextafter(volume[7], np.inf)
    at = table.schema.get_field_index("quote_volume")
    rewritten(path, table.set_column(at, "quote_volume", pa.array(volume)))
    found = verify(world.lake, dataset, key)
    assert found is not None
    (harmed,) = found.harmed
    assert (harmed.harm, harmed.spans) == (Harm.CHANGED, (partition_span(dataset.grain, key),))
    repair(world, dataset, key, list(harmed.spans))
    assert world.stored(dataset, key).equals(world.truth(dataset, key))


def test_a_file_that_is_none_any_more_is_asked_for_whole_and_kept(filled: Filled) -> None:
    folder = filled.copy()
    world, (dataset, key) = filled.world, PARTS[2]
    path = Path(world.lake.path(dataset, key))
    path.write_bytes(path.read_bytes()[:-100])
    found = verify(world.lake, dataset, key)
    assert found is not None
    (harmed,) = found.harmed
    assert harmed.harm is Harm.UNREADABLE
    repair(world, dataset, key, list(harmed.spans))
    assert world.stored(dataset, key).equals(world.truth(dataset, key))
    assert [one.name for one in folder.rglob("_damaged")] == ["_damaged"]


def test_a_byte_that_flipped_loses_its_row_group_only(filled: Filled) -> None:
    filled.copy()
    world, (dataset, key) = filled.world, PARTS[1]
    path = Path(world.lake.path(dataset, key))
    body = bytearray(path.read_bytes())
    body[len(body) // 3] ^= 0xFF
    path.write_bytes(bytes(body))
    found = verify(world.lake, dataset, key)
    assert found is not None
    assert {one.harm for one in found.harmed} == {Harm.UNREADABLE}
    repair(world, dataset, key, union(part for one in found.harmed for part in one.spans))
    assert world.stored(dataset, key).equals(world.truth(dataset, key))


def test_r4_the_file_of_another_partition_is_wrong_and_none_of_its_rows_stay(filled: Filled) -> None:
    """36c92f8: nothing was wrong with it, exit code 0; mended, its rows were kept as those of the other."""
    lake = LakeStore(filled.copy())
    dataset, key = PARTS[1]
    other = Dataset.parse(str(dataset).replace("BTC", "ETH"))
    strange = Path(lake.path(other, key))
    strange.parent.mkdir(parents=True)
    shutil.copyfile(lake.path(dataset, key), strange)
    verified = verify(lake, other, key)
    assert verified
    (harmed,) = verified.harmed
    assert (harmed.harm, harmed.said) == (Harm.WRONG, f"it holds {dataset}/{key}")
    assert harmed.spans == (partition_span(other.grain, key),)
    lake.mend(other, key, harmed.spans, keep=True)
    state = lake.state(other, key)
    assert state
    assert (state.rows, state.ledger.covered()) == (0, [])
