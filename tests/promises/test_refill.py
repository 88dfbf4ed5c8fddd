"""After each reconnect what was missed is there within ten seconds, or the ledger says why not yet."""

from bisect import bisect_left
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import pytest

from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange, Us, union
from dccd_core.lake.live.coverage import Notes
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind
from tests.promises.attack import OPEN
from tests.promises.scene import BUSY, Played, Scene, Stage, at_s, datasets, played

RECONNECTS: Final = 100
WITHIN_S: Final = 10.0
SLOW: Final = 15_000
"""Trades a day: one in about six seconds."""
QUIET: Final = 1_500
"""One in a minute."""
FOR_EVER: Final = Us(2**62)


@dataclass(frozen=True)
class Took:
    """How long after a reconnect what a dataset missed was ``filled``, or ``named`` with a reason."""

    dataset: Dataset
    opened: float
    filled: float
    named: float
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.dataset}, connected at {self.opened:.1f} s: filled after {self.filled:.1f} s"


class Said:
    """What is said of one dataset so far: what of its time is there, and of what it is named why not."""

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._began: dict[str, Us] = {}
        self.there: list[TimeRange] = []
        self.reasons: list[tuple[TimeRange, str]] = []

    def hear(self, notes: Notes) -> None:
        for mark in notes.marks:
            if mark.symbol == self._symbol and mark.began:
                self._began[mark.symbol] = mark.at
            elif mark.symbol == self._symbol:
                self._cover(self._began.pop(mark.symbol, mark.at), mark.at)
        if self._symbol in notes.reached and (began := self._began.get(self._symbol)) is not None:
            self._cover(began, notes.reached[self._symbol])
        for piece in notes.pieces:
            if piece.symbol == self._symbol and piece.reason:
                self.reasons.append((piece.span, piece.reason))
            elif piece.symbol == self._symbol:
                self._cover(piece.start, piece.end)

    def lacks(self, span: TimeRange) -> list[TimeRange]:
        """Return what of ``span`` lies before what comes now, and is not there."""
        began = self._began.get(self._symbol)
        comes = [] if began is None else [TimeRange(began, FOR_EVER)]
        return span.minus(union([*self.there, *comes]))

    def _cover(self, start: Us, end: Us) -> None:
        if start < end:
            self.there = union([*self.there, TimeRange(start, end)])


def took(p: Played, dataset: Dataset, cuts: list[float]) -> Iterator[Took]:
    """Say of each reconnect how long it took until all was there that was missed until then."""
    told = [(at, notes) for at, data_type, notes in p.written if data_type is dataset.data_type]
    times, opened = [at for at, _ in told], sorted(p.opened)
    before, n = Said(str(dataset.symbol)), 0
    for cut in cuts:
        at = opened[bisect_left(opened, cut)]
        start = bisect_left(times, at)
        for _, notes in told[n:start]:
            before.hear(notes)
        n = start
        missed = TimeRange(at_s(cut - 3), at_s(at))
        if dataset.span:  # a bar that is not over yet is not missed yet
            missed = TimeRange(bar_open(missed.start, dataset.span), bar_open(missed.end, dataset.span))
        if missed.start < missed.end:
            yield Took(dataset, at, *waited(deepcopy(before), missed, at, told[start:]))


def waited(
    said: Said, missed: TimeRange, at: float, told: list[tuple[float, Notes]]
) -> tuple[float, float, str]:
    """Return how long after ``at`` what was missed is there, or named; and the reason."""
    named, reason = float("inf"), ""
    if not said.lacks(missed):
        return 0.0, named, reason
    for when, notes in told:
        said.hear(notes)
        lacking = said.lacks(missed)
        if not lacking:
            return when - at, named, reason
        whys = [span for span, _ in said.reasons]
        if named == float("inf") and not any(part.minus(whys) for part in lacking):
            named, reason = when - at, said.reasons[-1][1]
    return float("inf"), named, reason


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def close(stage: Stage) -> None:
    stage.box.connections.disconnect(1001)


def cuts_of(exchange: str) -> tuple[list[float], list[StreamFault]]:
    """Return when connections are cut; after some of them the venue takes no new one for a while."""
    chance, at = Random(f"{exchange} reconnects"), 100.0
    found, refused = list[float](), list[StreamFault]()
    for _ in range(RECONNECTS):
        found.append(at)
        outage = chance.choice((0.0, 0.0, 3.0, 20.0))
        if outage:
            between = (at_s(at), at_s(at + outage))
            refused.append(StreamFault(kind=StreamFaultKind.REFUSE, between=between, status=503))
        at += outage + chance.uniform(30, 60)
    return found, refused


@pytest.mark.slow
@pytest.mark.parametrize("exchange", OPEN)
def test_what_a_reconnect_missed_is_there_within_ten_seconds_or_its_reason(
    exchange: str, tmp_path: Path
) -> None:
    own = [one for one in datasets(exchange, "BTC", "ETH", "DOGE") if one.data_type is not DataType.ORDERBOOK]
    symbols = list(dict.fromkeys(str(one.symbol) for one in own))
    density = dict(zip(symbols, (BUSY // 2, SLOW, QUIET), strict=True))
    cuts, refused = cuts_of(exchange)
    scene = Scene(tuple(own), refused, cuts[-1] + 120, acts=[(cut, close) for cut in cuts], density=density)
    p = played(scene, tmp_path)
    assert not p.wrongs(), "\n".join(map(str, p.wrongs()))
    for one in own:
        found = list(took(p, one, cuts))
        assert len(found) >= (5 if one.span else RECONNECTS)
        late = [each for each in found if each.filled > WITHIN_S]
        print(line(one, density[str(one.symbol)], found, late))  # noqa: T201 -- `pytest -s` shows it
        assert [str(each) for each in late if each.named > WITHIN_S] == []


def line(one: Dataset, density: int, found: list[Took], late: list[Took]) -> str:
    """Say how it was: a line of the table in the closing note."""
    p50, p99, most = (quantile([each.filled for each in found], share) for share in (0.5, 0.99, 1))
    whys = ", ".join(sorted({each.reason for each in late})[:2])
    return (
        f"{one.exchange:8} {one.data_type:6} {density:7}/day {len(found):3} reconnects: "
        f"p50 {p50:4.1f} p99 {p99:4.1f} max {most:4.1f} s, later {len(late):2} {whys}"
    )


@pytest.mark.parametrize("exchange", OPEN)
def test_a_start_asks_once_for_the_quiet_bars_of_each_dataset(exchange: str, tmp_path: Path) -> None:
    """Bitfinex begins with a hundred bars without the quiet ones: each gap was asked for alone."""
    own = [one for one in datasets(exchange, "BTC", "ETH") if one.span]
    density = {str(one.symbol): QUIET for one in own}
    p = played(Scene(tuple(own), [], 100, density=density), tmp_path)
    assert not p.wrongs(), "\n".join(map(str, p.wrongs()))
    asked = p.asked_for(r"candle|kline|ohlc|OHLC|history-candles", 70)
    assert len(asked) <= len(own) + (1 if exchange == "kraken" else 0)  # its silences are asked about, too
