"""Rounds through a lake: several at once, stopped and gone on with."""

from pathlib import Path

import pytest

from dccd_core.domain.timespan import DAY, Us, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.answer.verifying import Part, Rounds, parts_of, read_again, sample
from tests.dccd_pipeline.held import HOURS, bars, hold, whole

NOW = parse_time("2026-11-29")
YEARS = [str(year) for year in range(2018, 2026)]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LakeStore:
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    lake = LakeStore(tmp_path / "lake")
    for year in YEARS:
        hold(lake, HOURS, year, bars(whole(HOURS, year)[:3]))
    return lake


def test_all_of_it_is_read_and_the_round_ends(lake: LakeStore) -> None:
    parts, seen = parts_of(lake, [HOURS]), list[Part]()
    found = list(read_again(lake, parts, Rounds.of(lake), NOW, seen.append))
    assert sorted(one.key for one in found) == YEARS == sorted(key for _, key in seen)
    assert not Rounds.of(lake).file.exists()


def test_a_round_that_was_stopped_goes_on_for_a_day(lake: LakeStore) -> None:
    parts = parts_of(lake, [HOURS])
    stopped = read_again(lake, parts, Rounds.of(lake), NOW, id)
    first = [next(stopped).key for _ in range(3)]
    stopped.close()
    later = Us(NOW + DAY - 1)
    rest = [one.key for one in read_again(lake, parts, Rounds.of(lake), later, id)]
    assert sorted([*first, *rest]) == YEARS
    assert len(list(read_again(lake, parts, Rounds.of(lake), Us(NOW + DAY), id))) == len(YEARS)


def test_r2_what_was_changed_since_is_read_again_when_the_round_goes_on(lake: LakeStore) -> None:
    """36c92f8: it counted as read, by its name, for a day: damage in the meantime went unseen."""
    parts = parts_of(lake, [HOURS])
    stopped = read_again(lake, parts, Rounds.of(lake), NOW, id)
    done = [next(stopped).key for _ in range(len(parts) - 1)]
    stopped.close()
    file = Path(lake.path(HOURS, done[0]))
    file.write_bytes(file.read_bytes()[:-9])
    again = {one.key: bool(one.harmed) for one in read_again(lake, parts, Rounds.of(lake), NOW, id)}
    assert again[done[0]]
    assert len(again) < len(parts)


def test_r2_a_round_through_a_part_ends_no_other(lake: LakeStore) -> None:
    """36c92f8: `dccd verify binance` in between, and the whole round began anew."""
    parts = parts_of(lake, [HOURS])
    stopped = read_again(lake, parts, Rounds.of(lake), NOW, id)
    done = {next(stopped).key for _ in range(4)}
    stopped.close()
    others = [part for part in parts if part[1] not in done]
    assert len(list(read_again(lake, others[:1], Rounds.of(lake), NOW, id))) == 1
    left = {one.key for one in read_again(lake, parts, Rounds.of(lake), NOW, id)}
    assert not left & done


def test_r2_a_round_that_a_clock_ahead_began_does_not_go_on_for_years(lake: LakeStore) -> None:
    """36c92f8: until the clock got there, what it had read was never read again."""
    parts = parts_of(lake, [HOURS])
    stopped = read_again(lake, parts, Rounds.of(lake), Us(NOW + 1_000 * DAY), id)
    next(stopped)
    stopped.close()
    assert len(list(read_again(lake, parts, Rounds.of(lake), NOW, id))) == len(YEARS)


def test_what_is_wrong_is_read_again_when_the_round_goes_on(lake: LakeStore) -> None:
    Path(lake.path(HOURS, "2020")).write_bytes(b"nothing that could be read, but not short either")
    parts = parts_of(lake, [HOURS])
    stopped = read_again(lake, parts, Rounds.of(lake), NOW, id)
    for _ in range(len(parts) - 1):
        next(stopped)
    stopped.close()
    again = read_again(lake, parts, Rounds.of(lake), NOW, id)
    assert "2020" in {one.key for one in again if one.harmed}


def test_a_sample_is_about_its_share_another_each_day_and_never_nothing() -> None:
    parts = [(HOURS, str(year)) for year in range(1_000, 3_000)]
    first, second = sample(parts, 0.05, 1), sample(parts, 0.05, 2)
    assert 60 < len(first) < 140
    assert first == sample(parts, 0.05, 1) != second
    assert sample(parts[:1], 0.000001, 1) == parts[:1]
