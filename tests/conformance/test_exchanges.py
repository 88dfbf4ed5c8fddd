"""What every exchange owes, stated once. Adding an exchange adds data, no code here."""

import io
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import polars as pl
import pytest

import dccd_core.exchanges
from dccd_core.adapter.contract import (
    FULL,
    MARKETS,
    NOW,
    Cursor,
    Endpoint,
    Exchange,
    IdWindows,
    Query,
    Recent,
    Request,
    Response,
    Snapshot,
)
from dccd_core.adapter.wire import read
from dccd_core.domain import errors
from dccd_core.domain.errors import DccdError, PayloadError, Rejected, Unavailable
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, TimeRange, Us
from dccd_core.exchanges import NAMES, get
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.dialect import DIALECTS

Served: TypeAlias = tuple[str, str, DataType]
"""An exchange, a kind of market, and a data type that it serves there."""

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
CASES = sorted(path.parent for path in DATA.glob("*/*/case.toml"))
FACTS = {
    "rest": {"via", "origin", "endpoint", "kind", "at"},
    "markets": {"via", "origin"},
    "error": {"via", "origin", "status", "headers", "at", "error", "wait_s", "said"},
}
"""What a ``case.toml`` may say of each kind of case; CONTRIBUTING says what it means."""
NEEDED = {"rest": {"endpoint"}, "markets": set[str](), "error": {"status", "error"}}
FILES = {
    "rest": {"payload.json", "expected.csv"},
    "markets": {"payload.json", "expected.csv"},
    "error": {"payload.json"},
}
SYMBOLS = {
    "spot": Symbol("BTC", "USDT"),
    "linear": Symbol("BTC", "USDT", "USDT"),
    "inverse": Symbol("BTC", "USD", "BTC"),
}
SPAN = TimeRange(Us(19_000 * DAY), Us(19_001 * DAY))
NO_JSON = ["", "  ", "<html>maintenance</html>", "\x00"]
OTHER_SHAPES = ["17", '"x"', '{"unheard":1}', "[[true]]", '[{"unheard":1}]', "null"]


def kinds_of(exchange: Exchange) -> list[str]:
    return [kind for kind in SYMBOLS if kind in exchange.kinds]


SERVED: list[Served] = [
    (name, kind, data_type)
    for name in NAMES
    for kind in kinds_of(get(name))
    for data_type in DataType
    if get(name).endpoint(kind, data_type)
]


def endpoint_of(served: Served) -> Endpoint:
    name, kind, data_type = served
    endpoint = get(name).endpoint(kind, data_type)
    assert endpoint
    return endpoint


DECODERS = list({(one[0], endpoint_of(one).decode): one for one in SERVED}.values())
"""Each translation of a body once, whatever number of kinds share it."""
each_served = pytest.mark.parametrize("served", SERVED, ids="-".join)
each_decoder = pytest.mark.parametrize("served", DECODERS, ids="-".join)


def case_of(served: Served) -> Path:
    """Return the folder of what is served: ``linear_ohlc``, or one whose body is translated in the same way.

    ``ohlc`` is the case of ``endpoints``; what is special for a kind of market has one of its own.
    """
    name, kind, data_type = served
    decode, own = endpoint_of(served).decode, DATA / name / f"{kind}_{data_type}"
    plain = get(name).endpoints.get(data_type)
    others = [one for one in SERVED if one[0] == name and one[2] == data_type]
    shared = [f"{one[1]}_{data_type}" for one in others if endpoint_of(one).decode is decode]
    names = [own.name, *([data_type.value] if plain and plain.decode is decode else []), *shared]
    return next((DATA / name / folder for folder in names if (DATA / name / folder).is_dir()), own)


