"""What a connection brought, and from when to when that is all there is: told by the venue's own times."""

from collections.abc import Sequence

import polars as pl

from dccd_core.adapter.frames import TaggedRows, live_bars, live_trades
from dccd_core.adapter.live import BookChange, Channel, DecodedBatch, Topic, Word
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MINUTE, SECOND, ZERO, TimeRange, Us
from dccd_core.stream.claim import PAUSED
from dccd_core.stream.intake import Batch, Intake
from dccd_core.stream.venuetime import VenueTime
from dccd_core.stream.wanted import Kind, Seen, Wanted
from dccd_core.stream.windows import Windows
from dccd_core.tables import TIME, DataType, empty

TRADES: Kind = (DataType.TRADES, None)
BARS: Kind = (DataType.OHLC, MINUTE)
BOOKS: Kind = (DataType.ORDERBOOK, None)
PLAIN = Channel(docs="")
BEATING = Channel(docs="", beats=Us(15 * SECOND))
BAD = [(b"x", "no JSON")]
SKEW = 2 * SECOND


def wanted(
    symbol: str, kind: Kind = TRADES, channel: Channel = PLAIN, contract: float | None = None
) -> Wanted:
    data_type, span = kind
    one = Symbol.parse(symbol)
    dataset = Dataset("x", one, data_type, span)
    topic = Topic(data_type, symbol, one.market_type, span)
    return Wanted(dataset, topic, channel, Us(5 * SECOND), contract, depth=1, every=SECOND)


class Connection:
    """A recording, on a clock that shows the newest time the venue told."""

    def __init__(self, seen: dict[Dataset, Seen], **topics: Sequence[Wanted]) -> None:
        self.windows = Windows()
        self.steady = ZERO
        self.intake = Intake(seen, VenueTime(ZERO, ZERO), self.windows)
        for name, ones in topics.items():
            for one in ones:
                self.intake.add(name, one, self.steady)

    def accept(self, *names: str) -> None:
        for name in names:
            self.intake.accept(name, self.steady)

    def receive(self, batch: DecodedBatch, received: Us = ZERO, *concerned: str) -> None:
        self.steady = max(self.steady, batch.at or ZERO)
        self.intake.receive(batch, received, self.steady, frozenset(concerned))

    def wait(self, seconds: int) -> None:
        """Let time pass in which nothing comes."""
        self.steady = Us(self.steady + seconds * SECOND)

    def end(self, reason: str) -> None:
        self.intake.end(reason, self.steady)

    def batches(self) -> dict[Kind, Batch]:
        return dict(self.intake.batches(self.steady))

    def taken(self, kind: Kind) -> Batch:
        return self.batches()[kind]

    def lost_books(self) -> dict[str, str]:
        return self.intake.lost_books()


def connection(**topics: Wanted | Sequence[Wanted]) -> Connection:
    by_name = {name: [one] if isinstance(one, Wanted) else one for name, one in topics.items()}
    return Connection({one.dataset: Seen() for ones in by_name.values() for one in ones}, **by_name)


def trades(*rows: tuple[str, int, int], at: int | None = None) -> DecodedBatch:
    """Return trades: topic, second, id; the price is 10, the amount 2."""
    came = TaggedRows[int]()
    for topic, _, number in rows:
        came.add(topic, Us(7), number)
    frame = live_trades(
        came,
        ts=pl.Series([second * SECOND for _, second, _ in rows]),
        price=[10.0] * len(rows),
        amount=[2.0] * len(rows),
        trade_id=came.rows,
    )
    newest = max([second for _, second, _ in rows], default=0) if at is None else at
    return DecodedBatch(frame, at=Us(newest * SECOND))


def marks(batch: Batch) -> list[tuple[str, int, bool]]:
    return [(mark.symbol, mark.at, mark.began) for mark in batch.notes.marks]


def reached(one: Connection, kind: Kind = TRADES, symbol: str = "A/USD") -> int | None:
    batch = one.batches().get(kind)
    return batch.notes.reached.get(symbol) if batch else None


