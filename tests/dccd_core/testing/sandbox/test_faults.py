import json
from collections import Counter
from typing import Any

import pytest

from dccd_core.adapter.contract import Response
from dccd_core.domain.errors import PayloadError, Rejected, Throttled, Unavailable
from dccd_core.domain.timespan import MILLISECOND, MINUTE, SECOND, Us, parse_time
from dccd_core.exchanges import binance as adapter
from dccd_core.testing.sandbox.faults import Fault, FaultKind, Injector, Strike, delay_s, spoiled
from dccd_core.testing.sandbox.venue import Answer
from tests.dccd_core.testing.sandbox.inprocess import InProcess

NOW = parse_time("2024-06-05T12:00:30")
MS = MILLISECOND
KLINES = {"symbol": "ETHUSDT", "interval": "1m", "limit": 50}
TRADES = {"symbol": "ETHUSDT", "limit": 50}


def struck(fault: Fault, requests: int, path: str = "/x", symbol: str = "A", seed: int = 0) -> list[int]:
    """Return which of so many requests meet the fault, counted from 1."""
    injector = Injector([fault], seed)
    return [n for n in range(1, requests + 1) if injector.strikes(path, {"symbol": symbol})]


class TestWhoIsStruck:
    def test_everyone_unless_told_otherwise(self) -> None:
        assert struck(Fault(kind=FaultKind.EMPTY), 3) == [1, 2, 3]

    def test_the_nth_only(self) -> None:
        assert struck(Fault(kind=FaultKind.EMPTY, nth=3), 9) == [3]

    def test_the_first_so_many_only(self) -> None:
        assert struck(Fault(kind=FaultKind.EMPTY, first=2), 9) == [1, 2]

    def test_by_path_and_symbol(self) -> None:
        fault = Fault(kind=FaultKind.EMPTY, path="klines", symbol="BTCUSDT")
        assert struck(fault, 1, "/binance/api/v3/klines", "BTCUSDT") == [1]
        assert struck(fault, 1, "/binance/api/v3/klines", "ETHUSDT") == []
        assert struck(fault, 1, "/binance/api/v3/depth", "BTCUSDT") == []

    def test_others_do_not_count(self) -> None:
        injector = Injector([Fault(kind=FaultKind.EMPTY, symbol="A", nth=2)], 0)
        assert [bool(injector.strikes("/x", {"symbol": s})) for s in "ABBA"] == [False, False, False, True]

    def test_a_share_that_the_seed_decides(self) -> None:
        fault = Fault(kind=FaultKind.EMPTY, probability=0.3)
        hit = struck(fault, 1_000)
        assert 250 < len(hit) < 350
        assert hit == struck(fault, 1_000)
        assert hit != struck(fault, 1_000, seed=1)
        assert struck(Fault(kind=FaultKind.EMPTY, probability=0), 100) == []


def asked(fault: Fault, path: str = "klines") -> Response:
    sandbox = InProcess(NOW)
    sandbox.faults(fault)
    answer = sandbox.get(path, **(TRADES if path == "aggTrades" else KLINES))
    return Response(answer.status_code, dict(answer.headers), answer.content, NOW)


def rows(path: str = "klines") -> list[Any]:
    return json.loads(asked(Fault(kind=FaultKind.SLOW, seconds=0), path).body)


def times(response: Response) -> list[int]:
    return [row[0] for row in json.loads(response.body)]


@pytest.mark.parametrize("status", [500, 502, 503, 403, 451, 429, 418])
def test_a_status_comes_with_words_the_adapter_understands(status: int) -> None:
    answer = asked(Fault(kind=FaultKind.STATUS, status=status, retry_after_s=7))
    assert answer.status == status
    error = adapter.verdict(answer)
    expected = {500: Unavailable, 502: Unavailable, 503: Unavailable, 451: Rejected}.get(status, Throttled)
    assert isinstance(error, expected)
    if status in (429, 418):
        assert isinstance(error, Throttled)
        assert error.wait_s == 7


def test_the_words_can_be_given() -> None:
    answer = asked(Fault(kind=FaultKind.STATUS, status=502, body="bad gateway"))
    assert (answer.status, answer.body) == (502, b"bad gateway")


def test_an_error_may_come_with_200() -> None:
    answer = asked(Fault(kind=FaultKind.ERROR_BODY))
    assert answer.status == 200
    assert isinstance(adapter.verdict(answer), Unavailable)
    given = asked(Fault(kind=FaultKind.ERROR_BODY, body='{"code":-1121,"msg":"x"}'))
    assert isinstance(adapter.verdict(given), Rejected)


@pytest.mark.parametrize("kind", [FaultKind.TRUNCATED, FaultKind.HTML, FaultKind.EMPTY])
def test_a_body_may_be_no_json(kind: FaultKind) -> None:
    answer = asked(Fault(kind=kind))
    assert answer.status == 200
    with pytest.raises(Unavailable):
        adapter.decode_klines(answer.body, NOW)


