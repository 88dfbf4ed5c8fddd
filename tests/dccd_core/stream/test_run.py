"""What is asked for becomes topics and connections; what is not listed is left out, loudly."""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter import wire
from dccd_core.adapter.contract import Exchange, Markets, Request, Response
from dccd_core.adapter.live import Channel, Pairs, Precision, WebSocketApi
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError, DccdError, ExchangeError, Rejected
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MINUTE, Us
from dccd_core.exchanges import get
from dccd_core.fetch.venue import Venue
from dccd_core.net.websocket import Socket
from dccd_core.stream.api import Phase, StreamPlan
from dccd_core.stream.run import channel_of, groups, run_stream
from dccd_core.tables import DataType
from tests.dccd_core.stream.pushing import LIVE, STARTED, URL, Stage, lacking, play, wanted

pytestmark = pytest.mark.usefixtures("inline")


def _decode_markets(body: bytes) -> pl.DataFrame:
    rows = json.loads(body)
    return wire.markets(
        symbol=[symbol for symbol, _ in rows],
        market=[symbol for symbol, _ in rows],
        active=[True] * len(rows),
        contract=[worth for _, worth in rows],
    )


def _no_sum(_: Pairs, __: Pairs, ___: Precision | None) -> int:
    return 0


class Desk:
    """The REST side: ``listed`` are the answers to what it is asked of symbols, ``failure`` comes instead."""

    def __init__(self, *listed: str) -> None:
        self.listed = [(symbol, None) for symbol in listed]
        self.failure: DccdError | None = None
        self.silent = False
        self.body: bytes | None = None
        """The answer instead, in a venue's own words."""
        self.asked: list[str] = []

    async def send(self, request: Request) -> Response:
        self.asked.append(request.path)
        if self.silent:
            await asyncio.Event().wait()
        if self.failure:
            raise self.failure
        return Response(200, {}, self.body or json.dumps(self.listed).encode(), Us(0))


def _requests() -> tuple[Request, ...]:
    return (Request("/symbols", {}),)


def exchange(live: WebSocketApi | None) -> Exchange:
    markets = Markets("", _requests, _decode_markets)
    return replace(get("binance"), name="x", title="X", live=live, markets=markets, market=str)


def dataset(symbol: str, data_type: DataType = DataType.TRADES, span: Us | None = None) -> Dataset:
    return Dataset("x", Symbol.parse(symbol), data_type, span)


class Mute:
    """The client's end of a connection on which nothing ever comes; ``said`` is what went out."""

    heard = Us(0)

    def __init__(self, said: list[bytes]) -> None:
        self._said = said

    async def receive(self) -> tuple[list[bytes], list[Us]]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: bytes) -> None:
        self._said.append(message)


class Show:
    def __init__(self, folder: Path, desk: Desk, live: WebSocketApi | Exchange | None = LIVE) -> None:
        self.stage = Stage(folder)
        self.desk = desk
        self.stop = asyncio.Event()
        own = live if isinstance(live, Exchange) else exchange(live)
        self._venue = Venue(own, desk, self.stage.clock)

    def run(self, *datasets: Dataset) -> Coroutine[object, object, None]:
        stage, plan = self.stage, StreamPlan("majors", datasets)
        return run_stream(plan, self._venue, stage.venue.connect, stage.lake, self.stop, stage.told)

    async def record(self, *datasets: Dataset, seconds: float = 20) -> None:
        running = asyncio.create_task(self.run(*datasets))
        sleeping = asyncio.create_task(self.stage.clock.sleep(seconds))
        await asyncio.wait([running, sleeping], return_when=asyncio.FIRST_COMPLETED)
        sleeping.cancel()
        self.stop.set()
        await running


def test_what_is_asked_for_is_recorded(tmp_path: Path) -> None:
    show = Show(tmp_path, Desk("A/USD", "B/USD"))
    play(show.record(dataset("A/USD"), dataset("B/USD")))
    for one in (wanted("A/USD"), wanted("B/USD")):
        seconds, covered = show.stage.recorded(one)
        assert lacking(seconds, covered) == []
        assert len(seconds) > 15
    assert show.stage.told.notes == []