class TestTrades:
    def test_they_are_complete_from_right_after_the_first_one(self) -> None:
        one = connection(a=wanted("A/USD"))
        one.accept("a")
        one.receive(trades(("a", 10, 1), ("a", 11, 2)))
        batch = one.taken(TRADES)
        assert marks(batch) == [
            ("A/USD", 10 * SECOND + 1, True)
        ]  # others of that moment may have been missed
        assert batch.rows.select("symbol", "trade_id", pl.col("received").to_physical()).rows() == [
            ("A/USD", "1", 7),
            ("A/USD", "2", 7),
        ]
        assert batch.notes.reached == {"A/USD": 10 * SECOND + 1}  # others may come later

    def test_what_comes_before_the_venue_agreed_is_kept_but_proves_nothing(self) -> None:
        one = connection(a=wanted("A/USD"))
        one.receive(trades(("a", 10, 1)))
        batch = one.taken(TRADES)
        assert (batch.rows.height, batch.notes.marks, batch.notes.reached) == (1, [], {})

    def test_l1_a_neighbour_proves_nothing(self) -> None:
        one = connection(a=wanted("A/USD", TRADES, BEATING), b=wanted("B/USD", TRADES, BEATING))
        one.accept("a", "b")
        one.receive(trades(("a", 101, 1), ("b", 101, 7)))
        for second in range(102, 140):
            one.receive(trades(("a", second, second)))
        assert one.taken(TRADES).notes.reached == {"A/USD": 139 * SECOND - SKEW, "B/USD": 101 * SECOND + 1}

    def test_l1_a_topic_that_is_silent_for_long_is_asked_about(self) -> None:
        numbered = Channel(docs="", consecutive=True)
        one = connection(a=wanted("A/USD", TRADES, numbered), b=wanted("B/USD", TRADES, numbered))
        one.wait(100)
        one.accept("a", "b")
        for second in range(100, 130):
            one.receive(trades(("a", second, second), ("b", second, 1_000 + second)))
        one.batches()
        for second in range(130, 165):
            one.receive(trades(("a", second, second)))
        one.batches()
        [question] = one.intake.questions(one.steady)
        assert (question.name, question.since) == ("b", 129 * SECOND)
        nothing = empty(DataType.TRADES)
        until = TimeRange(question.since, Us(155 * SECOND))
        assert one.intake.answer(question, nothing, until, one.steady) is None
        assert reached(one, symbol="B/USD") == 155 * SECOND
        later = pl.DataFrame({"ts": [156 * SECOND], "price": [1.0], "amount": [1.0], "trade_id": ["1130"]})
        later = pl.concat([nothing, later.cast({"ts": TIME})], how="diagonal")
        dead = one.intake.answer(question, later, TimeRange(until.end, Us(158 * SECOND)), one.steady)
        assert dead == "it was silent, although something was traded at 1970-01-01T00:02:36Z"
        assert marks(one.taken(TRADES)) == [("B/USD", 155 * SECOND, False)]

    def test_l5_a_time_that_has_not_come_is_kept_aside_and_claims_nothing(self) -> None:
        one = connection(a=wanted("A/USD"))
        one.intake._time.tell(Us(99 * SECOND), Us(100 * SECOND))  # pyright: ignore[reportPrivateUsage]
        one.steady = Us(100 * SECOND)
        one.accept("a")
        batch = trades(("a", 100, 1), ("a", 86_500, 2), ("a", 101, 3))
        assert batch.trades is not None
        came = batch.trades.with_columns(received=pl.Series([7, 8, 9], dtype=pl.Int64))
        one.intake.receive(DecodedBatch(came, at=batch.at), ZERO, one.steady)
        assert one.taken(TRADES).rows["trade_id"].to_list() == ["1", "3"]
        assert reached(one) is None  # what is misplaced was at some time, nobody knows at which
        [aside] = one.intake.misplaced
        assert aside.rows["trade_id"].to_list() == ["2"]
        assert "before its time" in aside.rows["reason"][0]

    def test_l5_nothing_is_believed_of_a_message_that_tells_a_time_which_has_not_come(self) -> None:
        """Bitfinex 39 of the attack: a subscription's thirty first trades, all of them 61 s too late."""
        one = connection(a=wanted("A/USD", TRADES, BEATING), b=wanted("B/USD", TRADES, BEATING))
        one.intake._time.tell(Us(99 * SECOND), Us(100 * SECOND))  # pyright: ignore[reportPrivateUsage]
        one.steady = Us(100 * SECOND)
        one.accept("a", "b")
        one.intake.receive(trades(("a", 70, 1), ("b", 90, 2), ("a", 95, 3), ("a", 155, 4)), ZERO, one.steady)
        assert one.taken(TRADES).rows["trade_id"].to_list() == ["2"]
        assert reached(one) is None
        [aside] = one.intake.misplaced
        assert aside.rows["trade_id"].to_list() == ["1", "3", "4"]
        assert ["in one message" in why for why in aside.rows["reason"]] == [True, True, False]

    def test_one_that_is_too_old_may_stand_beside_good_ones(self) -> None:
        one = connection(a=wanted("A/USD"))
        one.steady = Us(4_000 * DAY)
        now = one.steady // SECOND
        one.intake._time.tell(one.steady, one.steady)  # pyright: ignore[reportPrivateUsage]
        one.accept("a")
        one.intake.receive(trades(("a", 0, 1), ("a", now, 2)), ZERO, one.steady)
        assert one.taken(TRADES).rows["trade_id"].to_list() == ["2"]

    def test_a_wrong_clock_of_ours_claims_nothing(self) -> None:
        one = connection(a=wanted("A/USD"))
        one.accept("a")
        one.receive(trades(("a", 10, 1)), Us(10**18))
        assert reached(one) == 10 * SECOND + 1

    def test_the_end_is_where_the_venues_time_was(self) -> None:
        one = connection(a=wanted("A/USD"))
        one.accept("a")
        one.receive(trades(("a", 10, 1), ("a", 20, 2)))
        one.taken(TRADES)
        one.end("gone")
        batch = one.taken(TRADES)
        assert marks(batch) == [("A/USD", 20 * SECOND - SKEW, False)]
        assert batch.notes.marks[0].reason == "gone"

    def test_it_is_complete_up_to_before_a_bad_message_and_again_after_its_batch(self) -> None:
        """Of what came in one batch with the bad message nobody knows which row came before it."""
        one = connection(a=wanted("A/USD", TRADES, BEATING))
        one.accept("a")
        one.receive(trades(("a", 10, 1), ("a", 20, 2)))
        one.taken(TRADES)
        one.receive(trades(("a", 21, 3)))
        spoilt = trades(("a", 22, 4), ("a", 30, 6))
        spoilt.bad = BAD
        one.receive(spoilt)
        one.receive(trades(("a", 31, 7)))
        batch = one.taken(TRADES)
        assert marks(batch) == [("A/USD", 21 * SECOND - SKEW, False), ("A/USD", 31 * SECOND + 1, True)]
        assert batch.rows["trade_id"].to_list() == ["3", "4", "6", "7"]

    def test_what_one_topic_lost_others_may_have_lost_where_nothing_counts_them(self) -> None:
        numbered = wanted("B/USD", TRADES, Channel(docs="", consecutive=True))
        one = connection(a=wanted("A/USD"), b=numbered)
        one.accept("a", "b")
        for second in range(10, 20):
            one.receive(trades(("a", second, second), ("b", second, 100 + second)))
        one.batches()
        one.receive(trades(("a", 26, 26), ("b", 26, 126)))  # b lacks six, and a who knows
        one.batches()
        one.wait(5)
        one.intake.look(one.steady)
        one.batches()
        one.end("gone")
        batch = one.taken(TRADES)
        assert ("A/USD", 17 * SECOND, False) in marks(batch)
        assert {mark.reason for mark in batch.notes.marks if mark.symbol == "A/USD" and not mark.began} == {
            "of B/USD something was lost: trades 120 to 125 did not come"
        }

    def test_nothing_begins_with_rows_from_before_a_bad_message(self) -> None:
        one = connection(a=wanted("A/USD"))
        one.accept("a")
        spoilt = trades(("a", 10, 1))
        spoilt.bad = BAD
        one.receive(spoilt)
        assert one.taken(TRADES).notes.marks == []

    def test_a_new_segment_says_again_from_where_it_is_complete(self) -> None:
        one = connection(a=wanted("A/USD", TRADES, BEATING))
        one.accept("a")
        one.receive(trades(("a", 10, 1), ("a", 20, 2)))
        batch = one.taken(TRADES)
        assert [(mark.at, mark.began) for mark in batch.standing] == [(20 * SECOND - SKEW, True)]

    def test_contracts_become_amounts_of_the_base(self) -> None:
        linear, inverse = wanted("A/USD:USD", contract=0.01), wanted("A/USD:A", contract=100.0)
        one = connection(a=linear, b=inverse, c=wanted("A/USD"))
        one.receive(trades(("a", 1, 1), ("b", 1, 1), ("c", 1, 1)))
        batch = one.taken(TRADES)
        assert batch.rows["amount"].to_list() == [0.02, 20.0, 2.0]

    def test_how_it_is_going(self) -> None:
        seen = {wanted("A/USD").dataset: Seen()}
        one = Connection(seen, a=[wanted("A/USD")])
        one.accept("a")
        one.receive(trades(("a", 10, 1), ("a", 20, 2)))
        one.taken(TRADES)
        assert seen[wanted("A/USD").dataset] == Seen(
            messages=2, rows=2, last=Us(7), lag=Us(7 - 20 * SECOND), price=10.0
        )
        one.end("gone")
        assert seen[wanted("A/USD").dataset].invalid == 1
        assert seen[wanted("A/USD").dataset].invalid_since == 20 * SECOND - SKEW


