"""A pin never changes, whatever becomes of the lake, and there is no half of one: real processes."""

import random
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dccd_core import Lake
from dccd_core.api.pins import make_pin
from dccd_core.domain.dataset import partition_span
from dccd_core.domain.timespan import SECOND, TimeRange, Us, parse_time
from dccd_core.keep.pins import Pins
from dccd_core.lake.layout import data_path
from dccd_core.lake.partition.ledger import Asked, Source
from tests.dccd_core.lake.samples import TRADES, Witness, live, numbered, record

ROOT = Path(__file__).parents[2]
KEYS = ("2024-01-30", "2024-01-31", "2024-02-01")
NOW = parse_time("2024-03-01")


def rows(key: str, first: int, count: int, price: float) -> pl.DataFrame:
    shift = partition_span(TRADES.grain, key).start - partition_span(TRADES.grain, "2024-01-31").start
    moved = numbered(range(first, first + count)).with_columns(pl.col("ts") + pl.duration(microseconds=shift))
    return moved.with_columns(price=pl.lit(price), trade_id=key.replace("-", "") + pl.col("trade_id"))


def put(lake: Lake, key: str, some: pl.DataFrame, at: int, gone: TimeRange | None = None) -> None:
    with lake.draft(TRADES, key) as draft:
        draft.append(some)
        if gone:
            draft.take_back([(gone, "a test")])
        draft.commit([Asked(partition_span(TRADES.grain, key), Source.REST, Us(at), 1, some.height)], Witness)


def add(lake: Lake, key: str, number: int) -> None:
    put(lake, key, rows(key, number % 50, 5, 1.0), number)


def revise(lake: Lake, key: str, number: int) -> None:
    put(lake, key, rows(key, number % 9, 3, float(number)), number)


def take_back(lake: Lake, key: str, number: int) -> None:
    start = partition_span(TRADES.grain, key).start
    put(lake, key, rows(key, 60, 1, 1.0), number, TimeRange(start, Us(start + 3 * SECOND)))


def refuse(lake: Lake, key: str, number: int) -> None:
    bad = rows(key, number % 9, 1, 1.0).with_columns(reason=pl.lit("a test"))
    lake.quarantine(TRADES, key, bad)
    lake.set_aside(TRADES, key, bad)


def stream(lake: Lake, key: str, number: int) -> None:
    record(lake, live(rows(key, 70 + number % 9, 2, 1.0)), start=number + 1)


def remove(lake: Lake, key: str, _: int) -> None:
    Path(lake.path(TRADES, key)).unlink(missing_ok=True)


def pin_and_drop(lake: Lake, _: str, __: int) -> None:
    lake.make_pin("other")
    Pins(lake).drop("other", NOW)


CHANGES = (add, revise, take_back, refuse, stream, remove, pin_and_drop)


def bytes_of(pin: Path) -> dict[str, str]:
    return {
        str(path.relative_to(pin)): sha256(path.read_bytes()).hexdigest()
        for path in pin.rglob("*")
        if path.is_file()
    }