def test_a_cut_body_is_the_beginning_of_the_right_one() -> None:
    whole, cut = (
        json.dumps(rows(), separators=(",", ":")),
        asked(Fault(kind=FaultKind.TRUNCATED)).body.decode(),
    )
    assert whole.startswith(cut)
    assert 0 < len(cut) < len(whole)


@pytest.mark.parametrize("path", ["klines", "aggTrades"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.WRONG_TYPE),
        Fault(kind=FaultKind.WRONG_TYPE, field="time"),
        Fault(kind=FaultKind.WRONG_TYPE, field="amount"),
        Fault(kind=FaultKind.MISSING_FIELD),
        Fault(kind=FaultKind.MISSING_FIELD, field="amount"),
    ],
)
def test_a_field_may_have_the_wrong_shape(path: str, fault: Fault) -> None:
    decode = adapter.decode_klines if path == "klines" else adapter.decode_trades
    body = asked(fault, path).body
    with pytest.raises(PayloadError):
        decode(body, NOW)
    right = rows(path)
    assert len([row for row in json.loads(body) if row not in right]) == 1


def test_duplicated_rows_stand_beside_their_originals() -> None:
    original, doubled = rows(), json.loads(asked(Fault(kind=FaultKind.DUPLICATED)).body)
    assert len(doubled) > len(original)
    assert list(dict.fromkeys(row[0] for row in doubled)) == [row[0] for row in original]
    assert max(Counter(row[0] for row in doubled).values()) == 2


def test_reordered_rows_are_the_same_rows() -> None:
    shuffled = times(asked(Fault(kind=FaultKind.REORDERED)))
    assert shuffled != sorted(shuffled)
    assert sorted(shuffled) == [row[0] for row in rows()]


def test_a_short_page_is_the_beginning_of_the_right_one() -> None:
    short = json.loads(asked(Fault(kind=FaultKind.SHORT_PAGE)).body)
    assert 0 < len(short) < 50
    assert short == rows()[: len(short)]


def test_short_pages_differ_in_size() -> None:
    sandbox = InProcess(faults=[Fault(kind=FaultKind.SHORT_PAGE)])
    assert len({len(sandbox.get("aggTrades", **TRADES).json()) for _ in range(10)}) > 3


def test_a_high_may_be_below_its_low() -> None:
    bars = adapter.decode_klines(asked(Fault(kind=FaultKind.HIGH_BELOW_LOW)).body, NOW)
    assert (bars["high"] < bars["low"]).sum() == 1


@pytest.mark.parametrize("path", ["klines", "aggTrades"])
def test_a_volume_may_be_negative(path: str) -> None:
    body = asked(Fault(kind=FaultKind.NEGATIVE), path).body
    amounts = (
        adapter.decode_klines(body, NOW)["volume"]
        if path == "klines"
        else adapter.decode_trades(body, NOW)["amount"]
    )
    assert (amounts < 0).sum() == 1


@pytest.mark.parametrize("path", ["klines", "aggTrades"])
def test_a_price_may_be_no_number(path: str) -> None:
    body = asked(Fault(kind=FaultKind.NAN), path).body
    prices = (
        adapter.decode_klines(body, NOW)["close"]
        if path == "klines"
        else adapter.decode_trades(body, NOW)["price"]
    )
    assert prices.is_nan().sum() == 1


def test_a_book_can_be_spoiled_too() -> None:
    sandbox = InProcess(faults=[Fault(kind=FaultKind.WRONG_TYPE, path="depth")])
    with pytest.raises(PayloadError):
        adapter.decode_depth(sandbox.get("depth", symbol="ETHUSDT").content, NOW)


def test_an_answer_without_rows_stays_as_it_is() -> None:
    sandbox = InProcess(faults=[Fault(kind=FaultKind.DUPLICATED), Fault(kind=FaultKind.NAN, field="open")])
    assert sandbox.get("ping").content == b"{}"
    assert sandbox.get("klines", symbol="NOPE", interval="1m").json()["code"] == -1121
    assert sandbox.get("klines", **KLINES, startTime=2, endTime=1).content == b"[]"


def test_slow_answers_add_up() -> None:
    faults = [Fault(kind=FaultKind.SLOW, seconds=2), Fault(kind=FaultKind.SLOW, seconds=0.5)]
    assert delay_s(Injector(faults, 0).strikes("/x", {})) == 2.5