def facts(case: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((case / "case.toml").read_text())
    except tomllib.TOMLDecodeError as e:
        return {"via": f"unreadable, {e}"}  # so it is refused by name


def faults_of(case: Path) -> list[str]:
    """Say what keeps a case from being read. Such a case fails once, by name, and no test below takes it."""
    told = facts(case)
    via = told.get("via")
    if via not in FACTS:
        return [f"via = {via!r} is none of {', '.join(FACTS)}"]
    return [
        *(
            f"nobody reads {key!r}; known: {', '.join(sorted(FACTS[via]))}"
            for key in told.keys() - FACTS[via]
        ),
        *(f"it does not say {key!r}" for key in NEEDED[via] - told.keys()),
        *(f"{name} is missing" for name in FILES[via] if not (case / name).is_file()),
    ]


def of_exchange(name: str, via: str) -> list[Path]:
    return [case for case in CASES if case.parent.name == name and facts(case).get("via") == via]


def cases(via: str) -> list[Any]:
    known = [case for case in CASES if case.parent.name in NAMES and not faults_of(case)]
    chosen = [case for case in known if facts(case)["via"] == via]
    return [pytest.param(case, id=f"{case.parent.name}-{case.name}") for case in chosen]


def body(case: Path) -> bytes:
    path = case / "payload.json"
    if not path.is_file():
        pytest.skip(f"{case.relative_to(ROOT)}: what is missing fails once, by name")
    return path.read_bytes()


def as_text(rows: pl.DataFrame) -> str:
    return (
        rows.drop("received", strict=False).write_csv().replace("+0000", "")
    )  # all our times are UTC: the cases need not say so


def expected(case: Path) -> str:
    path = case / "expected.csv"
    if not path.is_file():
        pytest.skip(f"{case.relative_to(ROOT)}: what is missing fails once, by name")
    return path.read_text().replace("+0000", "")


def some_query(served: Served) -> Query:
    name, kind, _ = served
    bar = next(iter(endpoint_of(served).spans), None)
    limit = min(100, endpoint_of(served).page_limit)
    return Query(get(name).market(SYMBOLS[kind]), SPAN, limit, bar=bar, market_type=kind)


def requests_of(served: Served) -> Iterator[Request]:
    """Yield every request that an endpoint can make."""
    endpoint, query = endpoint_of(served), some_query(served)
    if isinstance(endpoint.paging, IdWindows):
        yield endpoint.request(replace(query, first_id=7))
        for ask in (endpoint.paging.before, endpoint.paging.newest):
            if ask:
                yield ask(query)
    else:
        yield endpoint.request(query)
    if isinstance(endpoint.paging, Cursor) and endpoint.paging.skips:
        yield endpoint.request(replace(query, skip=3))
    if endpoint.oldest:
        yield endpoint.oldest(query)


def says_when_history_begins(served: Served) -> bool:
    """Tell whether somebody knows: the endpoint, bars their trades, or the list of symbols."""
    name, kind, _ = served
    trades = get(name).endpoint(kind, DataType.TRADES)
    if endpoint_of(served).oldest or (trades and trades.oldest):
        return True
    lists = [get(name).markets.decode(body(case)) for case in of_exchange(name, "markets")]
    return any(rows["listed"].is_not_null().any() for rows in lists)


def check_price(exchange: Exchange, request: Request) -> None:
    """A request names its pool and never weighs more than the pool's limits allow."""
    limits = [limit for limit in exchange.limits if limit.pool == request.pool]
    assert limits or not request.pool, f"no limits for {request.pool!r}"
    assert all(0 < request.weight <= limit.amount for limit in limits)
    assert bool(request.market) == any(limit.per_market for limit in limits)
    assert not request.host or re.fullmatch(r"https://[^/]+", request.host)
    assert all(isinstance(value, str) for value in request.params.values())


def test_the_registry_lists_the_folder() -> None:
    folder = Path(str(dccd_core.exchanges.__file__)).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    websockets = {module for module in modules if module.endswith("_live")}
    for name in sorted(modules - websockets - set(NAMES)):
        pytest.fail(f"add {name!r} to NAMES in dccd_core/exchanges/__init__.py")
    assert modules - websockets == set(NAMES)
    assert {module.removesuffix("_live") for module in websockets} <= set(NAMES)


@each_served
def test_everything_served_has_a_case(served: Served) -> None:
    case, (name, kind, data_type) = case_of(served), served
    wanted = DATA / name / (data_type if data_type in get(name).endpoints else f"{kind}_{data_type}")
    files = ", ".join(("case.toml", *sorted(FILES["rest"])))
    assert (case / "case.toml").is_file(), f"make {wanted.relative_to(ROOT)} with {files}: see CONTRIBUTING"
    told = facts(case)
    assert (told["via"], told["endpoint"]) == ("rest", data_type)
    assert case.name in (data_type.value, f"{told.get('kind')}_{data_type}")


@pytest.mark.parametrize("name", NAMES)
def test_symbols_and_errors_have_cases(name: str) -> None:
    missing = [
        f'tests/data/{name}/{via} with case.toml (via = "{via}"), {", ".join(sorted(FILES[via]))}'
        for via in ("markets", "error")
        if not of_exchange(name, via)
    ]
    assert not missing, f"make {' and '.join(missing)}: see CONTRIBUTING"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_a_case_is_whole_and_says_nothing_that_nobody_reads(case: Path) -> None:
    faults = faults_of(case)
    assert not faults, f"{case.relative_to(ROOT)}: {'; '.join(faults)}; see CONTRIBUTING"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            'via = "rest"\nendpoint = "ohlc"\nkinds = "spot"',
            "nobody reads 'kinds'; known: at, endpoint, kind, ",
        ),
        ('via = "error"\nstatus = 429', "it does not say 'error'"),
        ('via = "list"', "via = 'list' is none of rest, markets, error"),
        ('endpoint = "ohlc"', "via = None is none of rest, markets, error"),
        ('via = "markets"', "expected.csv is missing"),
        ("via: rest", 'via = "unreadable, '),
    ],
)
def test_a_case_that_cannot_be_read_says_why(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "case.toml").write_text(text)
    (tmp_path / "payload.json").write_text("{}")
    assert any(one.startswith(fault) for one in faults_of(tmp_path))


