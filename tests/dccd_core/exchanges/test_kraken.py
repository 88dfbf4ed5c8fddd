"""What the conformance tests do not say: parameters, bounds, exact times, and what the bodies mean."""

from collections.abc import Sequence

import msgspec
import pytest

from dccd_core.adapter.contract import Cursor, Limit, Query, Reach, Recent, Request, Response
from dccd_core.adapter.live import Ack, Heard, Pairs, Precision, Topic
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.datatype import DataType
from dccd_core.domain.errors import Banned, PayloadError, Rejected, Throttled, Unavailable, UnknownSymbol
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MICROSECOND, MINUTE, SECOND, Ns, TimeSpan, parse_time
from dccd_core.exchanges import kraken
from dccd_core.stream.book import Book

START = parse_time("2024-01-01")
SPAN = TimeSpan(START, parse_time("2024-01-02"))
ENDPOINTS = kraken.EXCHANGE.endpoints


def query(span: TimeSpan = SPAN, limit: int = 1_000, bar: Ns | None = None, market: str = "XBTUSD") -> Query:
    return Query(market, span, limit, bar)


def trades_body(*times: str, key: str = "XXBTZUSD") -> bytes:
    rows = ",".join(f'["1.5","2.0",{time},"b","m","",{number}]' for number, time in enumerate(times, 1))
    return f'{{"error":[],"result":{{"{key}":[{rows}],"last":"1"}}}}'.encode()


def nanoseconds(*times: str) -> list[int]:
    return kraken.decode_trades(trades_body(*times), START)["ts"].to_physical().to_list()


def bars_body(*rows: str, key: str = "XXBTZUSD") -> bytes:
    return f'{{"error":[],"result":{{"{key}":[{",".join(rows)}],"last":60}}}}'.encode()


def response(body: str, status: int = 200, **headers: str) -> Response:
    return Response(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, body.encode(), START
    )


@pytest.mark.parametrize(
    ("symbol", "market"),
    [
        ("BTC/USD", "XBTUSD"),
        ("BTC/USDT", "XBTUSDT"),
        ("ETH/BTC", "ETHXBT"),
        ("DOGE/USD", "XDGUSD"),
        ("DOGE/BTC", "XDGXBT"),
        ("SOL/EUR", "SOLEUR"),
    ],
)
def test_bitcoin_is_xbt_and_dogecoin_xdg_on_both_sides(symbol: str, market: str) -> None:
    assert kraken.market(Symbol.parse(symbol)) == market


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("1m", 1), ("5m", 5), ("15m", 15), ("30m", 30), ("1h", 60), ("4h", 240), ("1d", 1_440)],
)
def test_bars_are_asked_by_minutes_and_without_a_time(text: str, minutes: int) -> None:
    bar = parse_bar_span(text)
    assert bar in ENDPOINTS[DataType.OHLC].spans
    assert kraken.bars_request(query(bar=bar)) == Request(
        "/0/public/OHLC", {"pair": "XBTUSD", "interval": str(minutes)}, pool="ohlc", market="XBTUSD"
    )


def test_weeks_that_open_on_thursday_are_left_out() -> None:
    assert len(ENDPOINTS[DataType.OHLC].spans) == 7
    assert parse_bar_span("1w") not in ENDPOINTS[DataType.OHLC].spans
    assert parse_bar_span("15d") not in ENDPOINTS[DataType.OHLC].spans


def test_only_the_last_720_bars_can_be_had() -> None:
    endpoint = ENDPOINTS[DataType.OHLC]
    assert (endpoint.paging, endpoint.reach) == (Recent(), Reach(rows=720))
    assert endpoint.page_limit == 720
    assert endpoint.oldest is None


@pytest.mark.parametrize(
    ("start", "since"),
    [(START, START - 1), (START + 1, START), (2, 1), (1, 0), (0, 0)],
)
def test_since_is_exclusive_so_one_nanosecond_earlier_is_asked(start: int, since: int) -> None:
    request = kraken.trades_request(query(TimeSpan(Ns(start), Ns(start + HOUR)), limit=7))
    asked = {"pair": "XBTUSD", "since": str(since), "count": "7"}
    assert request == Request("/0/public/Trades", asked, pool="trades", market="XBTUSD")


def test_the_first_trade_of_all_is_the_one_since_0() -> None:
    request = kraken.first_trade_request(query())
    asked = {"pair": "XBTUSD", "since": "0", "count": "1"}
    assert request == Request("/0/public/Trades", asked, pool="trades", market="XBTUSD")


def test_the_end_of_a_page_is_asked_again_by_more_than_the_rows_round() -> None:
    paging = ENDPOINTS[DataType.TRADES].paging
    assert paging == Cursor(blur=MICROSECOND, consecutive=True)
    shown, true = nanoseconds("1762820035.9822779")[0], 1_762_820_035_982_277_754
    assert true - MICROSECOND < shown - MICROSECOND + 250 < true


def test_the_book_and_the_markets_count_for_the_whole_address() -> None:
    assert kraken.depth_request(query(limit=500)) == Request(
        "/0/public/Depth", {"pair": "XBTUSD", "count": "500"}
    )
    assert kraken.markets_requests() == (Request("/0/public/AssetPairs", {}),)