@settings(max_examples=12)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(CHANGES), st.sampled_from(KEYS), st.integers(2, 1_000)), max_size=12
    )
)
def test_whatever_becomes_of_the_lake_reads_of_the_pin_are_the_same_bytes(
    changes: list[tuple[Callable[[Lake, str, int], None], str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        for key in KEYS:
            put(lake, key, rows(key, 0, 20, 1.0), 1)
        stream(lake, KEYS[-1], 1)
        pin = lake.make_pin("one")
        before, rows_before = bytes_of(Path(pin.url)), lake.read(TRADES)
        states = lake.inventory([TRADES])[TRADES]
        assert rows_before.height == 62

        for change, key, number in [*changes, (add, KEYS[0], 999)]:
            change(lake, key, number)

        again = Lake(folder).pin("one")
        assert bytes_of(Path(pin.url)) == before
        assert_frame_equal(again.read(TRADES), rows_before)
        files = [path for path in Path(pin.url).rglob("*") if path.is_file()]
        assert not [path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o222]
        verdict = Pins(lake).verify("one")
        assert verdict.damage == []
        after = lake.inventory([TRADES])[TRADES]
        differ = {
            key
            for key, was in states.items()
            if key not in after or after[key].content_hash != was.content_hash
        }
        assert differ <= {key for _, key in verdict.changes}
        same = {key for key, was in states.items() if after.get(key) == was and not _in_tail(lake, key)}
        assert not same & {key for _, key in verdict.changes}


def _in_tail(lake: Lake, key: str) -> bool:
    return lake.tail(TRADES).read().tells(TRADES, key)


DIES = """
import os, random, signal, sys
from pathlib import Path
from dccd_core import Lake
from dccd_core.domain.timespan import Us
from dccd_core.keep import views
from dccd_core.keep.pins import Pins

lake, doing, at = Lake(sys.argv[1]), sys.argv[2], int(sys.argv[3])
calls = 0

def counting(real):
    def counted(*a, **k):
        global calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*a, **k)
    return counted

for name in ("link", "fsync", "unlink", "rmdir", "mkdir", "rename", "open"):
    setattr(os, name, counting(getattr(os, name)))
if doing == "pin":
    lake.make_pin("one")
else:
    Pins(lake).drop("one", Us(0))
print(calls)
"""


def child(folder: Path, doing: str, at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", DIES, str(folder), doing, str(at)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("moments", [3, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize("doing", ["pin", "drop"])
def test_killed_at_any_step_there_is_a_whole_pin_or_none(tmp_path: Path, doing: str, moments: int) -> None:
    lake = Lake(tmp_path / "lake")
    for key in KEYS:
        put(lake, key, rows(key, 0, 20, 1.0), 1)
    if doing == "drop":
        lake.make_pin("one")
    whole = child(tmp_path / "lake", doing, 0)
    assert whole.returncode == 0, whole.stderr
    steps = int(whole.stdout)
    assert steps > len(KEYS)
    seen = set[bool]()
    for at in sorted(random.Random(13).sample(range(1, steps + 1), min(steps, moments))):
        _begin(lake, there=doing == "drop")
        killed = child(tmp_path / "lake", doing, at)
        assert killed.returncode == -9, (at, killed.stderr)
        seen.add(there := "one" in Pins(lake).names())
        if there:
            assert Pins(lake).verify("one").damage == []
            assert Pins(lake).verify("one").same == len(KEYS)
        lake.make_pin("next")
        Pins(lake).drop("next", NOW)
        left = [path.name for path in (tmp_path / "lake" / "pins").glob("*")]
        assert left == ["one"] * there
        assert {Path(lake.path(TRADES, key)).stat().st_nlink for key in KEYS} == {1 + there}
    assert seen


def _begin(lake: Lake, *, there: bool) -> None:
    """Have the pin, or have it not."""
    if there != ("one" in Pins(lake).names()):
        if there:
            lake.make_pin("one")
        else:
            Pins(lake).drop("one", NOW)


def test_of_many_processes_that_make_one_pin_one_does(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for key in KEYS:
        put(lake, key, rows(key, 0, 20, 1.0), 1)
    code = "import sys; from dccd_core import Lake; Lake(sys.argv[1]).make_pin('one')"
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code, str(tmp_path)]
    makers = [subprocess.Popen(command, cwd=ROOT, stderr=pipe, text=True) for _ in range(2)]
    said = [maker.communicate(timeout=120)[1] for maker in makers]
    assert sorted(maker.returncode for maker in makers) == [0, 1]
    assert sum("there is a pin one already, and a pin never changes" in text for text in said) == 1
    assert Pins(lake).verify("one").damage == []


def test_a_pin_of_many_partitions_copies_no_byte(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for key in KEYS:
        put(lake, key, rows(key, 0, 20, 1.0), 1)
    pin = make_pin(lake, "one", [], None)
    for part in pin.files:
        assert Path(pin.url, data_path(*part)).samefile(lake.path(*part))