def test_what_is_not_listed_is_left_out_loudly(tmp_path: Path) -> None:
    show = Show(tmp_path, Desk("A/USD"))
    play(show.record(dataset("A/USD"), dataset("NONE/USD")))
    ((text, wrong),) = show.stage.told.notes
    assert wrong
    assert text == "x symbols NONE/USD: it is not listed, so nothing is recorded of it"
    assert show.stage.venue.sockets[0].sent == [["sub", 1, "a.trades"]]
    assert len(show.stage.recorded(wanted("A/USD"))[0]) > 15


def test_a_stream_of_which_nothing_is_listed_is_none(tmp_path: Path) -> None:
    show = Show(tmp_path, Desk("A/USD"))
    with pytest.raises(Rejected, match="x lists none of x/trades/NO-USD, x/trades/NONE-USD"):
        play(show.record(dataset("NO/USD"), dataset("NONE/USD")))
    assert show.stage.venue.attempts == []


def test_when_nobody_says_what_is_listed_that_is_told_once_and_all_is_recorded(tmp_path: Path) -> None:
    desk = Desk()
    desk.failure = Rejected("451 not in your country")
    show = Show(tmp_path, desk)
    play(show.record(dataset("A/USD"), dataset("B/USD")))
    ((text, wrong),) = show.stage.told.notes
    assert wrong
    assert text.startswith("x: nobody says which symbols are listed: [x /symbols] 451")
    assert desk.asked.count("/symbols") == 1
    assert len(show.stage.recorded(wanted("B/USD"))[0]) > 15


@pytest.mark.parametrize(
    "needs",
    [
        Channel(docs="", contracts=True),
        Channel(docs="", checksum=_no_sum, checked=1),
        Channel(docs="", named=True),
    ],
)
def test_but_what_needs_to_know_more_of_a_symbol_is_not_recorded_blindly(
    tmp_path: Path, needs: Channel
) -> None:
    desk = Desk()
    desk.failure = Rejected("451 not in your country")
    show = Show(tmp_path, desk, replace(LIVE, channels={DataType.TRADES: needs}))
    with pytest.raises(ExchangeError, match="451"):
        play(show.record(dataset("A/USD")))
    assert show.stage.venue.attempts == []


@pytest.mark.parametrize(
    ("altname", "wsname", "symbol"),
    [
        ("XBTUSD", "XBT/USD", "BTC/USD"),
        ("TRXUSDD", "TRX/USDD", "TRX/USDD"),
        ("JITOSOLSOL", "JITOSOL/SOL", "JITOSOL/SOL"),
        ("MONAUSD", "MON/AUSD", "MON/AUSD"),
        ("XBTAUSD", "XBT/AUSD", "BTC/AUSD"),
        ("KSMDOT", "KSM/DOT", "KSM/DOT"),
    ],
)
def test_l9_kraken_is_asked_for_the_name_that_its_discovery_tells(
    tmp_path: Path, altname: str, wsname: str, symbol: str
) -> None:
    row = {"altname": altname, "wsname": wsname, "status": "online", "pair_decimals": 1, "lot_decimals": 8}
    desk = Desk()
    desk.body = json.dumps({"error": [], "result": {"A": row}}).encode()
    show, said = Show(tmp_path, desk, get("kraken")), list[bytes]()

    @asynccontextmanager
    async def connect(_: str) -> AsyncGenerator[Socket]:
        yield Mute(said)

    show.stage.venue.connect = connect  # pyright: ignore[reportAttributeAccessIssue] -- all that is heard there
    play(show.record(Dataset("kraken", Symbol.parse(symbol), DataType.TRADES), seconds=5))
    asked = [json.loads(text) for text in said]
    assert [one["params"]["symbol"] for one in asked if one["method"] == "subscribe"] == [[symbol]]