class Bar:
    open = high = low = close = 1.0


def bars(*rows: tuple[int, bool | None], at: int) -> DecodedBatch:
    came = TaggedRows[Bar]()
    for _ in rows:
        came.add("a", Us(7), Bar())
    opens = pl.Series([minute * MINUTE for minute, _ in rows])
    return DecodedBatch(
        bars=live_bars(came, [flag for _, flag in rows], ts=opens, volume=[1.0] * len(rows)), at=Us(at)
    )


class TestBars:
    def test_they_are_complete_from_the_one_that_was_running(self) -> None:
        one = connection(a=wanted("A/USD", BARS))
        one.accept("a")
        one.receive(bars((3, False), at=3 * MINUTE + 30 * SECOND))
        batch = one.taken(BARS)
        assert marks(batch) == [("A/USD", 3 * MINUTE, True)]
        one.receive(bars((3, True), (4, False), at=4 * MINUTE + 5 * SECOND))
        batch = one.taken(BARS)
        assert batch.rows["ts"].cast(pl.Int64).to_list() == [3 * MINUTE]
        assert batch.notes.reached == {"A/USD": 4 * MINUTE}

    def test_bars_built_from_the_trades_of_the_same_topic(self) -> None:
        built = Channel(docs="", from_trades=True, beats=Us(MINUTE))
        one = connection(a=[wanted("A/USD"), wanted("A/USD", BARS, built)])
        one.accept("a")
        one.receive(trades(("a", 10, 1), ("a", 70, 2), ("a", 126, 3)))
        found = one.batches()
        assert found[TRADES].rows.height == 3
        assert found[BARS].rows["ts"].cast(pl.Int64).to_list() == [MINUTE]
        assert marks(found[BARS]) == [("A/USD", MINUTE, True)]
        assert found[BARS].notes.reached == {"A/USD": 2 * MINUTE}

    def test_bars_that_a_bad_message_may_have_spoilt_are_not_built(self) -> None:
        built = Channel(docs="", from_trades=True, beats=Us(MINUTE))
        one = connection(a=[wanted("A/USD", BARS, built)])
        one.accept("a")
        one.receive(trades(("a", 10, 1), ("a", 70, 2), ("a", 126, 3)))
        assert marks(one.taken(BARS)) == [("A/USD", MINUTE, True)]
        spoilt = trades(("a", 130, 5))
        spoilt.bad = BAD
        one.receive(spoilt)
        one.receive(trades(("a", 170, 6), ("a", 198, 7), ("a", 222, 8), ("a", 246, 9)))
        batch = one.taken(BARS)
        assert marks(batch) == [("A/USD", 2 * MINUTE, False), ("A/USD", 3 * MINUTE, True)]
        assert batch.rows["ts"].cast(pl.Int64).to_list() == [3 * MINUTE]

    def test_a_word_that_came_with_a_message_nobody_understood_proves_nothing(self) -> None:
        """It may have come before what was lost."""
        for kind in (TRADES, BARS):
            one = connection(a=wanted("A/USD", kind, Channel(docs="", beats=Us(15 * SECOND))))
            one.accept("a")
            one.receive(DecodedBatch(words=[Word("a", Us(61 * SECOND))], at=Us(61 * SECOND)))
            one.batches()
            word = Word("a", Us(200 * SECOND))
            one.receive(DecodedBatch(words=[word], bad=BAD, at=word.at))
            assert reached(one, kind) is None
            one.receive(DecodedBatch(words=[Word("a", Us(300 * SECOND))], at=Us(300 * SECOND)))
            batch = one.taken(kind)
            begins = 300 * SECOND + (0 if kind is BARS else 1)
            assert marks(batch)[-1:] == [("A/USD", begins, True)]

    def test_a_bar_whose_last_version_may_have_been_lost_is_none(self) -> None:
        """It was held back; the next bar would make it final as it was: REST says what it was."""
        one = connection(a=wanted("A/USD", BARS, Channel(docs="", fills_quiet=True)))
        one.accept("a")
        one.receive(bars((3, None), at=3 * MINUTE + 50 * SECOND))
        one.batches()
        one.receive(DecodedBatch(bad=BAD, at=Us(3 * MINUTE + 55 * SECOND)))
        one.receive(bars((4, None), at=4 * MINUTE + 5 * SECOND))
        batch = one.taken(BARS)
        assert (batch.rows.height, batch.notes.reached) == (0, {"A/USD": 3 * MINUTE})
        one.wait(3)
        [question] = one.intake.questions(one.steady)
        assert question.since == 3 * MINUTE
        told = bars((3, True), at=0).bars
        assert told is not None
        span = TimeRange(question.since, Us(4 * MINUTE))
        shown = told.select(DataType.OHLC.table.schema.names()).with_columns(volume=pl.lit(7.0))
        assert one.intake.answer(question, shown, span, one.steady) is None  # it is alive
        batch = one.taken(BARS)
        assert (batch.rows["volume"].to_list(), batch.notes.reached) == ([7.0], {"A/USD": 4 * MINUTE})

    def test_pushed_and_built_bars_share_a_table(self) -> None:
        built = wanted("B/USD", BARS, Channel(docs="", from_trades=True, beats=Us(MINUTE)))
        one = connection(a=wanted("A/USD", BARS), b=built)
        one.accept("a", "b")
        one.receive(trades(("b", 10, 1), ("b", 70, 2), ("b", 126, 3)))
        one.receive(bars((1, True), at=130 * SECOND))
        batch = one.taken(BARS)
        assert sorted(batch.rows["symbol"].to_list()) == ["A/USD", "B/USD"]

    def test_quiet_bars_lie_between_those_that_came(self) -> None:
        one = connection(a=wanted("A/USD", BARS, Channel(docs="", fills_quiet=True)))
        one.accept("a")
        one.receive(bars((3, None), at=3 * MINUTE + 59 * SECOND))
        one.wait(20)
        one.receive(bars((6, None), at=4 * MINUTE + 25 * SECOND))
        one.receive(bars((7, None), at=4 * MINUTE + 30 * SECOND))
        batch = one.taken(BARS)
        assert batch.rows.sort("ts").select(pl.col("ts").cast(pl.Int64) // MINUTE, "volume").rows() == [
            (3, 1.0),
            (4, 0.0),
            (5, 0.0),
            (6, 1.0),
        ]
        assert batch.notes.reached == {"A/USD": 7 * MINUTE}