@pytest.mark.parametrize("name", NAMES)
def test_every_exchange_is_simulated(name: str) -> None:
    """The tests of fetching, of the commands and of the promises ask the simulation, for every exchange."""
    module = Path("dccd_core") / "testing" / "sandbox" / f"{name}.py"
    assert (ROOT / module).is_file(), f"make {module}, in the shape of coinbase.py beside it, with a VENUE"
    assert name in DIALECTS, f"add {name!r} to DIALECTS in {module.with_name('dialect.py')}"


@pytest.mark.parametrize("case", cases("rest"))
def test_a_payload_decodes_value_by_value(case: Path) -> None:
    told, exchange = facts(case), get(case.parent.name)
    data_type = DataType(told["endpoint"])
    endpoint = exchange.endpoint(told.get("kind", kinds_of(exchange)[0]), data_type)
    assert endpoint
    rows = endpoint.decode(body(case), Us(told.get("at", 0)))
    assert rows.schema == data_type.table.schema
    assert as_text(rows) == expected(case)


@each_served
def test_every_kind_of_market_decodes_its_case(served: Served) -> None:
    case, data_type = case_of(served), served[2]
    rows = endpoint_of(served).decode(body(case), Us(facts(case).get("at", 0)))
    assert rows.height > 0
    assert rows["ts"].is_sorted()
    assert rows.select(data_type.table.required).null_count().sum_horizontal().item() == 0
    assert as_text(rows) == expected(case)