def test_it_can_be_stopped_while_the_venue_does_not_answer(tmp_path: Path) -> None:
    desk = Desk()
    desk.silent = True
    show = Show(tmp_path, desk)
    play(show.record(dataset("A/USD")))
    assert desk.asked == ["/symbols"]
    assert show.stage.venue.attempts == []


def test_an_error_while_it_finds_out_what_is_listed_is_raised(tmp_path: Path) -> None:
    show = Show(tmp_path, Desk("A/USD"), replace(LIVE, channels={}))
    with pytest.raises(ConfigError, match="x pushes no trades of spot markets"):
        play(show.record(dataset("A/USD")))
    show = Show(tmp_path, Desk("A/USD"), None)
    with pytest.raises(ConfigError, match="X pushes nothing"):
        play(show.record(dataset("A/USD")))


class TestChannels:
    BARS = Channel(docs="", spans=(MINUTE,))
    BOOKS = Channel(docs="", depths=(10, 50))
    LIVE = replace(
        LIVE,
        channels={DataType.OHLC: BARS, DataType.ORDERBOOK: BOOKS},
        special={("linear", DataType.OHLC): None},
    )

    def test_what_there_is(self) -> None:
        assert channel_of(self.LIVE, dataset("A/USD", DataType.OHLC, MINUTE), 50) is self.BARS
        assert channel_of(self.LIVE, dataset("A/USD", DataType.ORDERBOOK), 50) is self.BOOKS

    @pytest.mark.parametrize(
        ("one", "why"),
        [
            (dataset("A/USD"), "pushes no trades of spot markets"),
            (dataset("A/USD:USD", DataType.OHLC, MINUTE), "pushes no ohlc of linear markets"),
            (dataset("A/USD", DataType.OHLC, HOUR), "pushes no bars of this length"),
            (dataset("A/USD", DataType.ORDERBOOK), "pushes 50 levels at most"),
        ],
    )
    def test_what_there_is_not_is_told_with_its_dataset(self, one: Dataset, why: str) -> None:
        with pytest.raises(ConfigError, match=why) as error:
            channel_of(self.LIVE, one, 51)
        assert str(error.value).startswith(str(one))


@given(st.lists(st.integers(0, 40), min_size=1, unique=True), st.integers(1, 10), st.data())
def test_every_topic_is_on_one_connection_of_its_address_and_none_has_too_many(
    numbers: list[int], most: int, data: st.DataObject
) -> None:
    ones = [wanted(f"S{n}/USD{':USD' if data.draw(st.booleans()) else ''}") for n in numbers]
    found = list(groups(replace(LIVE, most=most), ones))
    assert sorted(str(dataset) for each in found for dataset in each.datasets) == sorted(
        str(one.dataset) for one in ones
    )
    for each in found:
        assert 1 <= len(each.wanted) <= most
        kinds = {one.topic.market_type for wanted in each.wanted.values() for one in wanted}
        assert {URL if kind == "spot" else f"{URL}{kind}" for kind in kinds} == {each.url}
    for url in {each.url for each in found}:
        sizes = [len(each.wanted) for each in found if each.url == url]
        assert all(size == most for size in sizes[:-1])


def test_datasets_that_one_topic_brings_share_it() -> None:
    """Such as bars that are built from trades."""
    trades = wanted("A/USD")
    bars = replace(trades, dataset=dataset("A/USD", DataType.OHLC, MINUTE))
    book = wanted("A/USD", DataType.ORDERBOOK, STARTED)
    (found,) = groups(LIVE, [trades, bars, book])
    assert found.wanted == {"a.trades": [trades, bars], "a.orderbook": [book]}


def test_l1_while_a_venue_is_down_at_the_start_a_stream_says_that_it_is_connecting(tmp_path: Path) -> None:
    """0e899d4 tells nothing until somebody says which symbols are listed, or that nobody will."""
    desk = Desk("A/USD")
    desk.silent = True
    show = Show(tmp_path, desk)
    play(show.record(dataset("A/USD"), seconds=21))
    told = show.stage.told.beats
    assert len(told) == 4
    assert {beat.phase for beat in told} == {Phase.CONNECTING}
    assert "has not told yet" in told[-1].why