def test_one_request_per_second_for_bars_and_for_trades_of_each_pair() -> None:
    assert kraken.EXCHANGE.limits == (
        Limit(1, SECOND),
        Limit(1, SECOND, "ohlc", per_market=True),
        Limit(1, SECOND, "trades", per_market=True),
    )
    assert kraken.EXCHANGE.settle == 5 * SECOND
    assert kraken.EXCHANGE.kinds == {"spot"}
    assert not kraken.EXCHANGE.special


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("1700000000.1234567", 1_700_000_000_123_456_700),
        ("1700000000.123456789", 1_700_000_000_123_456_789),
        ("1700000000.1", 1_700_000_000_100_000_000),
        ("1700000000.000000001", 1_700_000_000_000_000_001),
        ("1700000000.0", 1_700_000_000_000_000_000),
        ("1700000000", 1_700_000_000_000_000_000),
        ("1378856831.0001", 1_378_856_831_000_100_000),
        ("0.5", 500_000_000),
        ("8999999999.999999999", 8_999_999_999_999_999_999),
    ],
)
def test_a_time_is_read_digit_by_digit_never_through_a_float(text: str, nanos: int) -> None:
    assert nanoseconds(text) == [nanos]


def test_times_of_different_length_stand_in_one_answer() -> None:
    assert nanoseconds("5", "5.25", "7.0000001") == [5 * SECOND, 5_250_000_000, 7 * SECOND + 100]


@pytest.mark.parametrize(
    "text",
    ['"1700000000.1"', "1.7e9", "-1", "17000000000", "9300000000", "1.1234567891", "true", "null", "[1]"],
)
def test_what_is_no_time_in_seconds_is_refused(text: str) -> None:
    with pytest.raises(PayloadError, match="is no time of a trade"):
        kraken.decode_trades(trades_body("1700000000.5", text), START)


def test_bytes_that_are_no_text_are_no_time() -> None:
    body = trades_body('"?"').replace(b"?", b"\xff")
    with pytest.raises(PayloadError, match="is no time of a trade"):
        kraken.decode_trades(body, START)


def test_trades_of_one_moment_keep_the_venue_s_order() -> None:
    rows = kraken.decode_trades(trades_body(*["5.5"] * 12), START)
    assert rows["trade_id"].to_list() == [str(number) for number in range(1, 13)]


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"b"', b'"x"'), (b'"1.5"', b"1.5"), (b",1]", b',"1"]'), (b",1]", b",-1]"), (b',"",1]', b',""]')],
)
def test_a_trade_of_another_shape_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(PayloadError, match="unexpected shape"):
        kraken.decode_trades(trades_body("5.5").replace(old, new, 1), START)


def test_the_side_is_the_taker_s() -> None:
    body = trades_body("5", "6").replace(b'6,"b"', b'6,"s"')
    assert kraken.decode_trades(body, START)["side"].to_list() == ["buy", "sell"]


@pytest.mark.parametrize("key", ["XXBTZUSD", "XBTUSD", "anything"])
def test_the_rows_are_found_whatever_the_pair_is_called(key: str) -> None:
    assert kraken.decode_trades(trades_body("5", key=key), START).height == 1
    bar = '[60,"1","2","0.5","1.5","1.2","10",3]'
    assert kraken.decode_bars(bars_body(bar, key=key), START).height == 1


@pytest.mark.parametrize("result", ['"last":"1"', '"A":[],"B":[],"last":"1"', ""])
def test_rows_of_none_or_of_several_pairs_are_refused(result: str) -> None:
    body = f'{{"error":[],"result":{{{result}}}}}'.encode()
    for decode in (kraken.decode_trades, kraken.decode_bars):
        with pytest.raises(PayloadError, match="pairs in the answer"):
            decode(body, START)


def test_a_book_of_no_pair_is_refused() -> None:
    with pytest.raises(PayloadError, match="0 pairs in the answer"):
        kraken.decode_depth(b'{"error":[],"result":{}}', START)


def test_no_rows_are_no_rows_of_the_right_table() -> None:
    assert kraken.decode_trades(trades_body(), START).is_empty()
    assert kraken.decode_bars(bars_body(), START).is_empty()
    empty = b'{"error":[],"result":{"A":{"asks":[],"bids":[]}}}'
    assert kraken.decode_depth(empty, START).is_empty()


def test_the_quote_volume_is_the_average_price_times_the_volume() -> None:
    body = bars_body(
        '[60,"43366.3","43529.2","43234.2","43485.0","43435.3","12.51327406",126]',
        '[120,"43485.0","43485.0","43485.0","43485.0","0.0","0.00000000",0]',
    )
    bars = kraken.decode_bars(body, START)
    assert bars["quote_volume"].to_list() == [43435.3 * 12.51327406, 0.0]
    assert bars["trades"].to_list() == [126, 0]
    assert bars["ts"].to_physical().to_list() == [MINUTE, 2 * MINUTE]


@pytest.mark.parametrize("place", [1, 5, 6])
def test_text_that_is_no_number_is_refused(place: int) -> None:
    cells = ["60", '"1"', '"2"', '"0.5"', '"1.5"', '"1.2"', '"10"', "3"]
    cells[place] = '"1,5"'
    with pytest.raises(PayloadError, match="not what its column holds"):
        kraken.decode_bars(bars_body(f"[{','.join(cells)}]"), START)


