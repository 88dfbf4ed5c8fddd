"""What the conformance tests do not say: parameters, bounds, exact times, and what the bodies mean."""

import pytest

from dccd_core.adapter.contract import Cursor, Limit, Query, Reach, Recent, Request, Response
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.errors import Banned, PayloadError, Rejected, Throttled, Unavailable, UnknownSymbol
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MICROSECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import kraken
from dccd_core.tables import DataType
from tests.dccd_core.exchanges.hearing import START, response, stays_away

SPAN = TimeRange(START, parse_time("2024-01-02"))
ENDPOINTS = kraken.EXCHANGE.endpoints


def query(span: TimeRange = SPAN, limit: int = 1_000, bar: Us | None = None, market: str = "XBTUSD") -> Query:
    return Query(market, span, limit, bar)


def trades_body(*times: str, key: str = "XXBTZUSD") -> bytes:
    rows = ",".join(f'["1.5","2.0",{time},"b","m","",{number}]' for number, time in enumerate(times, 1))
    return f'{{"error":[],"result":{{"{key}":[{rows}],"last":"1"}}}}'.encode()


def moments(*times: str) -> list[int]:
    return kraken.decode_trades(trades_body(*times), START)["ts"].to_physical().to_list()


def bars_body(*rows: str, key: str = "XXBTZUSD") -> bytes:
    return f'{{"error":[],"result":{{"{key}":[{",".join(rows)}],"last":60}}}}'.encode()


def said(body: str, status: int = 200, **headers: str) -> Response:
    return response(status, body.encode(), **headers)


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
    [(START, START * 1_000 - 1_000), (START + 1, START * 1_000), (2, 1_000), (1, 0), (0, 0)],
)
def test_since_is_exclusive_so_one_microsecond_earlier_is_asked(start: int, since: int) -> None:
    request = kraken.trades_request(query(TimeRange(Us(start), Us(start + HOUR)), limit=7))
    asked = {"pair": "XBTUSD", "since": str(since), "count": "7"}
    assert request == Request("/0/public/Trades", asked, pool="trades", market="XBTUSD")


def test_the_first_trade_of_all_is_the_one_since_0() -> None:
    request = kraken.first_trade_request(query())
    asked = {"pair": "XBTUSD", "since": "0", "count": "1"}
    assert request == Request("/0/public/Trades", asked, pool="trades", market="XBTUSD")


def test_the_end_of_a_page_is_asked_again_by_more_than_the_rows_round() -> None:
    paging = ENDPOINTS[DataType.TRADES].paging
    assert paging == Cursor(blur=MICROSECOND, consecutive=True)
    shown, true = moments("1762820035.9822779")[0], 1_762_820_035_982_277_754
    again = kraken.trades_request(query(TimeRange(Us(shown - MICROSECOND), Us(shown + HOUR))))
    assert true - 3_000 < int(again.params["since"]) < true


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
    assert kraken.EXCHANGE.finality_delay == 5 * SECOND
    assert kraken.EXCHANGE.kinds == {"spot"}
    assert not kraken.EXCHANGE.special


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1700000000.1234567", 1_700_000_000_123_456),
        ("1700000000.123456789", 1_700_000_000_123_456),
        ("1700000000.1", 1_700_000_000_100_000),
        ("1700000000.000000001", 1_700_000_000_000_000),
        ("1700000000.0", 1_700_000_000_000_000),
        ("1700000000", 1_700_000_000_000_000),
        ("1378856831.0001", 1_378_856_831_000_100),
        ("0.5", 500_000),
        ("8999999999.999999999", 8_999_999_999_999_999),
    ],
)
def test_a_time_is_read_digit_by_digit_never_through_a_float(text: str, at: int) -> None:
    assert moments(text) == [at]


def test_times_of_different_length_stand_in_one_answer() -> None:
    assert moments("5", "5.25", "7.0000001") == [5 * SECOND, 5_250_000, 7 * SECOND]


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


def test_the_quote_volume_is_the_average_price_times_the_volume() -> None:
    body = bars_body(
        '[60,"43366.3","43529.2","43234.2","43485.0","43435.3","12.51327406",126]',
        '[120,"43485.0","43485.0","43485.0","43485.0","0.0","0.00000000",0]',
    )
    bars = kraken.decode_bars(body, START)
    assert bars["quote_volume"].to_list() == [43435.3 * 12.51327406, 0.0]
    assert bars["trades"].to_list() == [126, 0]
    assert bars["ts"].to_physical().to_list() == [MINUTE, 2 * MINUTE]


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


def test_l9_pairs_without_a_wsname_do_not_spoil_the_others() -> None:
    """Dark pools have none."""
    pairs = (
        b'{"error":[],"result":{"XETHZUSD.d":{"altname":"ETHUSD.d","status":"online"},'
        b'"A":{"altname":"XBTUSD","wsname":"XBT/USD"},"B":{"altname":"XBTEUR.d","wsname":null},'
        b'"C":{"altname":"SOLUSD","wsname":"SOL/USD"}}}'
    )
    assert kraken.decode_markets(pairs)["market"].to_list() == ["XBTUSD", "SOLUSD"]


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
    found = kraken.verdict(said(f'{{"error":["{error}"]}}', status))
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
    assert kraken.verdict(said(body)) is None


def test_a_warning_beside_an_error_is_told_but_does_not_decide() -> None:
    error = kraken.verdict(said('{"error":["WEService:Busy","EQuery:Unknown asset pair"]}'))
    assert type(error) is UnknownSymbol
    assert "WEService:Busy; EQuery:Unknown asset pair" in str(error)


def test_bytes_that_are_no_text_are_no_error() -> None:
    assert kraken.verdict(Response(200, {}, b'{"error":["\xff"]}', START)) is None


@pytest.mark.parametrize(("status", "kind"), [(403, Banned), (404, Rejected), (429, Throttled)])
def test_a_page_of_html_is_judged_by_its_status(status: int, kind: type[Exception]) -> None:
    error = kraken.verdict(said("<html>api.kraken.com</html>", status))
    assert type(error) is kind
    assert "<html>api.kraken.com</html>" in str(error)


@pytest.mark.parametrize(
    ("answer", "wait_s"),
    [
        (said('{"error":["EGeneral:Too many requests"]}'), 3.0),
        (said('{"error":["EAPI:Rate limit exceeded"]}', retry_after="9"), 9.0),
        (said('{"error":["EAPI:Rate limit exceeded"]}', retry_after="soon"), 3.0),
        (said('{"error":["EService: Throttled: 1704067210"]}'), 10.0),
        (said('{"error":["EService:Throttled:1704067210"]}'), 10.0),
        (said('{"error":["EService: Throttled: 1704067190"]}'), 0.0),
        (said('{"error":["EService: Throttled: 17040672100000"]}'), 3.0),
        (said('{"error":["EGeneral:Temporary lockout"]}'), 900.0),
        (said("<html>", 403), 60.0),
        (said("<html>", 429), 3.0),
    ],
)
def test_how_long_to_stay_away(answer: Response, wait_s: float) -> None:
    assert stays_away(kraken.verdict(answer))[1] == wait_s


def test_throttled_until_is_read_on_the_venue_s_clock() -> None:
    answer = said('{"error":["EService: Throttled: 1704067210"]}', date="Mon, 01 Jan 2024 00:00:04 GMT")
    assert stays_away(kraken.verdict(answer))[1] == 6.0
