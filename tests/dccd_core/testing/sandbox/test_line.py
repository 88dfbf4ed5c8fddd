"""What happens on the way, on every venue and for everything that it pushes."""

import asyncio
import re

import pytest

from dccd_core.domain.timespan import SECOND, Us
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.live import Message
from dccd_core.testing.sandbox.options import Options
from dccd_core.testing.sandbox.server import LIVES, VENUES, Sandbox
from dccd_core.testing.sandbox.stream_faults import StreamInjector
from tests.dccd_core.testing.sandbox.wire import (
    END,
    NOW,
    UNNUMBERED,
    Kind,
    Served,
    Wire,
    each_book,
    each_served,
    fault,
    name_of,
    numbers_of,
    quiet,
    unnumbered,
    wire,
)


class TestNumbers:
    @each_book
    @pytest.mark.parametrize("number", [1_000, 77])
    def test_numbers_start_anew(self, what: Served, number: int) -> None:
        restart = fault(Kind.NUMBER_RESTART, topic=name_of(what), nth=6, number=number)
        injector = StreamInjector([restart], 0)
        one = Wire(what, injector).until(Us(NOW + 10 * SECOND))
        if what[0] in UNNUMBERED:
            assert one.struck == []
            return
        [struck] = one.struck
        sent, meant = one.of(), quiet(what).of()
        place = meant.index(struck.message)
        assert sent[:place] == meant[:place]
        by = number - numbers_of(what, [struck.message])[0][0]
        pairs = zip(numbers_of(what, sent[place:]), numbers_of(what, meant[place:]), strict=False)
        assert all(after == [number + by for number in before] for after, before in pairs)
        assert numbers_of(what, sent[place:])[0][0] == number
        other = Wire(what, injector, now=one.now).until(Us(one.now + 5 * SECOND))
        shifted = [all(n < 10**6 for n in row) for row in numbers_of(what, other.of())]
        assert all(shifted)
        counted = LIVES[what[0]].counted
        assert counted or all(n > 10**9 for row in numbers_of(what, other.of(1)) for n in row)

    @each_book
    @pytest.mark.parametrize("by", [5_000_000, -5_000_000])
    def test_numbers_are_not_those_of_rest(self, what: Served, by: int) -> None:
        if by < 0 and LIVES[what[0]].counted:
            return  # no number is so large there
        one = wire(what, fault(Kind.FOREIGN_NUMBERS, topic=name_of(what), number=by)).until(
            Us(NOW + 10 * SECOND)
        )
        if what[0] in UNNUMBERED:
            assert one.struck == []
            return
        assert len(one.struck) == 1
        pairs = zip(numbers_of(what, one.of()), numbers_of(what, quiet(what).of()), strict=False)
        assert all(sent == [number + by for number in meant] for sent, meant in pairs)

    @pytest.mark.parametrize(
        ("what", "path", "found", "query"),
        [
            (("binance", "spot"), "/api/v3/depth", rb'"lastUpdateId":(\d+)', "symbol=BTCUSDT"),
            (("binance", "linear"), "/fapi/v1/depth", rb'"lastUpdateId":(\d+)', "symbol=BTCUSDT"),
            (("bybit", "spot"), "/v5/market/orderbook", rb'"u":(\d+)', "category=spot&symbol=BTCUSDT"),
            (("bybit", "linear"), "/v5/market/orderbook", rb'"u":(\d+)', "category=linear&symbol=BTCUSDT"),
            (("okx", "spot"), "/api/v5/market/books", rb'"seqId":(\d+)', "instId=BTC-USDT"),
        ],
    )
    def test_rest_counts_on_with_the_websocket_after_a_restart_only(
        self, what: tuple[str, str], path: str, found: bytes, query: str
    ) -> None:
        sandbox, book = Sandbox(Options()), (*what, DataType.ORDERBOOK)
        sandbox.clock.set(Us(NOW + 5 * SECOND), frozen=True)
        venue = next(venue for venue in VENUES if venue.name == what[0])
        route = next(route for route in venue.routes if route.path == path)

        def number() -> int:
            answer = asyncio.run(sandbox.answer(venue, route, {}, query))
            match = re.search(found, answer.body)
            assert match
            return int(match[1])

        true, injector = number(), sandbox.connections.injector
        for kind in (Kind.FOREIGN_NUMBERS, Kind.NUMBER_RESTART):
            sandbox.connections.set_faults([fault(kind, topic=name_of(book), nth=4)])
            assert number() == true
            [struck] = Wire(book, injector).until(Us(NOW + 5 * SECOND)).struck
            by = 1_000 - numbers_of(book, [struck.message])[0][0]
            assert number() == (true + by if kind is Kind.NUMBER_RESTART else true)