@pytest.mark.parametrize("case", cases("markets"))
def test_markets_decode_value_by_value(case: Path) -> None:
    exchange = get(case.parent.name)
    rows = exchange.markets.decode(body(case))
    assert rows.schema == MARKETS
    assert as_text(rows) == expected(case)
    assert {Symbol.parse(symbol).market_type for symbol in rows["symbol"]} <= exchange.kinds
    if exchange.markets.more:
        for request in exchange.markets.requests():
            following = exchange.markets.more(request, body(case))
            assert following is None or following != request


@pytest.mark.parametrize("case", cases("error"))
def test_an_error_body_becomes_its_typed_error(case: Path) -> None:
    told = facts(case)
    response = Response(told["status"], told.get("headers", {}), body(case), Us(told.get("at", 0)))
    error = get(case.parent.name).verdict(response)
    assert type(error) is getattr(errors, told["error"])
    assert error is not None
    assert error.hint
    assert "wait_s" not in told or getattr(error, "wait_s", None) == told["wait_s"]
    said = told.get("said") or re.search(r'"msg":"([^"]*)"', body(case).decode(errors="replace"))
    if said:
        assert (said if isinstance(said, str) else said[1]) in str(error), "the venue's own words"


@each_served
def test_good_bodies_are_no_errors(served: Served) -> None:
    assert get(served[0]).verdict(Response(200, {}, body(case_of(served)), Us(0))) is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, Rejected) for status in (400, 404, 405, 451)),
        *((status, Unavailable) for status in (500, 502, 503, 504, 520)),
    ],
)
def test_a_status_says_what_it_is_without_a_body(name: str, status: int, kind: type[DccdError]) -> None:
    good = [body(case_of(served)) for served in SERVED if served[0] == name]
    for text in (b"", b"<html>", *good):
        error = get(name).verdict(Response(status, {}, text, Us(0)))
        assert type(error) is kind
        assert error is not None
        assert str(status) in str(error)
        assert error.hint


@pytest.mark.parametrize("case", cases("markets"))
def test_lists_of_symbols_are_no_errors(case: Path) -> None:
    assert get(case.parent.name).verdict(Response(200, {}, body(case), Us(0))) is None


@each_decoder
@pytest.mark.parametrize("text", NO_JSON)
def test_a_body_that_is_no_json_may_be_asked_again(served: Served, text: str) -> None:
    with pytest.raises(Unavailable, match=r"no whole JSON|an empty body"):
        endpoint_of(served).decode(text.encode(), Us(0))


@each_decoder
@pytest.mark.parametrize("text", OTHER_SHAPES)
def test_json_of_another_shape_is_refused(served: Served, text: str) -> None:
    with pytest.raises(PayloadError, match="unexpected shape"):
        endpoint_of(served).decode(text.encode(), Us(0))


@pytest.mark.parametrize("name", NAMES)
def test_lists_of_symbols_are_read_as_strictly(name: str) -> None:
    for text in NO_JSON:
        with pytest.raises(Unavailable, match=r"no whole JSON|an empty body"):
            get(name).markets.decode(text.encode())
    for text in OTHER_SHAPES:
        with pytest.raises(PayloadError, match="unexpected shape"):
            get(name).markets.decode(text.encode())


@each_decoder
def test_a_cut_body_never_gives_rows(served: Served) -> None:
    whole, decode = body(case_of(served)).strip(), endpoint_of(served).decode
    for end in range(len(whole)):
        with pytest.raises((Unavailable, PayloadError)):
            decode(whole[:end], Us(0))


@each_decoder
def test_h11_a_byte_order_mark_before_json_is_read(served: Served) -> None:
    whole, decode = body(case_of(served)), endpoint_of(served).decode
    assert decode(b"\xef\xbb\xbf" + whole, Us(0)).equals(decode(whole, Us(0)))


@pytest.mark.parametrize("case", cases("markets"))
def test_h11_a_byte_order_mark_before_a_list_of_symbols_is_read(case: Path) -> None:
    decode = get(case.parent.name).markets.decode
    assert decode(b"\xef\xbb\xbf" + body(case)).equals(decode(body(case)))


