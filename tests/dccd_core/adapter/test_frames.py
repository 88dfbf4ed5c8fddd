"""Messages are read in batches, and a bad one spoils no other."""

from collections.abc import Sequence

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.frames import (
    TaggedRows,
    isolating,
    live_bars,
    live_trades,
    read_frames,
    rows_of,
)
from dccd_core.adapter.live import Ack, BookChange, DecodedBatch
from dccd_core.domain.errors import PayloadError
from dccd_core.domain.timespan import Us

READ = msgspec.json.Decoder(list[int])


def _decode(frames: Sequence[bytes], received: Sequence[Us], state: object) -> DecodedBatch:
    numbers = read_frames(READ, frames)
    came = TaggedRows[int]()
    for number, moment in zip(numbers, received, strict=True):
        came.add("t", moment, number)
    trades = live_trades(came, ts=pl.Series(numbers), price=numbers, amount=numbers, trade_id=numbers)
    books = [BookChange("t", Us(number)) for number in numbers]
    said = f"{state}{numbers[0]}" if numbers else None
    newest = Us(max(numbers)) if numbers else None
    return DecodedBatch(trades, None, books, [Ack(id=number) for number in numbers], newest, None, [], said)


@given(st.lists(st.one_of(st.integers(0, 9), st.just("x"), st.just("1},{2"), st.just("1,2")), max_size=12))
def test_every_good_message_counts_and_every_bad_one_is_told(messages: list[int | str]) -> None:
    frames = [str(message).encode() for message in messages]
    good = [message for message in messages if isinstance(message, int)]
    decoded = isolating(_decode)(frames, [Us(n) for n in range(len(frames))], "")
    assert [frame for frame, _ in decoded.bad] == [str(m).encode() for m in messages if isinstance(m, str)]
    assert [book.at for book in decoded.books] == good
    assert [ack.id for ack in decoded.acks] == good
    assert decoded.at == max(good, default=None)
    ids = [] if decoded.trades is None else decoded.trades["trade_id"].to_list()
    assert ids == [str(number) for number in good]
    at = [] if decoded.trades is None else decoded.trades["received"].to_list()
    assert at == [n for n, message in enumerate(messages) if isinstance(message, int)]


def test_what_a_bad_message_says_wrong_is_kept() -> None:
    decoded = isolating(_decode)([b"1", b'{"a":1}'], [Us(0), Us(1)], "")
    assert "Expected `int`" in decoded.bad[0][1]


def test_the_state_passes_through_the_good_parts_in_order() -> None:
    assert isolating(_decode)([b"1", b"x", b"3"], [Us(0)] * 3, "s").state == "s13"


def test_the_state_is_told_of_a_bad_message_too() -> None:
    decoded = isolating(_decode, lambda frame, state: f"{state}<{frame.decode()}>")
    assert decoded([b"1", b"x", b"3", b"y"], [Us(0)] * 4, "s").state == "s1<x>3<y>"


def test_a_book_s_bad_level_spoils_no_other_book_of_the_batch() -> None:
    def decode(frames: Sequence[bytes], _: Sequence[Us], state: object) -> DecodedBatch:
        levels = [(frame.decode(), "1") for frame in frames]
        books = [BookChange(f"t{level[0]}", None, [level]) for level in levels]
        return DecodedBatch(books=books, state=state)

    told = isolating(decode)([b"1", b"0.-10000", b"2", b"3"], [Us(0)] * 4, None)
    assert [change.topic for change in told.books] == ["t1", "t2", "t3"]
    assert [frame for frame, _ in told.bad] == [b"0.-10000"]


def test_a_value_that_no_column_holds_is_bad_too() -> None:
    read = msgspec.json.Decoder(list[str])

    def decode(frames: Sequence[bytes], received: Sequence[Us], _: object) -> DecodedBatch:
        came = TaggedRows[str](["t"] * len(frames), list(received), read_frames(read, frames))
        return DecodedBatch(live_trades(came, ts=pl.Series(received), price=came.rows, amount=came.rows))

    decoded = isolating(decode)([b'"1.5"', b'"dear"', b'"2.5"'], [Us(0)] * 3, None)
    assert [frame for frame, _ in decoded.bad] == [b'"dear"']
    assert decoded.trades is not None
    assert decoded.trades["price"].to_list() == [1.5, 2.5]


def test_several_values_in_one_message_are_no_message() -> None:
    with pytest.raises(PayloadError, match="1 messages hold 2 values"):
        read_frames(READ, [b"1,2"])


def test_a_message_nested_without_end_is_no_message() -> None:
    with pytest.raises(PayloadError):
        read_frames(msgspec.json.Decoder(list[dict[str, object]]), [b'{"a":' * 100_000])


def test_nobody_is_asked_to_read_nothing() -> None:
    def decode(frames: Sequence[bytes], _: Sequence[Us], __: object) -> DecodedBatch:
        return DecodedBatch(state=frames[0])

    assert isolating(decode)([], [], "before") == DecodedBatch(state="before")


@pytest.mark.parametrize("text", ["1", "0", "0.10", "12.5e-7", "1E+3"])
def test_levels_are_numbers_however_they_are_written(text: str) -> None:
    assert heard_levels((text, "1"), ("2", text)).bad == []


@pytest.mark.parametrize("text", ["", " ", "x", "-1", "nan", "inf", "1_0", ".5", "1.", "1 2", "1,5", "\n1"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_level_that_is_no_number_spoils_its_message(text: str, place: int) -> None:
    level = ("1", text) if place else (text, "1")
    for bids in ([level], [("1", "2"), level], [level, ("1", "2")]):
        [(_, reason)] = heard_levels(*bids).bad
        assert "are no levels" in reason


def heard_levels(*levels: tuple[str, str]) -> DecodedBatch:
    books = [BookChange("t", None, levels), BookChange("t", None, (), levels)]
    return isolating(lambda _, __, ___: DecodedBatch(books=books))([b"1"], [Us(0)], None)


def test_rows_of_messages_have_the_topic_and_the_moment_of_theirs() -> None:
    told = TaggedRows[msgspec.Raw]()
    for topic, moment, message in (("a", 1, b"[1,2]"), ("b", 2, b"[]"), ("c", 3, b"[3]")):
        told.add(topic, Us(moment), msgspec.Raw(message))
    came = rows_of(msgspec.json.Decoder(list[list[int]]), told)
    assert (came.topics, came.times, came.rows) == (["a", "a", "c"], [1, 1, 3], [1, 2, 3])


def test_rows_keep_the_order_in_which_they_came() -> None:
    came = TaggedRows[int]([str(n) for n in range(3)], [Us(5)] * 3, [3, 1, 2])
    rows = live_trades(came, ts=pl.Series(came.rows), price=came.rows, amount=came.rows, trade_id=came.rows)
    assert rows is not None
    assert rows["trade_id"].to_list() == ["3", "1", "2"]
    assert rows.columns == ["ts", "price", "amount", "side", "trade_id", "received", "topic"]


def test_nothing_came() -> None:
    assert live_trades(TaggedRows[int](), ts=pl.Series([])) is None
    assert live_bars(TaggedRows[pl.Series](), []) is None  # pyright: ignore[reportArgumentType] -- no rows, no prices
