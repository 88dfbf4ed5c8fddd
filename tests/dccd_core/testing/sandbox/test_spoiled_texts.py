"""What becomes of one message, on every venue and for everything that it pushes."""

import re
from typing import Any, cast

import msgspec
import pytest

from dccd_core.domain.timespan import MILLISECOND, SECOND, Us, parse_time
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.live import Message
from dccd_core.testing.sandbox.server import LIVES
from dccd_core.testing.sandbox.spoiled_texts import SPOILS
from dccd_core.testing.sandbox.stream_faults import StreamStrike
from tests.dccd_core.testing.sandbox.wire import (
    NOW,
    Kind,
    Served,
    each_book,
    each_served,
    fault,
    name_of,
    quiet,
    wire,
)

TIME = re.compile(r"(?<![\w.-])(?:1\d{12}(?!\d)|\d{4}-\d\d-\d\dT[\d:.]+Z)")


def times(text: str) -> list[Us]:
    found = TIME.findall(text)
    return [Us(int(one) * MILLISECOND) if one.isdigit() else parse_time(one) for one in found]


class TestTexts:
    @each_served
    @pytest.mark.parametrize("seconds", [86_400, 540, -3_600])
    def test_one_message_is_of_another_time(self, what: Served, seconds: int) -> None:
        ahead = fault(Kind.FUTURE_TIME, topic=name_of(what), nth=4, seconds=float(seconds))
        one = wire(what, ahead).until(Us(NOW + 10 * SECOND))
        [struck] = one.struck
        changed = [pair for pair in zip(one.of(), quiet(what).of(), strict=False) if pair[0] != pair[1]]
        [(sent, meant)] = changed
        assert (meant.at, struck.message) == (sent.at, meant)
        assert times(meant.text)
        assert [at - true for at, true in zip(times(sent.text), times(meant.text), strict=True)] == [
            seconds * SECOND
        ] * len(times(meant.text))
        assert TIME.sub("", sent.text) == TIME.sub("", meant.text)

    @pytest.mark.parametrize(("age", "spared"), [(10, False), (80, True)])
    def test_one_whose_times_are_past_even_then_is_spared(self, age: int, *, spared: bool) -> None:
        strike = StreamStrike(fault(Kind.FUTURE_TIME, seconds=60.0), 0, 0)
        one = Message(NOW, "t", f'{{"T":{(NOW - age * SECOND) // MILLISECOND}}}')
        spoiled = SPOILS[Kind.FUTURE_TIME](one, strike, LIVES["binance"])
        assert (spoiled is None) == spared

    @each_served
    def test_one_message_is_of_no_time(self, what: Served) -> None:
        one = wire(what, fault(Kind.ZERO_TIME, topic=name_of(what), nth=4)).until(Us(NOW + 10 * SECOND))
        [struck] = one.struck
        sent = one.of()[3].text
        assert "0001-01-01T00:00:00" in sent or re.search(r'[:,\["]0[,"\]}]', sent)
        assert all(at < 0 for at in times(sent))
        assert TIME.sub("0", struck.message.text) == TIME.sub("0", sent)
        assert one.of()[4] == quiet(what).of()[4]

    @each_book
    @pytest.mark.parametrize("nth", [1, 5])
    @pytest.mark.parametrize("value", ["0.-10000", "NaN"])
    def test_a_level_is_no_number(self, what: Served, nth: int, value: str) -> None:
        bad = fault(Kind.BAD_LEVEL, topic=name_of(what), value=value, text=r"\d\]|qty|\"\]")
        one = wire(what, msgspec.structs.replace(bad, nth=nth)).until(Us(NOW + 10 * SECOND))
        [struck] = one.struck
        place = quiet(what).of().index(struck.message)
        sent = one.of()[place].text
        assert sent.count(f'"{value}"') == 1
        assert shape(msgspec.json.decode(sent)) == shape(msgspec.json.decode(struck.message.text))
        left = [message for message in one.of() if message.text != sent]
        assert left == [message for message in quiet(what).of()[: len(one.of())] if message != struck.message]

    @each_served
    def test_a_field_is_missing(self, what: Served) -> None:
        """Lists have no fields: there nothing strikes."""
        text = quiet(what).of()[4].text
        names = re.findall(r'"(\w+)":[-\d"]', text) or ["MTS"]
        one = wire(what, fault(Kind.MISSING_FIELD, topic=name_of(what), nth=5, value=names[-1]))
        one.until(Us(NOW + 10 * SECOND))
        assert bool(one.struck) == (what[0] != "bitfinex")
        sent = one.of()[4].text
        assert f'"{names[-1]}"' not in sent
        msgspec.json.decode(sent)
        lost = set(re.findall(r'"(\w+)":', text)) - set(re.findall(r'"(\w+)":', sent))
        assert lost == {names[-1]} - {"MTS"}

    @pytest.mark.parametrize(
        ("what", "field"),
        [
            (("okx", "spot", DataType.ORDERBOOK), "prevSeqId"),
            (("bitfinex", "spot", DataType.TRADES), "platform"),
            (("coinbase", "spot", DataType.ORDERBOOK), "account_ids"),
        ],
    )
    def test_what_is_said_first_lacks_a_field(self, what: Served, field: str) -> None:
        missing = [fault(Kind.MISSING_FIELD, value=field, answers=answers) for answers in (False, True)]
        one = wire(what, *missing)
        before, after = (
            [msgspec.json.decode(act.text) for act in of.got[:4] if isinstance(act, Message)]
            for of in (quiet(what), one)
        )
        assert [without(told, field) for told in before[: len(after)]] == after
        assert before[: len(after)] != after


def shape(value: Any) -> Any:
    """Return how a JSON value is built, whatever it holds."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in cast(dict[str, Any], value).items()}
    return [shape(one) for one in cast(list[Any], value)] if isinstance(value, list) else None


def without(value: Any, field: str) -> Any:
    """Return a JSON value without a field, wherever it stands."""
    if isinstance(value, dict):
        told = cast(dict[str, Any], value)
        return {key: without(one, field) for key, one in told.items() if key != field}
    return [without(one, field) for one in cast(list[Any], value)] if isinstance(value, list) else value