class TestLeft:
    def test_a_pause_amid_a_gap_is_a_pause_from_then_on(self) -> None:
        """What was open before is asked for, what the user paused is not."""
        one = connection(a=wanted("A/USD"), b=wanted("B/USD"))
        dataset = wanted("A/USD").dataset
        one.intake._time.tell(Us(99 * SECOND), Us(100 * SECOND))  # pyright: ignore[reportPrivateUsage]
        one.steady = Us(100 * SECOND)
        one.accept("a", "b")
        one.receive(trades(("a", 100, 1), ("a", 105, 2)))
        one.intake.give_up("a", "gone", one.steady)
        one.wait(15)
        one.intake.drop(dataset, PAUSED, one.steady)
        paused = [mark for mark in one.taken(TRADES).notes.marks if mark.reason == PAUSED]
        assert [(mark.symbol, mark.at, mark.began) for mark in paused] == [("A/USD", 120 * SECOND, False)]
        one.wait(100)
        one.intake.add("a", wanted("A/USD"), one.steady)
        one.accept("a")
        one.receive(trades(("a", 230, 9)))
        one.batches()
        again = TimeRange(Us(220 * SECOND), Us(230 * SECOND + 1))  # since then the venue sends it
        assert one.windows.open(dataset) == [TimeRange(Us(103 * SECOND), Us(120 * SECOND)), again]


