"""The words for how a stream is."""

import re
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.timespan import HOUR, Us, parse_time
from dccd_core.stream.api import Phase, StreamPlan
from dccd_pipeline.streams import status
from dccd_pipeline.streams.heartbeat import beat_of
from dccd_pipeline.streams.states import said_of, said_of_dataset, said_price
from dccd_pipeline.streams.status import BY_A_USER, GONE, HANGS
from dccd_pipeline.streams.supervisor import ACTIVE
from tests.dccd_pipeline.held import BOOKS, TRADES
from tests.dccd_pipeline.streamed import health

NOW = parse_time("2024-02-01")
ONE, TWO = health(StreamPlan("majors", (TRADES, BOOKS)), NOW).datasets
HEALTH = health(StreamPlan("majors", (TRADES, BOOKS)), NOW)


def said(**known: object) -> str:
    return said_of(beat_of("run", "digest", NOW, replace(HEALTH, **known)))


def test_without_a_word_of_its_recorder_it_gets_ready() -> None:
    assert said_of(beat_of("run", "digest", NOW, None)) == "getting ready"


def test_a_phase_is_said_with_what_there_is_to_say_of_it() -> None:
    assert said() == "recording"
    assert said(phase=Phase.CONNECTING, tries=1) == "connecting (1 try)"
    tried = {"phase": Phase.CONNECTING, "tries": 21, "why": "connection refused"}
    assert said(**tried) == "connecting (21 tries: connection refused)"
    assert said(phase=Phase.PAUSED, why="by a user") == "paused (by a user)"


def test_silence_says_since_when_and_of_what() -> None:
    first = replace(ONE, phase=Phase.SILENT, since=Us(NOW - HOUR))
    second = replace(TWO, phase=Phase.SILENT, since=NOW)
    since = "silent since 2024-01-31T23:00:00Z"
    assert said(phase=Phase.SILENT, datasets=(first, second)) == since
    assert said(phase=Phase.SILENT, datasets=(first, TWO)) == f"{since} (1 of 2 datasets: {TRADES})"
    three = (first, second, TWO)
    assert said(phase=Phase.SILENT, datasets=three, why="2 of 3 datasets") == (
        f"{since} (2 of 3 datasets: {TRADES}, ...)"
    )
    assert said(phase=Phase.SILENT) == "silent"


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({}, "recording"),
        ({"phase": Phase.PAUSED, "invalid_since": NOW}, "paused"),
        ({"phase": Phase.REFUSED, "refused": "no such symbol"}, "refused: no such symbol"),
        ({"phase": Phase.SILENT, "since": NOW}, "silent since 2024-02-01T00:00:00Z"),
        (
            {"phase": Phase.CONNECTING, "invalid_since": NOW},
            "connecting, not recorded since 2024-02-01T00:00:00Z",
        ),
    ],
)
def test_a_dataset_is_said_in_the_same_words(known: dict[str, object], words: str) -> None:
    (row, _) = beat_of("run", "d", NOW, replace(HEALTH, datasets=(replace(ONE, **known), TWO))).datasets
    assert said_of_dataset(row) == words


def test_prices_are_the_last_one_or_the_best_two() -> None:
    rows = (
        ONE,
        replace(ONE, price=0.00000012),
        replace(ONE, bid=1.5, ask=2.0),
        replace(ONE, bid=1.5, price=7.0),
    )
    beat = beat_of("run", "d", NOW, replace(HEALTH, datasets=rows))
    assert [said_price(row) for row in beat.datasets] == ["-", "1.2e-07", "1.5 / 2", "1.5 / -"]


GUIDE = Path(__file__).parents[3] / "docs" / "operations.md"


@pytest.fixture(scope="module")
def listed() -> list[str]:
    """Return what the first column of the table of states names."""
    rows = GUIDE.read_text().partition("### How a stream is")[2].partition("| state |")[2].splitlines()
    columns = [row.split("|")[1] for row in rows if row.startswith("| `")]
    return [word for column in columns for word in re.findall("`([^`]+)`", column)]


@pytest.mark.parametrize("phase", Phase)
def test_the_guide_lists_every_phase_and_what_to_do(phase: Phase, listed: list[str]) -> None:
    assert any(re.match(rf"{phase}( |$)", one) for one in listed), f"{phase} is not in docs/operations.md"


WORDS = (HANGS, GONE, BY_A_USER, "getting ready", "never started", "stopped", "failed")
"""What ``dccd status`` says besides."""
WAITING = [
    one.value.lower()
    for one in ACTIVE
    if one not in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
]


@pytest.mark.parametrize("word", [*WORDS, *WAITING])
def test_the_guide_lists_every_other_state(word: str, listed: list[str]) -> None:
    assert any(re.match(rf"{word}( |:|$)", one) for one in listed), f"{word} is not in docs/operations.md"


def test_no_other_word_is_made_up_in_the_sources() -> None:
    """Who adds a state finds the list here: each that a program reads is one of them."""
    told = set(re.findall(r'return "([a-z ]+)", "', Path(status.__file__).read_text()))
    told |= set(re.findall(r'StreamState\(name, "([a-z ]+)"', Path(status.__file__).read_text()))
    assert told <= {*WORDS, *WAITING, *Phase}
