"""Order books that are not so, although nothing in what is sent shows it; and whole ones in the midst."""

from collections.abc import Sequence

import pytest

from dccd_core.adapter.live import BookChange, Precision
from dccd_core.domain.timespan import MILLISECOND, SECOND, Us
from tests.dccd_core.testing.sandbox.wire import (
    BOOKS,
    DIGITS,
    NOW,
    TRUTH,
    UNASKED,
    UNNUMBERED,
    Kind,
    Served,
    Wire,
    each_book,
    fault,
    in_order,
    name_of,
    numbers_of,
    wire,
)


class Picture:
    """One market's order book, put together from what is pushed."""

    def __init__(self, one: Wire, which: int = 0) -> None:
        self.one, self.which = one, which
        self.sides: dict[str, dict[str, str]] = {"bid": {}, "ask": {}}

    def apply(self, changes: Sequence[BookChange]) -> None:
        for change in changes:
            if change.topic == self.one.live.name(self.one.topics[self.which]):
                self._put(change)

    def _put(self, change: BookChange) -> None:
        for side, levels in (("bid", change.bids), ("ask", change.asks)):
            kept = self.sides[side]
            if change.whole:
                kept.clear()
            for price, amount in levels:
                kept.pop(price, None)
                if float(amount):
                    kept[price] = amount
            for price in [price for price, _ in self.best(side)[self.one.topics[0].depth or None :]]:
                if self.one.topics[0].depth:
                    kept.pop(price)
        if change.checksum is not None and self.one.channel.checksum:
            scale = TRUTH.instruments[self.one.symbols[self.which]].price_scale
            precision = Precision(scale, DIGITS.get(self.one.what[0], 8))
            bids, asks = (self.best(side)[: self.one.channel.checked] for side in ("bid", "ask"))
            assert self.one.channel.checksum(bids, asks, precision) == change.checksum

    def best(self, side: str) -> list[tuple[str, str]]:
        sign = -1 if side == "bid" else 1
        return sorted(self.sides[side].items(), key=lambda level: sign * float(level[0]))

    def wrong(self) -> list[tuple[str, int]]:
        """Return which of the best levels differ from the truth; the venue need not tell all contracts so."""
        orders = TRUTH.orders(self.one.what[0], self.one.symbols[self.which])
        version = orders.version(Us(self.one.now - 1))
        found = list[tuple[str, int]]()
        for side, levels in zip(("bid", "ask"), orders.levels(version, 10), strict=True):
            sizes, scale = TRUTH.book_sizes(self.one.what[0], self.one.symbols[self.which], levels)
            ticks = 10 ** TRUTH.instruments[self.one.symbols[self.which]].price_scale
            columns = zip(levels.price.tolist(), sizes.tolist(), strict=True)
            true = [(price / ticks, size / 10**scale) for price, size in columns]
            told = [(float(price), abs(float(amount))) for price, amount in self.best(side)[:10]]
            found += [(side, place) for place in range(10) if told[place] != true[place]]
        return found

    def is_crossed(self) -> bool:
        return float(self.best("bid")[0][0]) > float(self.best("ask")[0][0])


def begun(one: Wire) -> Picture:
    """Return the picture of the first market; where the venue tells changes only, begin with the truth."""
    picture = Picture(one)
    if one.what[0] in UNASKED:
        orders = TRUTH.orders(one.what[0], one.symbols[0])
        ticks = 10 ** TRUTH.instruments[one.symbols[0]].price_scale
        for side, levels in zip(("bid", "ask"), orders.levels(orders.version(NOW), 1_000), strict=True):
            sizes, scale = TRUTH.book_sizes(one.what[0], one.symbols[0], levels)
            picture.sides[side] = {
                f"{price / ticks:.8f}": f"{size / 10**scale:.8f}"
                for price, size in zip(levels.price.tolist(), sizes.tolist(), strict=True)
            }
    picture.apply(one.hear())
    return picture


