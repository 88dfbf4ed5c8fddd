"""What every exchange owes, stated once. Adding an exchange adds data, no code here."""

import io
import tomllib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dccd_core.exchanges
from dccd_core.adapter.contract import Endpoint, Query, Reach, Response
from dccd_core.adapter.wire import read
from dccd_core.domain import errors
from dccd_core.domain.datatype import TABLES, DataType
from dccd_core.domain.errors import PayloadError, Unavailable
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, Ns, TimeSpan
from dccd_core.exchanges import NAMES, get

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
CASES = sorted(path.parent for path in DATA.glob("*/*/case.toml"))
ENDPOINTS = [(name, data_type) for name in NAMES for data_type in get(name).endpoints]
SPAN = TimeSpan(Ns(19_000 * DAY), Ns(19_001 * DAY))


def facts(case: Path) -> dict[str, Any]:
    return tomllib.loads((case / "case.toml").read_text())


def cases(via: str) -> list[Any]:
    chosen = [case for case in CASES if facts(case)["via"] == via]
    return [pytest.param(case, id=f"{case.parent.name}-{case.name}") for case in chosen]


def body(case: Path) -> bytes:
    return (case / "payload.json").read_bytes()


def some_query(endpoint: Endpoint) -> Query:
    return Query("BTCUSDT", SPAN, 100, bar=endpoint.spans[0] if endpoint.spans else None)


def test_the_registry_lists_the_folder() -> None:
    folder = Path(str(dccd_core.exchanges.__file__)).parent
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_everything_declared_has_a_case(name: str) -> None:
    declared = {data_type.value for data_type in get(name).endpoints}
    described = [facts(case) for case in CASES if case.parent.name == name]
    assert {case["endpoint"] for case in described if case["via"] == "rest"} == declared
    assert {case["via"] for case in described} >= {"markets", "error"}


@pytest.mark.parametrize("case", cases("rest"))
def test_a_payload_decodes_value_by_value(case: Path) -> None:
    data_type = DataType(facts(case)["endpoint"])
    rows = get(case.parent.name).endpoints[data_type].decode(body(case), Ns(facts(case).get("at", 0)))
    assert rows.schema == TABLES[data_type].schema
    assert rows.write_csv().replace("+0000", "") == (case / "expected.csv").read_text()


@pytest.mark.parametrize("case", cases("markets"))
def test_markets_decode_value_by_value(case: Path) -> None:
    assert get(case.parent.name).markets.decode(body(case)).write_csv() == (case / "expected.csv").read_text()


@pytest.mark.parametrize("case", cases("error"))
def test_an_error_body_becomes_its_typed_error(case: Path) -> None:
    told = facts(case)
    response = Response(told["status"], told.get("headers", {}), body(case), Ns(told.get("at", 0)))
    error = get(case.parent.name).verdict(response)
    assert type(error) is getattr(errors, told["error"])
    assert error is not None
    assert error.hint
    assert "wait_s" not in told or getattr(error, "wait_s", None) == told["wait_s"]
    if b'"msg"' in body(case):
        assert str(response.body.decode()).split('"msg":"')[1].split('"')[0] in str(error)


@pytest.mark.parametrize(("name", "data_type"), ENDPOINTS)
def test_good_bodies_are_no_errors(name: str, data_type: DataType) -> None:
    case = DATA / name / data_type.value
    assert get(name).verdict(Response(200, {}, body(case), Ns(0))) is None


@pytest.mark.parametrize(("name", "data_type"), ENDPOINTS)
@pytest.mark.parametrize("text", ["", "  ", "<html>maintenance</html>", "\x00"])
def test_a_body_that_is_no_json_may_be_asked_again(name: str, data_type: DataType, text: str) -> None:
    with pytest.raises(Unavailable, match=r"no whole JSON|an empty body"):
        get(name).endpoints[data_type].decode(text.encode(), Ns(0))


@pytest.mark.parametrize(("name", "data_type"), ENDPOINTS)
@pytest.mark.parametrize("text", ["17", '"x"', '{"unheard":1}', "[[true]]", '[{"unheard":1}]', "null"])
def test_json_of_another_shape_is_refused(name: str, data_type: DataType, text: str) -> None:
    with pytest.raises(PayloadError, match="unexpected shape"):
        get(name).endpoints[data_type].decode(text.encode(), Ns(0))


@pytest.mark.parametrize(("name", "data_type"), ENDPOINTS)
def test_a_cut_body_never_gives_rows(name: str, data_type: DataType) -> None:
    whole = body(DATA / name / data_type.value).strip()
    for end in range(len(whole)):
        with pytest.raises((Unavailable, PayloadError)):
            get(name).endpoints[data_type].decode(whole[:end], Ns(0))


@pytest.mark.parametrize(("name", "data_type"), ENDPOINTS)
def test_requests_carry_the_declared_path_and_a_price(name: str, data_type: DataType) -> None:
    endpoint = get(name).endpoints[data_type]
    request = endpoint.request(some_query(endpoint))
    assert request.path == endpoint.path
    assert 0 < request.weight <= min(limit.amount for limit in get(name).limits)
    assert endpoint.docs.startswith("https://")
    assert endpoint.oldest is not None or endpoint.reach is Reach.NOW


@pytest.mark.parametrize("name", NAMES)
def test_an_exchange_describes_itself(name: str) -> None:
    exchange = get(name)
    assert exchange.name == name
    assert exchange.rest_url.startswith("https://")
    assert exchange.kinds <= {"spot", "linear", "inverse"}
    assert exchange.market(Symbol.parse("BTC/USDT"))
    assert exchange.since > 0
    assert exchange.settle > 0
    assert all(len(set(endpoint.spans)) == len(endpoint.spans) for endpoint in exchange.endpoints.values())


@pytest.mark.parametrize("name", NAMES)
def test_an_exchange_file_opens_with_docs_and_quirks(name: str) -> None:
    text = (ROOT / "dccd_core" / "exchanges" / f"{name}.py").read_text().split('"""')[1]
    assert "Docs: https://" in text
    assert "Quirks:" in text


def test_a_failed_read_shows_how_the_payload_begins() -> None:
    import msgspec  # noqa: PLC0415 -- only this test builds a decoder of its own

    with pytest.raises(PayloadError, match=r"payload begins b'\[\"seven\"\]'"):
        read(msgspec.json.Decoder(list[int]), b'["seven"]')


def test_cases_hold_nothing_but_what_is_read() -> None:
    known = {"case.toml", "payload.json", "expected.csv"}
    assert {path.name for case in CASES for path in case.iterdir()} <= known
    assert all(
        pl.read_csv(io.BytesIO((case / "expected.csv").read_bytes())).height for case in DATA.glob("*/ohlc")
    )
