"""What a connection brought, and from when to when that is all there is: told by the venue's own times."""

from collections.abc import Sequence

import polars as pl

from dccd_core.adapter.frames import Came, live_bars, live_trades
from dccd_core.adapter.live import BookChange, Channel, Heard, Topic
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.datatype import DataType
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, SECOND, Ns
from dccd_core.stream.recording import Batch, Kind, Recording, Seen, Wanted

TRADES: Kind = (DataType.TRADES, None)
BARS: Kind = (DataType.OHLC, MINUTE)
BOOKS: Kind = (DataType.ORDERBOOK, None)
PLAIN = Channel(docs="")
BAD = [(b"x", "no JSON")]
SKEW = 2 * SECOND


def wanted(
    symbol: str, kind: Kind = TRADES, channel: Channel = PLAIN, contract: float | None = None
) -> Wanted:
    data_type, span = kind
    one = Symbol.parse(symbol)
    dataset = Dataset("x", one, data_type, span)
    topic = Topic(data_type, symbol, one.market, span)
    return Wanted(dataset, topic, channel, Ns(5 * SECOND), contract, depth=1, every=SECOND)


def recording(**topics: Wanted | Sequence[Wanted]) -> Recording:
    by_name = {name: [one] if isinstance(one, Wanted) else one for name, one in topics.items()}
    return Recording(by_name, {one.dataset: Seen() for ones in by_name.values() for one in ones})


def trades(*rows: tuple[str, int, int], at: int | None = None) -> Heard:
    """Return trades: topic, second, id; the price is 10, the amount 2."""
    came = Came[int]()
    for topic, _, number in rows:
        came.add(topic, Ns(7), number)
    frame = live_trades(
        came,
        ts=pl.Series([second * SECOND for _, second, _ in rows]),
        price=[10.0] * len(rows),
        amount=[2.0] * len(rows),
        trade_id=came.rows,
    )
    newest = max([second for _, second, _ in rows], default=0) if at is None else at
    return Heard(frame, at=Ns(newest * SECOND))


def taken(one: Recording, kind: Kind) -> Batch | None:
    return dict(one.batches()).get(kind)


def marks(batch: Batch | None) -> list[tuple[str, int, bool]]:
    return [] if batch is None else [(mark.symbol, mark.at, mark.began) for mark in batch.marks]