@each_served
def test_requests_carry_the_declared_path_and_a_price(served: Served) -> None:
    endpoint, asked = endpoint_of(served), list(requests_of(served))
    path = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(endpoint.path))
    for request in asked:
        assert re.fullmatch(path, request.path)
        check_price(get(served[0]), request)
    assert {request.pool for request in asked} == {asked[0].pool}
    assert endpoint.docs.startswith("https://")


@each_served
def test_an_endpoint_says_how_far_back_it_reaches(served: Served) -> None:
    endpoint = endpoint_of(served)
    assert endpoint.page_limit > 0
    if isinstance(endpoint.paging, Snapshot):
        assert endpoint.reach == NOW
    elif isinstance(endpoint.paging, Recent):
        assert endpoint.reach != FULL
    elif endpoint.reach == FULL:
        assert says_when_history_begins(served), (
            "nobody can tell when a market began: give its endpoint or that of trades an oldest, "
            "or the rows of Markets.decode a listed; where the venue has no full history, a reach"
        )
    if isinstance(endpoint.paging, IdWindows):
        assert endpoint.paging.before or (endpoint.paging.newest and endpoint.oldest)


@each_served
def test_bars_have_lengths_other_rows_have_none(served: Served) -> None:
    spans = endpoint_of(served).spans
    assert len(set(spans)) == len(spans)
    assert list(spans) == sorted(spans)
    assert bool(spans) == (served[2] is DataType.OHLC)


@pytest.mark.parametrize("name", NAMES)
def test_an_exchange_describes_itself(name: str) -> None:
    exchange = get(name)
    assert exchange.name == name
    assert exchange.title
    assert exchange.rest_url.startswith("https://")
    assert exchange.kinds
    assert exchange.kinds <= set(SYMBOLS)
    assert {kind for kind, _ in exchange.special} <= exchange.kinds
    assert all(exchange.market(SYMBOLS[kind]) for kind in exchange.kinds)
    assert exchange.since > 0
    assert exchange.closed is None or exchange.closed > exchange.since
    assert exchange.finality_delay > 0


@pytest.mark.parametrize("name", NAMES)
def test_limits_are_counted_by_pool(name: str) -> None:
    exchange = get(name)
    assert exchange.limits
    assert all(limit.amount > 0 and limit.period > 0 for limit in exchange.limits)
    pools = {limit.pool: limit.per_market for limit in exchange.limits}
    assert all(pools[limit.pool] == limit.per_market for limit in exchange.limits), "per market or not"


@pytest.mark.parametrize("name", NAMES)
def test_symbol_discovery_has_a_price_too(name: str) -> None:
    exchange = get(name)
    requests = exchange.markets.requests()
    assert requests
    assert exchange.markets.docs.startswith("https://")
    for request in requests:
        check_price(exchange, request)


@pytest.mark.parametrize("name", NAMES)
def test_an_exchange_file_opens_with_docs_and_quirks(name: str) -> None:
    text = (ROOT / "dccd_core" / "exchanges" / f"{name}.py").read_text().split('"""')[1]
    assert "Docs: https://" in text
    assert "Quirks:" in text


def test_a_failed_read_shows_how_the_payload_begins() -> None:
    with pytest.raises(PayloadError, match=r"payload begins b'\[\"seven\"\]'"):
        read(msgspec.json.Decoder(list[int]), b'["seven"]')


def test_cases_hold_nothing_but_what_is_read() -> None:
    known = {"case.toml", "payload.json", "expected.csv"}
    assert {path.name for case in CASES for path in case.iterdir()} <= known
    unknown = {case.parent.name for case in CASES} - set(NAMES)
    assert not unknown, f"tests/data has cases of {sorted(unknown)}, which NAMES does not list"
    assert all(
        pl.read_csv(io.BytesIO((case / "expected.csv").read_bytes())).height for case in DATA.glob("*/*ohlc")
    )