def change(ms: int, number: int, *, whole: bool = False) -> DecodedBatch:
    at = Us(ms * SECOND // 1_000)
    level = [("10", str(number))]
    return DecodedBatch(books=[BookChange("a", at, level, [("11", "1")], whole, number, number)], at=at)


class TestBooks:
    def test_pictures_and_turns(self) -> None:
        one = connection(a=wanted("A/USD", BOOKS))
        one.accept("a")
        assert one.lost_books() == {"a": "no snapshot yet"}
        for batch in (change(500, 1, whole=True), change(1_500, 2), change(2_500, 3)):
            one.receive(batch, Us(9))
        batch = one.taken(BOOKS)
        assert batch.notes.reached == {"A/USD": 5 * SECOND // 2}
        assert marks(batch) == [("A/USD", SECOND // 2, True)]
        assert batch.rows.select(
            pl.col("ts").cast(pl.Int64), "side", "level", "amount", pl.col("received").to_physical()
        ).rows() == [
            (SECOND, "bid", 0, 1.0, 9),
            (SECOND, "ask", 0, 1.0, 9),
            (2 * SECOND, "bid", 0, 2.0, 9),
            (2 * SECOND, "ask", 0, 1.0, 9),
        ]
        one.receive(change(3_500, 9), Us(9))
        assert one.lost_books() == {"a": "updates 4 to 8 are missing"}
        assert marks(one.taken(BOOKS)) == [("A/USD", 5 * SECOND // 2, False)]

    def test_a_bad_message_leaves_a_book_alone_that_proves_itself(self) -> None:
        one = connection(a=wanted("A/USD", BOOKS))
        one.accept("a")
        one.receive(change(500, 1, whole=True), Us(9))
        one.receive(DecodedBatch(bad=BAD), Us(9))
        assert one.lost_books() == {}

    def test_a_book_that_came_in_one_batch_with_a_bad_message_is_none(self) -> None:
        """Coinbase 71 of the attack: what was lost may have come after the new beginning."""
        one = connection(a=wanted("A/USD", BOOKS), b=wanted("B/USD", BOOKS))
        one.accept("a", "b")
        for name in "ab":
            whole = BookChange(name, None, [("10", "1")], [("11", "1")], whole=True)
            changes = [
                BookChange(name, Us(half * SECOND // 2), [("10", str(half))], []) for half in range(1, 9)
            ]
            one.receive(DecodedBatch(books=[whole, *changes], bad=BAD if name == "a" else []), Us(9), name)
        one.receive(DecodedBatch(books=[BookChange("a", Us(9 * SECOND), [("10", "9")], [])]), Us(9))
        batch = one.taken(BOOKS)
        assert set(batch.rows["symbol"]) == {"B/USD"}
        assert set(batch.notes.reached) == {"B/USD"}
        assert one.lost_books() == {"a": "a message could not be understood"}

    def test_a_bad_message_loses_a_book_that_does_not(self) -> None:
        one = connection(a=wanted("A/USD", BOOKS))
        one.accept("a")
        whole = BookChange("a", Us(1), [("10", "1")], [("11", "1")], whole=True)
        one.receive(DecodedBatch(books=[whole], at=Us(1)), Us(9))
        one.receive(DecodedBatch(bad=BAD), Us(9))
        assert one.lost_books() == {"a": "a message could not be understood"}