class TestTrades:
    def test_they_are_complete_from_right_after_the_first_one(self) -> None:
        one = recording(a=wanted("A/USD"))
        one.accept("a")
        one.hear(trades(("a", 10, 1), ("a", 11, 2)), Ns(0))
        batch = taken(one, TRADES)
        assert marks(batch) == [
            ("A/USD", 10 * SECOND + 1, True)
        ]  # others of that moment may have been missed
        assert batch is not None
        assert batch.rows.select("symbol", "trade_id", "received").rows() == [
            ("A/USD", "1", 7),
            ("A/USD", "2", 7),
        ]
        assert batch.until == 11 * SECOND - SKEW

    def test_what_comes_before_the_venue_agreed_is_kept_but_proves_nothing(self) -> None:
        one = recording(a=wanted("A/USD"))
        one.hear(trades(("a", 10, 1)), Ns(0))
        batch = taken(one, TRADES)
        assert batch is not None
        assert (batch.rows.height, batch.marks) == (1, [])

    def test_a_quiet_one_begins_when_the_venues_time_has_passed(self) -> None:
        one = recording(a=wanted("A/USD"), b=wanted("B/USD"))
        one.hear(trades(at=100), Ns(0))
        one.accept("b")
        one.accept("a")
        one.hear(trades(("a", 101, 1)), Ns(0))
        assert marks(taken(one, TRADES)) == [("A/USD", 101 * SECOND + 1, True)]
        assert not one.complete
        one.hear(trades(("a", 103, 2)), Ns(0))
        assert marks(taken(one, TRADES)) == [("B/USD", 100 * SECOND + SKEW, True)]
        assert one.complete

    def test_a_wrong_clock_of_ours_claims_nothing(self) -> None:
        one = recording(a=wanted("A/USD"))
        one.accept("a")
        one.hear(trades(("a", 10, 1)), Ns(10**18))
        batch = taken(one, TRADES)
        assert batch is not None
        assert batch.until == 10 * SECOND - SKEW

    def test_the_end_is_where_the_venues_time_was(self) -> None:
        one = recording(a=wanted("A/USD"))
        one.accept("a")
        one.hear(trades(("a", 10, 1), ("a", 20, 2)), Ns(0))
        taken(one, TRADES)
        one.end("gone")
        batch = taken(one, TRADES)
        assert marks(batch) == [("A/USD", 20 * SECOND - SKEW, False)]
        assert batch is not None
        assert batch.marks[0].reason == "gone"

    def test_it_is_complete_up_to_before_a_bad_message_and_again_after_its_batch(self) -> None:
        """Of what came in one batch with the bad message nobody knows which row came before it."""
        one = recording(a=wanted("A/USD"))
        one.accept("a")
        one.hear(trades(("a", 10, 1), ("a", 20, 2)), Ns(0))
        taken(one, TRADES)
        one.hear(trades(("a", 21, 3)), Ns(0))
        spoilt = trades(("a", 22, 4), ("a", 30, 6))
        spoilt.bad = BAD
        one.hear(spoilt, Ns(0))
        one.hear(trades(("a", 31, 7)), Ns(0))
        batch = taken(one, TRADES)
        assert marks(batch) == [("A/USD", 21 * SECOND - SKEW, False), ("A/USD", 31 * SECOND + 1, True)]
        assert batch is not None
        assert batch.rows["trade_id"].to_list() == ["3", "4", "6", "7"]

    def test_nothing_begins_with_rows_from_before_a_bad_message(self) -> None:
        one = recording(a=wanted("A/USD"))
        one.accept("a")
        spoilt = trades(("a", 10, 1))
        spoilt.bad = BAD
        one.hear(spoilt, Ns(0))
        assert marks(taken(one, TRADES)) == []

    def test_a_new_segment_says_again_from_where_it_is_complete(self) -> None:
        one = recording(a=wanted("A/USD"))
        one.accept("a")
        one.hear(trades(("a", 10, 1), ("a", 20, 2)), Ns(0))
        batch = taken(one, TRADES)
        assert batch is not None
        assert [(mark.at, mark.began) for mark in batch.standing] == [(batch.until, True)]

    def test_contracts_become_amounts_of_the_base(self) -> None:
        linear, inverse = wanted("A/USD:USD", contract=0.01), wanted("A/USD:A", contract=100.0)
        one = recording(a=linear, b=inverse, c=wanted("A/USD"))
        one.hear(trades(("a", 1, 1), ("b", 1, 1), ("c", 1, 1)), Ns(0))
        batch = taken(one, TRADES)
        assert batch is not None
        assert batch.rows["amount"].to_list() == [0.02, 20.0, 2.0]

    def test_how_it_is_going(self) -> None:
        seen = {wanted("A/USD").dataset: Seen()}
        one = Recording({"a": [wanted("A/USD")]}, seen)
        one.accept("a")
        one.hear(trades(("a", 10, 1), ("a", 20, 2)), Ns(0))
        taken(one, TRADES)
        assert seen[wanted("A/USD").dataset] == Seen(messages=2, rows=2, last=Ns(7), lag=Ns(7 - 20 * SECOND))
        one.end("gone")
        assert seen[wanted("A/USD").dataset].invalid == 1
        assert seen[wanted("A/USD").dataset].invalid_since == 20 * SECOND - SKEW


class Bar:
    open = high = low = close = 1.0


def bars(*rows: tuple[int, bool | None], at: int) -> Heard:
    came = Came[Bar]()
    for _ in rows:
        came.add("a", Ns(7), Bar())
    opens = pl.Series([minute * MINUTE for minute, _ in rows])
    return Heard(
        bars=live_bars(came, [flag for _, flag in rows], ts=opens, volume=[1.0] * len(rows)), at=Ns(at)
    )


