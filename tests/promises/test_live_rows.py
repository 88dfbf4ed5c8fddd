"""The faults that streams were found to have, each on all venues that it concerns, held against the truth."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from dccd_core.domain.dataset import Dataset, partition_key
from dccd_core.domain.timespan import MINUTE, SECOND
from dccd_core.exchanges import get
from dccd_core.lake.lake import LakeStore
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.binance import futures_update
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind
from tests.promises.attack import OPEN
from tests.promises.scene import START, Played, Scene, Stage, at_s, datasets, played, topic_of, urls

FOR_EVER: Final = 1e6
KIND: Final = StreamFaultKind
NUMBERED: Final = ("binance", "bybit", "okx", "bitfinex")
"""Where changes of books, or all messages, are numbered."""


MARKETS: Final = [
    *((exchange, False) for exchange in OPEN),
    *((exchange, True) for exchange in ("binance", "bybit", "okx")),
]
IDS: Final = [f"{exchange}-{'linear' if linear else 'spot'}" for exchange, linear in MARKETS]
"""All that have books."""


SLOWLY: Final = [
    pytest.param(*one, id=name, marks=[pytest.mark.slow] * one[1])
    for one, name in zip(MARKETS, IDS, strict=True)
]
"""All of them; futures, which are recorded as spot is, where there is time."""


def fault(kind: StreamFaultKind, dataset: Dataset | None, since_s: float, **more: object) -> StreamFault:
    """Return a fault of what brings a dataset, or of any, from a moment on."""
    between = (at_s(since_s), at_s(FOR_EVER))
    return replace(
        StreamFault(kind=kind, topic=topic_of(dataset) if dataset else "", between=between), **more
    )


def of(kind: DataType, own: Sequence[Dataset]) -> list[Dataset]:
    return [one for one in own if one.data_type is kind]


def assert_true(p: Played) -> None:
    """Each claim is so, and of each moment that is not claimed it is said why."""
    assert [str(wrong) for wrong in p.wrongs()] == []
    assert p.silent() == []


@pytest.mark.parametrize(("exchange", "linear"), SLOWLY)
def test_l1_a_topic_that_falls_silent_is_found_and_subscribed_to_anew_alone(
    exchange: str, *, linear: bool, tmp_path: Path
) -> None:
    own = datasets(exchange, "BTC", "ETH", "DOGE", linear=linear)
    trades, bars, book = own[0], own[4], own[8]
    p = played(Scene(own, [fault(KIND.SILENT_TOPIC, one, 30) for one in (trades, bars, book)], 190), tmp_path)
    assert len(p.struck) == 3
    assert_true(p)
    hit = {topic_of(one) for one in (trades, bars, book)}
    for one in own:
        assert p.behind(one) == 0, one
        if topic_of(one) not in hit:
            assert p.lost_s(one) == 0, one
            assert not p.said(rf"{one}.*subscribed to anew"), one
    assert p.lost_s(trades) < 30  # all of it where REST has it
    assert p.lost_s(bars) == 0
    assert 0 < p.lost_s(book) < 40
    assert len(p.opened) == len(urls(own))  # the others' connection goes on


@pytest.mark.parametrize(("exchange", "linear"), SLOWLY)
def test_l2_a_connection_that_answers_and_brings_no_data_is_replaced(
    exchange: str, *, linear: bool, tmp_path: Path
) -> None:
    own = datasets(exchange, "BTC", "ETH", linear=linear)
    p = played(Scene(own, [fault(KIND.FROZEN, None, 40)], 150), tmp_path)
    assert_true(p)
    assert len(p.opened) == len(urls(own)) + 1
    assert p.opened[-1] - p.struck_at() < 60
    assert p.said("nothing comes on it any more: .*connecting again")
    for one in own:
        assert p.behind(one) == 0, one


@pytest.mark.parametrize("kind", [KIND.NUMBER_RESTART, KIND.FOREIGN_NUMBERS])
@pytest.mark.parametrize("exchange", NUMBERED)
def test_l3_numbers_that_begin_anew_store_no_frozen_book(
    exchange: str, kind: StreamFaultKind, tmp_path: Path
) -> None:
    hit, other = of(DataType.ORDERBOOK, datasets(exchange, "BTC", "ETH"))
    p = played(Scene((hit, other), [fault(kind, hit, 40)], 115), tmp_path)
    assert len(p.struck) == 1
    assert_true(p)
    assert p.said(rf"{exchange}.*(numbers .* went back|are missing|an update follows|something is lost)")
    if kind is KIND.FOREIGN_NUMBERS and exchange == "binance":  # no snapshot of it ever joins
        assert p.proven_to(hit) < 41
        assert p.said("never meet")
    else:
        assert p.behind(hit) == 0
        assert p.lost_s(hit) < 2
    assert p.lost_s(other) < 2  # where the connection counts them all, it is replaced
    snapshots = [at for at in p.asked_for("depth") if at > p.struck_at()]
    assert len(snapshots) <= 4
    assert len([at for at in snapshots if at < p.struck_at() + 10]) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("exchange", OPEN)
def test_l7_data_before_the_venue_agreed_to_send_it_ends_no_connection(exchange: str, tmp_path: Path) -> None:
    own = datasets(exchange, "BTC", "ETH")
    p = played(Scene(own, [StreamFault(kind=KIND.LATE_ACK, seconds=13, first=6)], 100), tmp_path)
    assert p.struck
    assert_true(p)
    assert len(p.opened) == len(urls(own))
    for one in own:
        assert p.behind(one) == 0, one


def test_l7_heartbeats_before_their_channel_end_no_connection(tmp_path: Path) -> None:
    own = datasets("bitfinex", "BTC", "ETH")
    p = played(Scene(own, [StreamFault(kind=KIND.EARLY_BEAT, seconds=7)], 100), tmp_path)
    assert len(p.struck) == len(own)
    assert_true(p)
    assert len(p.opened) == 1
    assert p.said("!") == []


@pytest.mark.slow
@pytest.mark.parametrize("exchange", OPEN)
def test_l8_a_level_that_is_no_number_costs_one_book_a_moment(exchange: str, tmp_path: Path) -> None:
    own = datasets(exchange, "BTC", "ETH")
    book = own[2]
    p = played(Scene(own, [fault(KIND.BAD_LEVEL, book, 20, nth=1)], 100), tmp_path)
    assert len(p.struck) == 1
    assert_true(p)
    assert len(p.opened) == len(urls(own))
    assert p.lost_s(book) < 20
    for one in own:
        assert p.behind(one) == 0, one
        assert one == book or p.lost_s(one) == 0, one


ASKED_FOR: Final = [
    (exchange, linear)
    for exchange, linear in MARKETS
    if (live := get(exchange).live)
    and (channel := live.channel("linear" if linear else "spot", DataType.ORDERBOOK))
    and channel.start
]
"""Where a book begins with a snapshot by REST."""


def assert_withdrawn(p: Played, book: Dataset, other: Dataset, why: str) -> None:
    """The one book is lost alone and goes on; no picture of it that is wrong is there any more."""
    assert len(p.struck) == 1
    assert_true(p)
    assert p.behind(book) == 0
    assert p.lost_s(other) == 0
    assert not p.said(f"{other}.*(anew|taken out)")
    assert len(p.opened) == len(urls([book, other]))
    lake, day = LakeStore(p.folder), partition_key(book.grain, START)
    state, aside = lake.state(book, day), lake.withdrawn(book, day)
    assert state
    lost = [one for one in state.ledger.lost if why in one.reason]
    assert lost[0].span.start <= at_s(p.struck_at()) < lost[-1].span.end
    assert all(why in reason for reason in aside["reason"])
    assert aside.height > 0
    assert len(p.said(f"{book}.*rows are taken out")) == 1


@pytest.mark.parametrize(("exchange", "linear"), MARKETS, ids=IDS)
def test_l12_a_book_that_stays_crossed_is_lost_and_its_pictures_with_it(
    exchange: str, *, linear: bool, tmp_path: Path
) -> None:
    """Numbers and checksums are right; only that the best bid is above the best ask shows it."""
    hit, other = of(DataType.ORDERBOOK, datasets(exchange, "BTC", "ETH", linear=linear))
    p = played(Scene((hit, other), [fault(KIND.CROSSED, hit, 20)], 75), tmp_path)
    assert_withdrawn(p, hit, other, "is not below the best ask")
    assert p.claims[hit].proven[0].start < at_s(30), "it is begun anew within seconds"


@pytest.mark.slow
@pytest.mark.parametrize(("exchange", "linear"), MARKETS, ids=IDS)
def test_l12_a_book_that_drifts_unseen_is_found_by_comparing_it(
    exchange: str, *, linear: bool, tmp_path: Path
) -> None:
    """One bid stays as it never was, numbers and checksums are right. A quiet market does not leave it."""
    hit, other = of(DataType.ORDERBOOK, datasets(exchange, "BTC", "ETH", linear=linear))
    quiet = {str(one.symbol): 100 for one in (hit, other)}
    p = played(Scene((hit, other), [fault(KIND.DRIFT, hit, 40)], 240, density=quiet), tmp_path)
    assert_withdrawn(p, hit, other, "the book has drifted: ")
    assert p.claims[hit].proven[0].start < at_s(200), "it is compared every few minutes"


@pytest.mark.parametrize(
    ("exchange", "linear"),
    [
        pytest.param(exchange, linear, id=name, marks=() if exchange == "kraken" else pytest.mark.slow)
        for (exchange, linear), name in zip(MARKETS, IDS, strict=True)
    ],
)
def test_l12_a_book_that_comes_late_has_not_drifted(exchange: str, *, linear: bool, tmp_path: Path) -> None:
    """What REST shows is ten seconds ahead of what is pushed: that is a lag, nothing is wrong or missing."""
    hit, other = of(DataType.ORDERBOOK, datasets(exchange, "BTC", "ETH", linear=linear))
    p = played(Scene((hit, other), [fault(KIND.LAG, hit, 40, seconds=10)], 400), tmp_path)
    assert p.struck
    assert_true(p)
    assert not p.said(f"{hit}.*(anew|taken out|drifted)")
    assert p.lost_s(other) == 0
    # what did not come during the ten seconds is proven when it comes
    assert p.lost_s(hit) < 12


@pytest.mark.parametrize(
    ("exchange", "data_type"),
    [
        # of each way to prove trades the quick form of the suite tries one
        pytest.param(exchange, data_type, marks=() if quick else pytest.mark.slow)
        for exchange in OPEN
        for data_type in (DataType.TRADES, DataType.OHLC)
        for quick in [data_type is DataType.TRADES and exchange in ("bybit", "okx")]
    ],
)
def test_l1_what_comes_late_is_not_missing(exchange: str, data_type: DataType, tmp_path: Path) -> None:
    """REST shows rows that are on their way to us: the topic is alive, its claim waits for them."""
    hit, other = of(data_type, datasets(exchange, "BTC", "ETH"))[:2]
    p = played(Scene((hit, other), [fault(KIND.LAG, hit, 40, seconds=10)], 400), tmp_path)
    assert p.struck
    assert_true(p)
    # while it begins, nobody can tell it from a topic that died
    assert len(p.said(f"{hit}.*anew")) <= 1, "subscribed to anew"
    for one in (hit, other):
        assert p.lost_s(one) < (3 if exchange == "bybit" else 1), one  # its pages end where a lag begins
        assert p.behind(one) == 0, one


@pytest.mark.slow
@pytest.mark.parametrize("exchange", OPEN)
def test_l12_a_book_that_drifted_and_is_crossed_by_it_was_wrong_before(exchange: str, tmp_path: Path) -> None:
    """The price falls below a bid that was left over: the pictures since it was are wrong, too."""
    hit, other = of(DataType.ORDERBOOK, datasets(exchange, "BTC", "ETH"))
    p = played(Scene((hit, other), [fault(KIND.DRIFT, hit, 40)], 130), tmp_path)
    assert_withdrawn(p, hit, other, "is not below the best ask")


@pytest.mark.slow
@pytest.mark.parametrize("exchange", OPEN)
def test_l13_a_topic_that_is_one_too_many_moves_to_another_connection(exchange: str, tmp_path: Path) -> None:
    own = datasets(exchange, "BTC", "ETH")
    refused = own[5]
    live = get(exchange).live
    assert live
    times = 1 if live.batch == 1 or exchange == "okx" else 2  # with others, then alone
    wrong = StreamFault(kind=KIND.TOO_MANY, topic=topic_of(refused), first=times)
    p = played(Scene(own, [wrong], 100), tmp_path)
    assert p.struck
    assert_true(p)
    assert len(p.opened) == len(urls(own)) + 1
    assert len(p.said("its connection takes no more")) == 1
    for one in own:
        assert p.behind(one) == 0, one


@pytest.mark.parametrize("exchange", OPEN)
def test_l6_what_a_reconnect_missed_is_filled_within_seconds(exchange: str, tmp_path: Path) -> None:
    own = of(DataType.TRADES, datasets(exchange, "BTC", "ETH"))
    cuts = range(30, 190, 40)
    p = played(Scene(tuple(own), [], 240, acts=[(cut, _close) for cut in cuts]), tmp_path)
    assert_true(p)
    assert len(p.opened) == len(urls(own)) + len(cuts)
    for one in own:
        assert p.lost_s(one) < (1 if exchange == "bybit" else 1e-9), (
            one
        )  # of its last 60 trades the rest is named
        assert p.behind(one) == 0, one
    if exchange == "bitfinex":
        return  # a subscription begins with the last trades: nothing is left to ask for
    settle_s = get(exchange).finality_delay / SECOND
    filled = {at for at, _, piece in p.filled if not piece.reason}
    for opened in p.opened[1:]:  # the window's end is known by the first trade, its rows are final by then
        first = min((at for at in filled if at > opened), default=FOR_EVER)
        assert first - opened < settle_s + 10


def _close(stage: Stage) -> None:
    stage.box.connections.disconnect(1001)


def test_l6_what_a_kill_missed_is_filled_or_has_a_reason(tmp_path: Path) -> None:
    """After a kill the next recorder asks for the time between; books of it are lost, and said to be."""
    own = datasets("okx", "BTC", "ETH")
    p = played(Scene(own, [], 150, kills=[(50, 12)]), tmp_path)
    assert_true(p)
    for one in own:
        assert p.behind(one) == 0, one
        if one.data_type is DataType.ORDERBOOK:
            assert 12 <= p.lost_s(one) < 20
        else:
            assert p.lost_s(one) == 0


@pytest.mark.parametrize(("exchange", "linear"), ASKED_FOR)
def test_l4_three_books_whose_snapshots_end_exactly_on_an_event_stand_after_three_requests(
    exchange: str, *, linear: bool, tmp_path: Path
) -> None:
    own = of(DataType.ORDERBOOK, datasets(exchange, "BTC", "ETH", "DOGE", linear=linear))
    p = played(Scene(tuple(own), [], 60), tmp_path)
    assert_true(p)
    for one in own:
        assert len(p.asked_for(_snapshot_of(one))) == 1, one
        assert p.claims[one].proven[0].start < at_s(2), one
        assert p.behind(one) == 0, one
        assert p.lost_s(one) == 0, one
    if linear:  # of spot books each number is the last of an event, ten a second
        numbers = [json.loads(body)["lastUpdateId"] for path, body in p.answers if "depth" in path]
        assert [futures_update(number // 7) for number in numbers] == numbers


@pytest.mark.parametrize(("exchange", "linear"), ASKED_FOR)
def test_l4_of_books_that_never_join_one_snapshot_is_asked_in_ten_seconds_then_ever_more_rarely(
    exchange: str, *, linear: bool, tmp_path: Path
) -> None:
    own = of(DataType.ORDERBOOK, datasets(exchange, "BTC", "ETH", "DOGE", linear=linear))
    p = played(Scene(tuple(own), [StreamFault(kind=KIND.FOREIGN_NUMBERS, number=10**6)], 200), tmp_path)
    assert len(p.struck) == len(own)
    assert_true(p)
    for one in own:
        asked = p.asked_for(_snapshot_of(one))
        assert len([at for at in asked if at < 10]) == 1, one
        waits = [later - earlier for earlier, later in pairwise(asked)]
        assert waits[0] > 9.5, one
        assert all(later > 1.9 * earlier for earlier, later in pairwise(waits)), (one, waits)
        assert 4 <= len(asked) <= 6, one
        assert p.claims[one].proven == [], one


def _snapshot_of(book: Dataset) -> str:
    """Return a pattern of what asks for a snapshot of a book."""
    return rf"depth.*=({get(book.exchange).market(book.symbol)})\b"


@pytest.mark.slow
def test_l8_of_a_hundred_products_one_sends_nonsense_and_three_change_and_the_others_lose_nothing(
    tmp_path: Path,
) -> None:
    """One product is added, one removed and one paused, while one is not understood for ten minutes."""
    bases = [f"P{number:02}" for number in range(101)]
    every = datasets("coinbase", *bases)
    books = {one for one in every if one.data_type is DataType.ORDERBOOK and str(one.symbol.base) > "P96"}
    own = [one for one in every if one.data_type is not DataType.ORDERBOOK or one in books]
    by_base = {base: [one for one in own if one.symbol.base == base] for base in bases}
    bad, paused, removed, added = bases[96], bases[97], bases[98], bases[100]
    begun = [one for one in own if one.symbol.base != added]
    changed = [one for one in own if one.symbol.base != removed]

    def change(stage: Stage) -> None:
        stage.change(*changed, paused=by_base[paused])

    hit = [fault(KIND.WRONG_TYPE, one, 20) for one in by_base[bad] if one.span is None]
    density = {str(one.symbol): 60_000 for one in own}
    p = played(Scene(tuple(begun), hit, 660, acts=[(300, change)], density=density), tmp_path)
    assert max(struck.at for struck in p.struck) - min(struck.at for struck in p.struck) > 9 * MINUTE
    assert len(p.struck) > 100
    for base in set(bases) - {bad, paused, removed, added}:
        for one in by_base[base]:
            assert p.lost_s(one) == 0, one
            assert not p.said(f"{one}:"), one
    assert_true(p)
    assert max(p.opened) < 1  # no connection was replaced
    for one in (one for one in by_base[paused] if one.span is None):  # no whole bar was recorded before
        lost = [each for state in LakeStore(tmp_path).states(one).values() for each in state.ledger.lost]
        assert [each.reason for each in lost][-1:] == ["paused by a user"], one


@pytest.mark.slow
@pytest.mark.parametrize(("nth", "seconds"), [(1, 86_400.0), (20, 540.0)], ids=["first", "mid-stream"])
@pytest.mark.parametrize("exchange", OPEN)
def test_l5_a_time_that_has_not_come_is_kept_aside_and_claims_nothing(
    exchange: str, nth: int, seconds: float, tmp_path: Path
) -> None:
    own = datasets(exchange, "BTC")
    topics = dict.fromkeys(topic_of(one) for one in own)
    wrong = [StreamFault(kind=KIND.FUTURE_TIME, topic=topic, nth=nth, seconds=seconds) for topic in topics]
    p = played(Scene(own, wrong, 150), tmp_path)
    assert p.struck
    assert_true(p)
    lake = LakeStore(tmp_path)
    for one in own:
        today = partition_key(one.grain, START)
        assert list(lake.states(one)) == [today], one
        assert p.behind(one) == 0, one
        if one.data_type is DataType.TRADES and topic_of(one) in {struck.topic for struck in p.struck}:
            assert lake.quarantined(one, today).height >= 1
    assert not any("partition" in note and "tomorrow" in note for note in p.notes)


@pytest.mark.slow
@pytest.mark.parametrize("exchange", OPEN)
def test_l8_a_time_that_is_none_touches_only_its_own_topic(exchange: str, tmp_path: Path) -> None:
    own = datasets(exchange, "BTC", "ETH")
    topics = dict.fromkeys(topic_of(one) for one in own[:3])
    wrong = [replace(fault(KIND.ZERO_TIME, None, 20, nth=1), topic=topic) for topic in topics]
    p = played(Scene(own, wrong, 130), tmp_path)
    assert p.struck
    assert_true(p)
    assert len(p.opened) == len(urls(own))
    for one in own:
        assert p.behind(one) == 0, one
        assert list(LakeStore(tmp_path).states(one)) == [partition_key(one.grain, START)], one
    for one in own[3:]:
        assert p.lost_s(one) == 0, one
    assert p.lost_s(own[2]) < 20