@pytest.mark.parametrize("time", [-1, 1_704_067_200_000, 9_223_372_037, "60.5"])
def test_a_time_that_is_no_second_of_ours_is_refused(time: int | str) -> None:
    with pytest.raises(PayloadError, match="unexpected shape"):
        kraken.decode_bars(bars_body(f'[{time},"1","2","0.5","1.5","1.2","10",3]'), START)


def test_the_levels_of_a_book_take_the_time_of_the_answer() -> None:
    body = b'{"error":[],"result":{"A":{"asks":[["2","1",1700000000]],"bids":[["1","3",1600000000]]}}}'
    book = kraken.decode_depth(body, START)
    assert book["ts"].to_physical().to_list() == [START, START]
    assert book["side"].to_list() == ["bid", "ask"]


def test_a_pair_without_a_status_is_online_as_in_2021() -> None:
    pairs = b'{"error":[],"result":{"A":{"altname":"XBTUSD","wsname":"XBT/USD"}}}'
    assert kraken.decode_markets(pairs).row(0)[:3] == ("BTC/USD", "XBTUSD", True)


@pytest.mark.parametrize("status", ["cancel_only", "post_only", "limit_only", "reduce_only", "unheard"])
def test_only_online_pairs_are_active(status: str) -> None:
    pairs = b'{"error":[],"result":{"A":{"altname":"XDGXBT","wsname":"XDG/XBT","status":"%s"}}}'
    assert kraken.decode_markets(pairs % status.encode()).row(0)[:3] == ("DOGE/BTC", "XDGXBT", False)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("EGeneral:Too many requests", Throttled),
        ("EAPI:Rate limit exceeded", Throttled),
        ("EService: Throttled: 1704067210", Throttled),
        ("EGeneral:Temporary lockout", Banned),
        ("EQuery:Unknown asset pair", UnknownSymbol),
        ("EQuery:Invalid asset pair", UnknownSymbol),
        ("EService:Unavailable", Unavailable),
        ("EService:Busy", Unavailable),
        ("EService:Market in cancel_only mode", Unavailable),
        ("EGeneral:Internal error", Unavailable),
        ("EGeneral:Invalid arguments", Rejected),
        ("Something without a letter", Rejected),
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_an_error_in_the_body_is_one_whatever_the_status(
    error: str, kind: type[Exception], status: int
) -> None:
    found = kraken.verdict(response(f'{{"error":["{error}"]}}', status))
    assert type(found) is kind
    assert error in str(found)


@pytest.mark.parametrize(
    "body",
    [
        '{"error":[],"result":{}}',
        ' {\n "error" : [ ] ,\n "result":{}}',
        '{"result":{},"error":[]}',
        '{"error":["WGeneral:Deprecated"],"result":{}}',
        "",
        "<html>",
    ],
)
def test_no_error_and_warnings_are_left_to_the_decoder(body: str) -> None:
    assert kraken.verdict(response(body)) is None


def test_a_warning_beside_an_error_is_told_but_does_not_decide() -> None:
    error = kraken.verdict(response('{"error":["WEService:Busy","EQuery:Unknown asset pair"]}'))
    assert type(error) is UnknownSymbol
    assert "WEService:Busy; EQuery:Unknown asset pair" in str(error)


def test_bytes_that_are_no_text_are_no_error() -> None:
    assert kraken.verdict(Response(200, {}, b'{"error":["\xff"]}', START)) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, Banned), (404, Rejected), (429, Throttled), (500, Unavailable), (520, Unavailable)],
)
def test_a_page_of_html_is_judged_by_its_status(status: int, kind: type[Exception]) -> None:
    error = kraken.verdict(response("<html>api.kraken.com</html>", status))
    assert type(error) is kind
    assert "<html>api.kraken.com</html>" in str(error)


@pytest.mark.parametrize(
    ("answer", "wait_s"),
    [
        (response('{"error":["EGeneral:Too many requests"]}'), 3.0),
        (response('{"error":["EAPI:Rate limit exceeded"]}', retry_after="9"), 9.0),
        (response('{"error":["EAPI:Rate limit exceeded"]}', retry_after="soon"), 3.0),
        (response('{"error":["EService: Throttled: 1704067210"]}'), 10.0),
        (response('{"error":["EService:Throttled:1704067210"]}'), 10.0),
        (response('{"error":["EService: Throttled: 1704067190"]}'), 0.0),
        (response('{"error":["EService: Throttled: 17040672100000"]}'), 3.0),
        (response('{"error":["EGeneral:Temporary lockout"]}'), 900.0),
        (response("<html>", 403), 60.0),
        (response("<html>", 429), 3.0),
    ],
)
def test_how_long_to_stay_away(answer: Response, wait_s: float) -> None:
    error = kraken.verdict(answer)
    assert isinstance(error, Throttled)
    assert error.wait_s == wait_s


