"""What was lost at a time that nobody knows: nothing is claimed of before that."""

import polars as pl
import pytest

from dccd_core.adapter.frames import TaggedRows, live_trades
from dccd_core.adapter.live import Channel, DecodedBatch, Topic, Word
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import SECOND, ZERO, Us
from dccd_core.stream.claim import LATENESS, Moment
from dccd_core.stream.intake import Intake
from dccd_core.stream.trades import TradeTopic, summarize
from dccd_core.stream.venuetime import VenueTime
from dccd_core.stream.wanted import Seen, Wanted
from dccd_core.stream.windows import Windows
from dccd_core.tables import DataType

T = 1_700_000_000
NUMBERED = Channel(docs="", consecutive=True)
BEATING = Channel(docs="", beats=Us(15 * SECOND))


def s(seconds: float) -> Us:
    return Us(round(seconds * SECOND))


def at(seconds: float) -> Moment:
    """The venue's clock and our steady one show the same."""
    return Moment(s(seconds), s(seconds))


def rows(*trades: tuple[float, int]) -> pl.DataFrame:
    """Return trades: second and id."""
    frames = TaggedRows[int]()
    for _, number in trades:
        frames.add("t", Us(7), number)
    frame = live_trades(
        frames,
        ts=pl.Series([s(second) for second, _ in trades]),
        price=[10.0] * len(trades),
        amount=[2.0] * len(trades),
        trade_id=frames.rows,
    )
    assert frame is not None
    return frame


def take(topic: TradeTopic, now: float, *trades: tuple[float, int]) -> None:
    frame = rows(*trades)
    topic.take(summarize(frame)["t"], lambda: frame, at(now))


def begun(channel: Channel) -> TradeTopic:
    topic = TradeTopic(channel, ZERO)
    topic.accept(at(0))
    take(topic, 10, (9, 1), (10, 2))
    return topic


def test_after_something_was_lost_nothing_is_claimed_of_before_that() -> None:
    """Trades do not come in order everywhere: an earlier one does not vouch for what was lost before it."""
    topic = begun(BEATING)
    topic.spoil("lost")
    topic.lose_until(s(20))
    take(topic, 21, (18, 8), (21, 9))
    assert topic.claim.began == s(20)
    take(topic, 30, (30, 10))
    assert (topic.claim.began, topic.claim.reached) == (s(20), s(30) - LATENESS)


def test_nor_does_a_word_of_before_it() -> None:
    topic = begun(BEATING)
    topic.spoil("lost")
    topic.lose_until(s(20))
    topic.word(Word("t", s(19.5)), at(20))
    assert topic.claim.began == s(20)


def test_but_all_of_it_once_it_was_agreed_to_anew() -> None:
    topic = begun(BEATING)
    topic.spoil("lost")
    topic.lose_until(s(20))
    topic.accept(at(21))
    take(topic, 22, (12, 3), (19, 8))
    assert topic.claim.began == s(12) + 1


@pytest.mark.parametrize(("channel", "ended"), [(BEATING, True), (NUMBERED, False)])
@pytest.mark.parametrize("second", [4_000, -T])
def test_l5_a_trade_that_is_kept_aside_is_missing_from_what_is_claimed(
    channel: Channel, second: int, *, ended: bool
) -> None:
    """Nobody knows when it was; where ids follow one another, its own shows that it is missing."""
    dataset = Dataset("x", Symbol.parse("BTC/USDT"), DataType.TRADES)
    time = VenueTime(s(T), s(0))
    time.tell(s(T), s(0))
    one = Intake({dataset: Seen()}, time, Windows())
    one.add("t", Wanted(dataset, Topic(DataType.TRADES, "BTC"), channel), s(0))
    one.accept("t", s(0))
    one.receive(DecodedBatch(rows((T + 9, 1), (T + 10, 2))), s(T + 10), s(10))
    list(one.batches(s(10)))
    one.receive(DecodedBatch(rows((T + second, 3))), s(T + 11), s(11))
    found = dict(one.batches(s(11)))
    said = [mark.reason for _, batch in found.items() for mark in batch.notes.marks if not mark.began]
    assert [aside.rows.height for aside in one.misplaced] == [1]
    assert said == (["something told a time that cannot be"] if ended else [])