def test_gaps_withhold_bars_until_they_are_healed() -> None:
    start = parse_time("2024-06-05T11:00")
    gap = Fault(kind=FaultKind.GAPS, symbol="ETHUSDT", start=start, end=start + 5 * MINUTE)
    sandbox = InProcess(NOW)
    window = {"symbol": "ETHUSDT", "interval": "1m", "startTime": (start - MINUTE) // MS, "limit": 3}

    def opens(**changes: str) -> list[int]:
        return [
            (row[0] * MS - start) // MINUTE for row in sandbox.get("klines", **{**window, **changes}).json()
        ]

    assert opens() == [-1, 0, 1]
    trades = sandbox.get("aggTrades", symbol="ETHUSDT", startTime=start // MS, limit=20).content
    sandbox.faults(gap)
    assert opens() == [-1, 5, 6]
    assert opens(symbol="BTCUSDT") == [-1, 0, 1]
    assert opens(interval="1h") == [0, 60]
    assert sandbox.get("aggTrades", symbol="ETHUSDT", startTime=start // MS, limit=20).content == trades
    sandbox.faults()
    assert opens() == [-1, 0, 1]


def test_trades_can_be_withheld_by_id() -> None:
    sandbox = InProcess(faults=[Fault(kind=FaultKind.MISSING_TRADES, first_id=1_001, last_id=1_998)])

    def ids(**params: int) -> list[int]:
        return [row["a"] for row in sandbox.get("aggTrades", symbol="ETHUSDT", **params).json()]

    assert ids(fromId=1_000, limit=3) == [1_000, 1_999, 2_000]
    sandbox.faults()
    assert ids(fromId=1_000, limit=3) == [1_000, 1_001, 1_002]


def test_faults_change_while_it_runs() -> None:
    sandbox = InProcess(faults=[Fault(kind=FaultKind.STATUS, nth=2)])
    assert [sandbox.get("ping").status_code for _ in range(3)] == [200, 500, 200]
    sandbox.faults(Fault(kind=FaultKind.STATUS, status=503, first=1))
    assert [sandbox.get("ping").status_code for _ in range(2)] == [503, 200]


def test_what_is_refused_by_the_limits_meets_no_fault() -> None:
    sandbox = InProcess(rate_limits=True, limit_weight=1, faults=[Fault(kind=FaultKind.STATUS, nth=2)])
    assert [sandbox.get("ping").status_code for _ in range(3)] == [200, 429, 429]


class TestNumbersThatAreNoText:
    """Some venues write numbers as JSON numbers: what a fault leaves alone keeps every digit."""

    BODY = b'[{"id":1,"price":0.1234567890123456789,"amount":5.10},{"id":2,"price":3,"amount":1e-9}]'

    def spoilt(self, *kinds: FaultKind) -> bytes:
        fields = {"price": "price", "amount": "amount", "high": "price"}
        strikes = [Strike(Fault(kind=kind), 0) for kind in kinds]
        return spoiled(Answer(self.BODY), strikes, fields).body

    def test_they_keep_their_digits(self) -> None:
        twice = self.spoilt(FaultKind.DUPLICATED)
        assert twice.count(b'"price":0.1234567890123456789,"amount":5.10') == 2

    @pytest.mark.parametrize(
        ("kind", "row"),
        [
            (FaultKind.NEGATIVE, {"id": 1, "price": 0.12345678901234568, "amount": -1.5}),
            (FaultKind.HIGH_BELOW_LOW, {"id": 1, "price": 1e-8, "amount": 5.1}),
            (FaultKind.WRONG_TYPE, {"id": 1, "price": "0.1234567890123456789", "amount": 5.1}),
        ],
    )
    def test_a_spoilt_one_is_a_number_too_unless_its_type_is_what_is_wrong(
        self, kind: FaultKind, row: dict[str, object]
    ) -> None:
        assert json.loads(self.spoilt(kind))[0] == row

    def test_rows_are_spoilt_before_the_body_is_cut(self) -> None:
        cut = self.spoilt(FaultKind.TRUNCATED, FaultKind.DUPLICATED)
        assert self.spoilt(FaultKind.DUPLICATED).startswith(cut)


class TestOldAnswers:
    def test_rest_that_lags_tells_what_was_so_and_the_time_it_is(self) -> None:
        box = InProcess()
        answers = list[Any]()
        for now, faults in (
            (NOW, []),
            (NOW + 5 * SECOND, [Fault(kind=FaultKind.LAG, seconds=5.0)]),
            (NOW, []),
        ):
            box.clock(Us(now))
            box.faults(*faults)
            answers.append([box.get(path, symbol="BTCUSDT") for path in ("depth", "aggTrades")])
        then, late, _ = answers
        assert [one.content for one in late] == [one.content for one in then]
        assert late[0].headers["date"] != then[0].headers["date"]
        box.faults()
        box.clock(Us(NOW + 5 * SECOND))
        assert box.get("depth", symbol="BTCUSDT").content != late[0].content

    def test_the_date_is_another_one_or_missing(self) -> None:
        box = InProcess(NOW)
        dates = list[str | None]()
        for kind in (FaultKind.OTHER_DATE, FaultKind.NO_DATE):
            box.faults(Fault(kind=kind, seconds=3_600.0))
            dates.append(box.get("time").headers.get("date"))
        assert dates == ["Wed, 05 Jun 2024 13:00:30 GMT", None]

    @pytest.mark.parametrize("by", [-1, 1_000_000])
    def test_a_snapshot_has_another_number(self, by: int) -> None:
        box = InProcess(NOW)
        true = box.get("depth", symbol="BTCUSDT").json()
        box.faults(Fault(kind=FaultKind.RENUMBERED, path="depth", number=by))
        told = box.get("depth", symbol="BTCUSDT").json()
        assert told == {**true, "lastUpdateId": true["lastUpdateId"] + by}