def test_throttled_until_is_read_on_the_venue_s_clock() -> None:
    answer = response('{"error":["EService: Throttled: 1704067210"]}', date="Mon, 01 Jan 2024 00:00:04 GMT")
    error = kraken.verdict(answer)
    assert isinstance(error, Throttled)
    assert error.wait_s == 6.0


TRADES, OHLC, BOOK = DataType.TRADES, DataType.OHLC, DataType.ORDERBOOK
CAME = parse_time("2024-01-01T00:00:30.5")
HEARTBEAT = b'{"channel":"heartbeat"}'
TRADE = (
    b'{"symbol":"BTC/USD","side":"buy","price":105944.20,"qty":0.00027625,"ord_type":"limit",'
    b'"trade_id":10218208,"timestamp":"2024-01-01T00:00:29.440295Z"}'
)
CANDLE = (
    b'{"symbol":"BTC/USD","open":106038.2,"high":106044.3,"low":106038.1,"close":106040.1,"volume":2.5,'
    b'"vwap":106039.6,"trades":12,"interval_begin":"2024-01-01T00:00:00.000000000Z","interval":1,'
    b'"timestamp":"2024-01-01T00:01:00.000000Z"}'
)
# the example of the official page on the checksum, whose result it gives
ASKS = (
    "45285.2 0.00100000, 45286.4 1.54571953, 45286.6 1.54571109, 45289.6 1.54560911, 45290.2 0.15890660, "
    "45291.8 1.54553491, 45294.7 0.04454749, 45296.1 0.35380000, 45297.5 0.09945542, 45299.5 0.18772827"
)
BIDS = (
    "45283.5 0.10000000, 45283.4 1.54582015, 45282.1 0.10000000, 45281.0 0.10000000, 45280.3 1.54592586, "
    "45279.0 0.07990000, 45277.6 0.03310103, 45277.5 0.30000000, 45277.3 1.54602737, 45276.6 0.15445238"
)
PROOF = 3310070434


def topic(data_type: DataType, market: str = "XBTUSD", bar: str | None = None, depth: int = 0) -> Topic:
    return Topic(data_type, market, bar=None if bar is None else parse_bar_span(bar), depth=depth)


def heard(*frames: bytes, state: object = None) -> Heard:
    moments = [Ns(CAME + number) for number in range(len(frames))]
    return kraken.LIVE.hear(frames, moments, state)


def understood(*frames: bytes, state: object = None) -> Heard:
    result = heard(*frames, state=state)
    assert result.bad == []
    return result


def pushed(channel: str, *rows: bytes, kind: str = "update") -> bytes:
    return b'{"channel":"%s","type":"%s","data":[%s]}' % (channel.encode(), kind.encode(), b",".join(rows))


def levels(text: str) -> Pairs:
    return [(price, amount) for price, amount in (pair.split() for pair in text.split(",") if pair)]


def book(bids: str, asks: str = "", checksum: int = 0, kind: str = "update", more: str = "") -> bytes:
    """Write a message from pairs like ``1.5 2, 1.6 0``; ``more``: fields beside the symbol."""
    sides = [
        ",".join(f'{{"price":{price},"qty":{amount}}}' for price, amount in levels(side))
        for side in (bids, asks)
    ]
    text = f'"symbol":"BTC/USD","bids":[{sides[0]}],"asks":[{sides[1]}],"checksum":{checksum}{more}'
    return pushed("book", b"{%s}" % text.encode(), kind=kind)


def at(text: str) -> str:
    return f',"timestamp":"{text}"'


def answer(method: str, at: str = "2024-01-01T00:00:20.5Z", **said: object) -> bytes:
    return msgspec.json.encode({"method": method, "time_in": at, "time_out": at, **said})


def agreed(channel: str, at: str = "2024-01-01T00:00:20.5Z", **more: object) -> bytes:
    result = {"channel": channel, "symbol": "BTC/USD", **more}
    return answer("subscribe", at, result=result, success=True, req_id=1)


def candle(minute: int, price: float, volume: float = 2.0) -> bytes:
    row = {"symbol": "BTC/USD", "open": price, "high": price, "low": price, "close": price, "vwap": price}
    begin = f"2024-01-01T00:{minute:02}:00.000000000Z"
    return msgspec.json.encode({**row, "volume": volume, "trades": 1, "interval_begin": begin, "interval": 1})