class TestBooks:
    @each_book
    def test_a_quiet_book_is_the_truth(self, what: Served) -> None:
        one = wire(what)
        picture = begun(one)
        for _ in range(5):
            one.until(Us(one.now + SECOND))
            picture.apply(one.hear())
            assert picture.wrong() == []

    @each_book
    def test_a_book_is_crossed_for_seconds(self, what: Served) -> None:
        crossed = fault(Kind.CROSSED, topic=name_of(what), nth=20, seconds=5.0)
        one = wire(what, crossed)
        picture = begun(one)
        seen = list[tuple[Us, bool, bool]]()
        while one.now < NOW + 15 * SECOND:
            one.until(Us(one.now + 100 * MILLISECOND))
            picture.apply(one.hear())
            seen.append((one.now, picture.is_crossed(), bool(picture.wrong())))
        [struck] = one.struck
        at = struck.message.at
        assert {(crossed, wrong) for now, crossed, wrong in seen if now <= at} == {(False, False)}
        assert {crossed for now, crossed, _ in seen if at + SECOND < now <= at + 5 * SECOND} == {True}
        after = {(crossed, wrong) for now, crossed, wrong in seen if now > at + 6 * SECOND}
        assert after == {(False, False)}
        in_order(one)

    @each_book
    def test_a_book_drifts_until_it_is_subscribed_to_anew(self, what: Served) -> None:
        one = wire(what, fault(Kind.DRIFT, topic=name_of(what), nth=20))
        picture = begun(one)
        wrong = list[tuple[Us, list[tuple[str, int]]]]()
        bids = list[list[tuple[str, str]]]()
        while one.now < NOW + 10 * SECOND:
            one.until(Us(one.now + 100 * MILLISECOND))
            picture.apply(one.hear())
            wrong.append((one.now, picture.wrong()))
            bids.append(picture.best("bid"))
        [struck] = one.struck
        assert all(found == [] for now, found in wrong if now <= struck.message.at)
        first = next(n for n, (_, found) in enumerate(wrong) if found)
        assert wrong[first][0] <= struck.message.at + SECOND
        side, place = wrong[first][1][0]  # those below may be shifted
        assert side == "bid"
        assert all(bids[first][place] in later for later in bids[first:]), "it stays as it is, where it is"
        in_order(one)
        if what[0] in UNASKED:
            return
        one.unsubscribe(one.topics[0])
        one.subscribe(one.topics[0])
        one.until(Us(one.now + SECOND))
        picture.apply(one.hear())
        assert picture.wrong() == []

    @each_book
    def test_a_whole_book_comes_in_the_midst(self, what: Served) -> None:
        one = wire(what, fault(Kind.SNAPSHOT, topic=name_of(what), nth=20))
        picture, wholes = begun(one), list[Us]()
        for _ in range(100):
            one.until(Us(one.now + 100 * MILLISECOND))
            changes = one.hear()
            own = one.live.name(one.topics[0])
            wholes += [one.now for change in changes if change.whole and change.topic == own]
            picture.apply(changes)
            assert picture.wrong() == []
        assert len(one.struck) == len(wholes) == (what[0] not in UNASKED)
        in_order(one)

    @pytest.mark.parametrize(
        "what", [one for one in BOOKS if one[0] not in (*UNASKED, *UNNUMBERED)], ids="-".join
    )
    def test_numbers_start_anew_with_a_whole_book(self, what: Served) -> None:
        both = [fault(kind, topic=name_of(what), nth=9) for kind in (Kind.SNAPSHOT, Kind.NUMBER_RESTART)]
        one = wire(what, *both)
        one.until(Us(NOW + 5 * SECOND))
        assert sorted(struck.kind for struck in one.struck) == [Kind.NUMBER_RESTART, Kind.SNAPSHOT]
        assert numbers_of(what, one.of())[8] == [1_000]