class TestConnections:
    @each_served
    def test_answers_come_late_while_data_come_already(self, what: Served) -> None:
        one = wire(what, fault(Kind.LATE_ACK, seconds=7.0)).until(END)
        acks, ack = [struck.message for struck in one.struck], LIVES[what[0]].ack
        assert ack
        assert acks
        assert all(ack.search(message.text) for message in acks)
        messages = [act for act in one.got if isinstance(act, Message)]
        for meant in acks:
            [place] = [n for n, act in enumerate(messages) if act.text == meant.text]
            assert messages[place].at == meant.at + 7 * SECOND
            assert all(act.at <= messages[place].at for act in messages[:place])
            assert any(act.topic for act in messages[:place])
        assert unnumbered(one.of()) == unnumbered(quiet(what).of())

    @each_served
    def test_one_message_comes_late(self, what: Served) -> None:
        one = wire(what, fault(Kind.LATE, topic=name_of(what), nth=3, seconds=6.0)).until(END)
        [struck] = one.struck
        late = struck.message._replace(at=Us(struck.message.at + 6 * SECOND))
        assert sorted(one.of()) == sorted([*(m for m in quiet(what).of() if m != struck.message), late])
        assert [message.at for message in one.of()] == sorted(message.at for message in one.of())

    @each_served
    def test_one_message_is_contradicted(self, what: Served) -> None:
        one = wire(what, fault(Kind.CONTRADICTION, topic=name_of(what), nth=4)).until(Us(NOW + 10 * SECOND))
        [struck] = one.struck
        place = one.of().index(struck.message)
        other = one.of()[place + 1]
        assert one.of()[: place + 1] == quiet(what).of()[: place + 1]
        assert one.of()[place + 2 :] == quiet(what).of()[place + 1 : len(one.of()) - 1]
        pairs = zip(other.text, struck.message.text, strict=True)
        assert [(a in "123456789", b in "123456789") for a, b in pairs if a != b] == [(True, True)]

    @each_served
    def test_a_message_comes_that_nobody_knows(self, what: Served) -> None:
        one = wire(what, fault(Kind.STRANGE, topic=name_of(what), nth=4)).until(Us(NOW + 10 * SECOND))
        assert one.of() == quiet(what).of()[: len(one.of())]
        assert sum("unheard" in message.text for message in one.answers()) == 1

    @each_served
    def test_everything_comes_late_and_nothing_is_lost(self, what: Served) -> None:
        one = wire(what, fault(Kind.LAG, nth=3, seconds=4.0)).until(END)
        late = [message for message in quiet(what).of() if message.at < END - 4 * SECOND]
        assert one.of()[: len(late)] == late
        assert len(one.of()) < len(quiet(what).of())
        one.until(Us(END + 5 * SECOND))
        assert one.of()[: len(quiet(what).of())] == quiet(what).of()

    @each_served
    def test_it_can_be_left_and_taken_up_again_without_trouble(self, what: Served) -> None:
        one = wire(what).until(Us(NOW + 10 * SECOND))
        one.unsubscribe(one.topics[0])
        said = len(one.of())
        one.until(Us(NOW + 15 * SECOND))
        assert len(one.of()) == said
        one.subscribe(one.topics[0])
        one.until(END)
        assert len(one.of()) > said + 5
        assert unnumbered(one.of(1)) == unnumbered(quiet(what).of(1))