def bars(result: Heard) -> list[tuple[int, float, int]]:
    """Return minute, close and number of trades."""
    if result.bars is None:
        return []
    minutes = [(ts - START) // MINUTE for ts in result.bars["ts"].to_physical()]
    return list(zip(minutes, result.bars["close"], result.bars["trades"], strict=True))


class TestSubscribing:
    @pytest.mark.parametrize(
        ("altname", "pair"),
        [
            ("XBTUSD", "BTC/USD"),
            ("XBTUSDT", "BTC/USDT"),
            ("XBTPYUSD", "BTC/PYUSD"),
            ("XRPRLUSD", "XRP/RLUSD"),
            ("ETHXBT", "ETH/BTC"),
            ("ETHWETH", "ETHW/ETH"),
            ("XDGUSD", "DOGE/USD"),
            ("XDGXBT", "DOGE/BTC"),
            ("USDTUSD", "USDT/USD"),
            ("USDQUSDC", "USDQ/USDC"),
            ("PYUSDUSD", "PYUSD/USD"),
            ("TUSDUSD", "TUSD/USD"),
            ("TUSD", "T/USD"),
            ("AUDUSD", "AUD/USD"),
            ("GALAUSD", "GALA/USD"),
            ("EURQUSD", "EURQ/USD"),
            ("EURTUSDT", "EURT/USDT"),
            ("AAPLxUSD", "AAPLx/USD"),
            ("1INCHEUR", "1INCH/EUR"),
            ("MATICPOL", "MATICPOL"),
            ("USD", "USD"),
        ],
    )
    def test_the_websocket_calls_a_market_otherwise(self, altname: str, pair: str) -> None:
        assert kraken.LIVE.name(topic(TRADES, altname)) == f"trade@{pair}"

    @pytest.mark.parametrize("symbol", ["BTC/USD", "ETH/BTC", "DOGE/USDT", "SOL/EUR", "PEPE/CAD", "LINK/JPY"])
    def test_it_is_our_own_name(self, symbol: str) -> None:
        assert kraken.LIVE.name(topic(BOOK, kraken.market(Symbol.parse(symbol)))) == f"book@{symbol}"

    @pytest.mark.parametrize(
        ("wanted", "name", "params"),
        [
            (topic(TRADES), "trade@BTC/USD", {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": False}),
            (
                topic(OHLC, bar="1m"),
                "ohlc-1@BTC/USD",
                {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 1, "snapshot": True},
            ),
            (
                topic(OHLC, bar="1d"),
                "ohlc-1440@BTC/USD",
                {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 1_440, "snapshot": True},
            ),
            (
                topic(BOOK, "XDGUSD", depth=100),
                "book@DOGE/USD",
                {"channel": "book", "symbol": ["DOGE/USD"], "depth": 100, "snapshot": True},
            ),
        ],
    )
    def test_what_is_said(self, wanted: Topic, name: str, params: dict[str, object]) -> None:
        live = kraken.LIVE
        assert live.name(wanted) == name
        assert live.url(wanted) == "wss://ws.kraken.com/v2"
        words = {"method": "subscribe", "params": params, "req_id": 3}
        assert msgspec.json.decode(live.subscribe([wanted], 3)) == words
        left = {key: value for key, value in params.items() if key != "snapshot"}
        words = {"method": "unsubscribe", "params": left, "req_id": 4}
        assert msgspec.json.decode(live.unsubscribe([wanted], 4, None)) == words

    def test_a_message_holds_one_topic(self) -> None:
        assert kraken.LIVE.batch == 1
        with pytest.raises(ValueError, match="too many values"):
            kraken.LIVE.subscribe([topic(TRADES), topic(BOOK, depth=10)], 1)

    def test_names_of_one_market_differ(self) -> None:
        wanted = [
            topic(TRADES),
            topic(BOOK, depth=10),
            *(topic(OHLC, bar=text) for text in ("1m", "5m", "1h")),
        ]
        assert len({kraken.LIVE.name(one) for one in wanted}) == len(wanted)

    def test_a_ping_carries_its_number(self) -> None:
        assert kraken.LIVE.ping is not None
        assert kraken.LIVE.ping(42) == b'{"method":"ping","req_id":42}'
        assert kraken.LIVE.ping_every < kraken.LIVE.silence < MINUTE

    def test_what_can_be_listened_to(self) -> None:
        channels = kraken.LIVE.channels
        assert channels[OHLC].spans == ENDPOINTS[OHLC].spans
        assert [channels[BOOK].depth(wanted) for wanted in (1, 10, 11, 50, 500, 501, 1_000, 1_001)] == [
            *(10, 10, 25, 100, 500, 1_000, 1_000, None)
        ]
        assert (channels[BOOK].cuts, channels[BOOK].checked, channels[BOOK].start) == (True, 10, None)
        assert kraken.EXCHANGE.live is kraken.LIVE
        assert (kraken.LIVE.connects.amount, kraken.LIVE.connects.period) <= (150, 10 * MINUTE)


class TestTradesPushed:
    def test_all_trades_of_a_message(self) -> None:
        other = TRADE.replace(b"buy", b"sell").replace(b"10218208", b"10218209").replace(b"29.4", b"30.4")
        result = understood(pushed("trade", TRADE, other), pushed("trade", TRADE.replace(b"BTC", b"DOGE")))
        assert result.trades is not None
        assert result.trades.rows(named=True)[0] == {
            "ts": result.trades["ts"][0],
            "price": 105944.2,
            "amount": 0.00027625,
            "side": "buy",
            "trade_id": "10218208",
            "topic": "trade@BTC/USD",
            "received": CAME,
        }
        assert result.trades["ts"].to_physical()[0] == parse_time("2024-01-01T00:00:29.440295")
        assert result.trades["side"].to_list() == ["buy", "sell", "buy"]
        assert result.trades["topic"].to_list() == ["trade@BTC/USD", "trade@BTC/USD", "trade@DOGE/USD"]
        assert result.trades["received"].to_list() == [CAME, CAME, CAME + 1]
        assert result.at == parse_time("2024-01-01T00:00:30.440295")

    @pytest.mark.parametrize("digits", ["", ".4", ".440295", ".4402951", ".440295123"])
    def test_times_have_any_number_of_digits(self, digits: str) -> None:
        text = f"2024-01-01T00:00:29{digits}"
        trade = TRADE.replace(b"2024-01-01T00:00:29.440295", text.encode())
        assert understood(pushed("trade", trade)).at == parse_time(text)

    def test_a_whole_number_is_a_number_too(self) -> None:
        result = understood(pushed("trade", TRADE.replace(b"105944.20", b"105944")))
        assert result.trades is not None
        assert result.trades["price"].to_list() == [105944.0]

    def test_fields_that_nobody_knows_are_passed_over(self) -> None:
        more = TRADE.replace(b'"side"', b'"new":{"a":[1]},"side"')
        assert understood(pushed("trade", more).replace(b'"type"', b'"x":1,"type"')).trades is not None


class TestBarsPushed:
    def test_a_bar_opens_where_it_begins_and_nobody_says_whether_it_is_over(self) -> None:
        result = understood(pushed("ohlc", CANDLE))
        assert result.bars is not None
        [row] = result.bars.rows(named=True)
        assert row.pop("ts").isoformat() == "2024-01-01T00:00:00+00:00"
        assert row == {
            "open": 106038.2,
            "high": 106044.3,
            "low": 106038.1,
            "close": 106040.1,
            "volume": 2.5,
            "quote_volume": 106039.6 * 2.5,
            "trades": 12,
            "topic": "ohlc-1@BTC/USD",
            "received": CAME,
            "closed": None,
        }

    def test_its_end_is_not_the_time(self) -> None:
        assert understood(pushed("ohlc", CANDLE)).at is None

    def test_quiet_bars_are_filled_in_as_rest_has_them(self) -> None:
        result = understood(pushed("ohlc", candle(0, 5.0)), pushed("ohlc", candle(3, 7.0)))
        assert bars(result) == [(0, 5.0, 1), (1, 5.0, 0), (2, 5.0, 0), (3, 7.0, 1)]
        assert result.bars is not None
        quiet = bars_body('[60,"5.0","5.0","5.0","5.0","0.0","0.00000000",0]')
        names = ["open", "high", "low", "close", "volume", "quote_volume", "trades"]
        assert result.bars[1].select(names).equals(kraken.decode_bars(quiet, START).select(names))

    def test_they_are_filled_in_as_time_passes_too(self) -> None:
        first = understood(pushed("ohlc", candle(0, 5.0)))
        early = understood(answer("pong", "2024-01-01T00:02:01Z"), state=first.state)
        assert bars(early) == []
        late = understood(answer("pong", "2024-01-01T00:02:02Z"), HEARTBEAT, state=early.state)
        assert bars(late) == [(1, 5.0, 0)]
        assert late.bars is not None
        assert late.bars["received"].to_list() == [CAME + 1]
        assert bars(understood(pushed("ohlc", candle(2, 6.0)), state=late.state)) == [(2, 6.0, 1)]

    def test_the_same_state_can_be_told_twice(self) -> None:
        first = understood(pushed("ohlc", candle(0, 5.0)))
        pong = answer("pong", "2024-01-01T00:05:00Z")
        assert bars(understood(pong, state=first.state)) == bars(understood(pong, state=first.state)) != []

    def test_the_snapshot_begins_the_running_bar(self) -> None:
        said = [
            agreed("ohlc", "2024-01-01T00:09:20Z", interval=1),
            pushed("ohlc", candle(9, 5.0), kind="snapshot"),
        ]
        assert bars(understood(*said)) == [(9, 5.0, 1)]

    @pytest.mark.parametrize("order", [1, -1])
    def test_of_an_old_snapshot_only_the_last_price_counts(self, order: int) -> None:
        rows = [candle(minute, float(minute)) for minute in (1, 2, 4)][::order]
        said = [agreed("ohlc", "2024-01-01T00:09:20Z", interval=1), pushed("ohlc", *rows, kind="snapshot")]
        first = understood(*said)
        assert bars(first) == [(8, 4.0, 0)]
        later = understood(answer("pong", "2024-01-01T00:10:02Z"), state=first.state)
        assert bars(later) == [(9, 4.0, 0)]

    def test_no_bar_at_all_yet(self) -> None:
        said = [
            agreed("ohlc", interval=1),
            pushed("ohlc", kind="snapshot"),
            answer("pong", "2024-01-01T00:30:00Z"),
        ]
        assert bars(understood(*said)) == []


class TestBooksPushed:
    def test_the_type_beside_the_data_says_whether_it_is_the_whole_book(self) -> None:
        told = '"type":"update"'
        result = understood(
            book("1.5 2", "1.6 3", 7, "snapshot", at("2024-01-01T00:00:29.440295Z")),
            book(
                "1.5 0",
                "",
                8,
                "update",
                at("2024-01-01T00:00:29.5Z") + f",{told.replace('update', 'snapshot')}",
            ),
        )
        whole, change = result.books
        assert (whole.topic, whole.whole, whole.checksum) == ("book@BTC/USD", True, 7)
        assert (whole.bids, whole.asks) == ([("1.5", "2")], [("1.6", "3")])
        assert whole.at == parse_time("2024-01-01T00:00:29.440295")
        assert (change.whole, change.checksum, change.bids, change.asks) == (False, 8, [("1.5", "0")], [])
        assert (change.first, change.last, change.previous) == (None, None, None)
        assert result.at == change.at == parse_time("2024-01-01T00:00:29.5")

    def test_numbers_are_kept_as_they_are_written(self) -> None:
        [change] = understood(book("105944.20 0.250, 0.00000010 123456789012345678.10, 5 0")).books
        assert change.bids == [("105944.20", "0.250"), ("0.00000010", "123456789012345678.10"), ("5", "0")]

    def test_a_snapshot_may_tell_no_time(self) -> None:
        result = understood(book("1.5 2", "1.6 3", kind="snapshot"))
        assert (result.books[0].at, result.at) == (None, None)

    def test_several_changes_of_one_price_apply_in_their_order(self) -> None:
        kept = Book(kraken.LIVE.channels[TRADES])
        result = understood(
            book("1.5 2, 1.4 1", "1.6 3", kind="snapshot"), book("1.5 0, 1.5 9, 1.4 7, 1.4 0")
        )
        assert [kept.apply(change) for change in result.books] == [True, True]
        assert kept.bids.best(5) == [("1.5", "9")]

    @pytest.mark.parametrize("text", ["1e-5", "-1.5", '"1.5"', "null", "[]", "{}", "true"])
    @pytest.mark.parametrize("place", ["1.5 %s", "%s 1.5"])
    def test_what_is_no_plain_number_spoils_its_message_alone(self, text: str, place: str) -> None:
        spoilt = book("1.5 2").replace(b'"price":1.5,"qty":2', b"!")
        price, amount = (place % text).split()
        spoilt = spoilt.replace(b"!", f'"price":{price},"qty":{amount}'.encode())
        result = heard(book("1.1 1"), spoilt, book("1.2 1"))
        assert [change.bids[0][0] for change in result.books] == ["1.1", "1.2"]
        assert [frame for frame, _ in result.bad] == [spoilt]
        assert "are no levels" in result.bad[0][1]


class TestChecksum:
    BOTH = Precision(1, 8)

    def test_the_official_example(self) -> None:
        assert kraken.checksum(levels(BIDS), levels(ASKS), self.BOTH) == PROOF

    def test_it_comes_out_of_a_message_that_tells_it(self) -> None:
        kept = Book(kraken.LIVE.channels[BOOK], 10, self.BOTH)
        [whole] = understood(book(BIDS, ASKS, PROOF, "snapshot")).books
        assert kept.apply(whole)
        [wrong] = understood(book(BIDS, ASKS, PROOF + 1, "snapshot")).books
        assert not kept.apply(wrong)
        assert kept.lost == f"checksum {PROOF}, the venue says {PROOF + 1}"

    def test_zeros_that_are_not_written_count(self) -> None:
        def short(side: str) -> Pairs:
            return [(str(float(price)), str(float(amount))) for price, amount in levels(side)]

        assert short(BIDS)[0] == ("45283.5", "0.1")
        assert kraken.checksum(short(BIDS), short(ASKS), self.BOTH) == PROOF
        assert kraken.checksum(short(BIDS), short(ASKS), None) != PROOF

    def test_whole_numbers_have_their_zeros_too(self) -> None:
        whole = kraken.checksum([("45281", "1")], [], self.BOTH)
        assert whole == kraken.checksum([("45281.0", "1.00000000")], [], None)

    def test_without_a_precision_numbers_count_as_they_are_written(self) -> None:
        assert kraken.checksum(levels(BIDS), levels(ASKS), None) == PROOF

    def test_only_the_best_ten_count_and_a_change_of_any_is_seen(self) -> None:
        kept = Book(kraken.LIVE.channels[BOOK], 25, self.BOTH)
        deeper = book(f"{BIDS}, 45270.0 1", f"{ASKS}, 45300.0 1", PROOF, "snapshot")
        assert kept.apply(understood(deeper).books[0])
        assert kept.apply(understood(book("45271.0 5", "", PROOF)).books[0])
        assert not kept.apply(understood(book("45276.6 5", "", PROOF)).books[0])

    def test_an_empty_book_has_one(self) -> None:
        assert kraken.checksum([], [], self.BOTH) == 0


class TestAnswers:
    @pytest.mark.parametrize(
        ("said", "topic"),
        [
            (agreed("trade", snapshot=False), "trade@BTC/USD"),
            (agreed("book", depth=10, snapshot=True), "book@BTC/USD"),
            (
                agreed("ohlc", interval=5, snapshot=True, warnings=["timestamp is deprecated"]),
                "ohlc-5@BTC/USD",
            ),
        ],
    )
    def test_each_topic_is_agreed_to_by_name(self, said: bytes, topic: str) -> None:
        result = understood(said)
        assert result.acks == [Ack(topic)]
        assert result.at == parse_time("2024-01-01T00:00:20.5")

    def test_a_refusal_is_told_by_the_number_of_the_message(self) -> None:
        text = "Currency pair not supported XBT/USD"
        said = answer("subscribe", error=text, success=False, req_id=9, symbol="XBT/USD")
        assert understood(said).acks == [Ack(id=9, error=text)]

    def test_a_message_that_it_does_not_understand_may_have_been_any(self) -> None:
        said = answer("error", error="Malformed request", success=False)
        assert understood(said).acks == [Ack(error="Malformed request")]

    def test_the_end_of_a_subscription_is_no_agreement(self) -> None:
        said = agreed("book", depth=10).replace(b'"subscribe"', b'"unsubscribe"')
        result = understood(said)
        assert (result.acks, result.restart) == ([], None)

    def test_a_subscription_that_does_not_end_takes_a_new_connection(self) -> None:
        said = answer("unsubscribe", error="Subscription Not Found", success=False, req_id=9)
        result = understood(said)
        assert result.acks == []
        assert result.restart == "Kraken did not end a subscription: Subscription Not Found"

    def test_a_pong_tells_the_time_and_a_heartbeat_nothing(self) -> None:
        result = understood(answer("pong", "2024-01-01T00:00:21.000000001Z", req_id=42))
        assert result.at == parse_time("2024-01-01T00:00:21.000000001")
        assert understood(HEARTBEAT).at is None

    @pytest.mark.parametrize(
        ("system", "down"),
        [
            ("online", 0),
            ("cancel_only", 0),
            ("post_only", 0),
            ("limit_only", 0),
            ("maintenance", 1),
            ("offline", 1),
        ],
    )
    def test_what_the_engine_s_status_means(self, system: str, down: int) -> None:
        row = {"version": "2.0.0", "system": system, "api_version": "v2", "connection_id": 2**64 - 1}
        result = understood(pushed("status", msgspec.json.encode(row)))
        assert result.restart == (f"Kraken's engine is down: {system}" if down else None)
        assert (result.acks, result.at) == ([], None)


class TestBatches:
    GOOD = (
        pushed("trade", TRADE),
        pushed("ohlc", CANDLE),
        book("1.5 2", "1.6 3", kind="snapshot"),
        agreed("trade"),
        HEARTBEAT,
        answer("pong"),
    )
    BAD = (
        b"",
        b"not json",
        b"[1,2]",
        b"{}",
        b"1,2",
        b"\xff",
        HEARTBEAT + b"," + HEARTBEAT,
        b'{"channel":"ticker","type":"snapshot","data":[]}',
        b'{"channel":"trade","data":[]}',
        b'{"method":"sing"}',
        b'{"channel":"status","type":"update","data":[{}]}',
        pushed("trade", TRADE, kind="partial"),
        pushed("trade", TRADE.replace(b'"trade_id":10218208,', b"")),
        pushed("trade", TRADE.replace(b"10218208", b'"10218208"')),
        pushed("trade", TRADE.replace(b"10218208", b"-1")),
        pushed("trade", TRADE.replace(b"105944.20", b'"105944.20"')),
        pushed("trade", TRADE.replace(b"105944.20", b"[]")),
        pushed("trade", TRADE.replace(b"buy", b"b")),
        pushed("trade", TRADE.replace(b"2024-01-01T00", b"2024-13-01T00")),
        pushed("trade", TRADE.replace(b"295Z", b"295")),
        pushed("ohlc", CANDLE.replace(b'"interval":1', b'"interval":0')),
        pushed("ohlc", CANDLE.replace(b"00.000000000Z", b"00.0000000000Z")),
        pushed("ohlc", CANDLE.replace(b'"trades":12', b'"trades":1.5')),
        book("1.5 2", checksum=-1),
        book("1.5 2", more=at("yesterday")),
        answer("pong", "now"),
    )

    def test_whole(self) -> None:
        result = understood(*self.GOOD)
        assert result.trades is not None
        assert result.bars is not None
        assert (result.trades.height, result.bars.height, len(result.books), result.acks) == (
            *(1, 1, 1),
            [Ack("trade@BTC/USD")],
        )
        assert result.at == parse_time("2024-01-01T00:00:29.440295")

    @pytest.mark.parametrize("bad", BAD)
    def test_a_bad_message_spoils_no_other(self, bad: bytes) -> None:
        alone = heard(bad)
        assert [frame for frame, _ in alone.bad] == [bad]
        frames: Sequence[bytes] = [*self.GOOD, bad, *self.GOOD, bad]
        result = heard(*frames)
        assert [frame for frame, _ in result.bad] == [bad, bad]
        twice = understood(*self.GOOD, *self.GOOD)
        assert (result.books, result.acks, result.at) == (twice.books, twice.acks, twice.at)
        for mine, theirs in ((result.trades, twice.trades), (result.bars, twice.bars)):
            assert mine is not None
            assert theirs is not None
            assert mine.drop("received").equals(theirs.drop("received"))

    def test_what_a_bad_one_s_neighbours_said_of_bars_is_kept(self) -> None:
        result = heard(pushed("ohlc", candle(0, 5.0)), b"bad", pushed("ohlc", candle(2, 7.0)))
        assert bars(result) == [(0, 5.0, 1), (1, 5.0, 0), (2, 7.0, 1)]
        later = understood(answer("pong", "2024-01-01T00:04:02Z"), state=result.state)
        assert bars(later) == [(3, 7.0, 0)]