class TestBars:
    def test_they_are_complete_from_the_one_that_was_running(self) -> None:
        one = recording(a=wanted("A/USD", BARS))
        one.accept("a")
        one.hear(bars((3, False), at=3 * MINUTE + 30 * SECOND), Ns(0))
        batch = taken(one, BARS)
        assert marks(batch) == [("A/USD", 3 * MINUTE, True)]
        one.hear(bars((3, True), (4, False), at=4 * MINUTE + 5 * SECOND), Ns(0))
        batch = taken(one, BARS)
        assert batch is not None
        assert batch.rows["ts"].cast(pl.Int64).to_list() == [3 * MINUTE]
        assert batch.until == 4 * MINUTE

    def test_until_a_bar_is_settled_it_is_not_claimed(self) -> None:
        one = recording(a=wanted("A/USD", BARS))
        one.hear(bars((3, False), at=4 * MINUTE + 5 * SECOND - 1), Ns(0))
        assert one.until(BARS) == 3 * MINUTE

    def test_bars_built_from_the_trades_of_the_same_topic(self) -> None:
        built = Channel(docs="", from_trades=True)
        one = recording(a=[wanted("A/USD"), wanted("A/USD", BARS, built)])
        one.accept("a")
        one.hear(trades(("a", 10, 1), ("a", 70, 2), ("a", 126, 3)), Ns(0))
        found = dict(one.batches())
        assert found[TRADES].rows.height == 3
        assert found[BARS].rows["ts"].cast(pl.Int64).to_list() == [MINUTE]
        assert marks(found[BARS]) == [("A/USD", MINUTE, True)]
        assert found[BARS].until == 2 * MINUTE

    def test_bars_that_a_bad_message_may_have_spoilt_are_not_built(self) -> None:
        built = Channel(docs="", from_trades=True)
        one = recording(a=[wanted("A/USD", BARS, built)])
        one.accept("a")
        one.hear(trades(("a", 10, 1), ("a", 70, 2), ("a", 126, 3)), Ns(0))
        assert marks(taken(one, BARS)) == [("A/USD", MINUTE, True)]
        spoilt = trades(("a", 130, 5))
        spoilt.bad = BAD
        one.hear(spoilt, Ns(0))
        one.hear(trades(("a", 170, 6), ("a", 200, 7), ("a", 246, 8)), Ns(0))
        batch = taken(one, BARS)
        assert marks(batch) == [("A/USD", 2 * MINUTE, False), ("A/USD", 3 * MINUTE, True)]
        assert batch is not None
        assert batch.rows["ts"].cast(pl.Int64).to_list() == [3 * MINUTE]


def change(ms: int, number: int, *, whole: bool = False) -> Heard:
    at = Ns(ms * SECOND // 1_000)
    level = [("10", str(number))]
    return Heard(books=[BookChange("a", at, level, [("11", "1")], whole, number, number)], at=at)


class TestBooks:
    def test_pictures_and_turns(self) -> None:
        one = recording(a=wanted("A/USD", BOOKS))
        one.accept("a")
        assert one.lost_books() == {"a": "no snapshot yet"}
        for heard in (change(500, 1, whole=True), change(1_500, 2), change(2_500, 3)):
            one.hear(heard, Ns(9))
        batch = taken(one, BOOKS)
        assert batch is not None
        assert batch.until is None
        assert marks(batch) == [("A/USD", SECOND // 2, True)]
        assert batch.rows.select(
            pl.col("ts").cast(pl.Int64), "side", "level", "amount", "received"
        ).rows() == [
            (SECOND, "bid", 0, 1.0, 9),
            (SECOND, "ask", 0, 1.0, 9),
            (2 * SECOND, "bid", 0, 2.0, 9),
            (2 * SECOND, "ask", 0, 1.0, 9),
        ]
        one.hear(change(3_500, 9), Ns(9))
        assert one.lost_books() == {"a": "updates 4 to 8 are missing"}
        assert marks(taken(one, BOOKS)) == [("A/USD", 5 * SECOND // 2, False)]

    def test_how_far_it_is_covered_is_written_down_now_and_then_and_when_asked_for(self) -> None:
        one = recording(a=wanted("A/USD", BOOKS))
        one.accept("a")
        one.hear(change(500, 1, whole=True), Ns(9))
        taken(one, BOOKS)
        one.hear(change(10_500, 2), Ns(9))
        assert marks(taken(one, BOOKS)) == []
        one.state()
        told = [("A/USD", 10_500 * SECOND // 1_000, False), ("A/USD", 10_500 * SECOND // 1_000, True)]
        assert marks(taken(one, BOOKS)) == told
        one.hear(change(50_500, 3), Ns(9))
        assert [at for _, at, _ in marks(taken(one, BOOKS))] == [50_500 * SECOND // 1_000] * 2

    def test_a_bad_message_leaves_a_book_alone_that_proves_itself(self) -> None:
        one = recording(a=wanted("A/USD", BOOKS))
        one.accept("a")
        one.hear(change(500, 1, whole=True), Ns(9))
        one.hear(Heard(bad=BAD), Ns(9))
        assert one.lost_books() == {}

    def test_a_bad_message_loses_a_book_that_does_not(self) -> None:
        one = recording(a=wanted("A/USD", BOOKS))
        one.accept("a")
        whole = BookChange("a", Ns(1), [("10", "1")], [("11", "1")], whole=True)
        one.hear(Heard(books=[whole], at=Ns(1)), Ns(9))
        one.hear(Heard(bad=BAD), Ns(9))
        assert one.lost_books() == {"a": "a message could not be understood"}
