import pickle
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dccd_pipeline.config.read import EMBEDDED, SettingsError, json_schema, load_settings, parse_settings
from dccd_pipeline.config.settings import Origin

HERE = Origin("dccd.yaml", Path("/etc/dccd"))
SPANS = "1s, 1m, 3m, 5m, 15m, 30m, 1h, 2h, 4h, 6h, 8h, 12h, 1d, 3d, 1w"
ENTRY = "exchange, data_type, symbols, derive_from, span, start, end, every, cron"
KEYS = f"{ENTRY}, fold_every, enabled, depth, name"
EXAMPLE = """
store: ./data                      # or s3://bucket/prefix
exchanges:
  binance: {rest_url: "http://127.0.0.1:8900/binance", budget: 0.9}
collect:
  - {exchange: binance, symbols: [BTC/USDT, ETH/USDT], data_type: ohlc, span: 1m, every: 5m}
  - {exchange: binance, symbols: [BTC/USDT], data_type: trades, start: 2024-06-01, cron: "0 2 * * *"}
  - {name: books, exchange: binance, symbols: [BTC/USDT], data_type: orderbook, depth: 50, every: 60}
alerts: {to: ["slack://a/b/c"], webhook_url: "https://example.org/hook", after_failures: 3, low_disk: 2GiB}
"""


def entry(changes: str, drop: str = "") -> str:
    """Write a configuration with one sound entry, but for ``changes`` and the keys in ``drop``."""
    keys = {"exchange": "binance", "symbols": "[BTC/USDT]", "data_type": "ohlc", "span": "1m"}
    kept = [f"{key}: {value}" for key, value in keys.items() if f"{key}: " not in changes and key != drop]
    return f"collect: [{{{', '.join([*kept, changes] if changes else kept)}}}]"


def lines(text: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as e:
        parse_settings(text, HERE)
    assert e.value.source == HERE.source
    return e.value.lines


REFUSALS = [
    # unknown keys, on every level
    ("colect: []", "colect: unknown key -> did you mean collect?"),
    (
        "zzz: []",
        "zzz: unknown key -> known here: store, exchanges, collect, stream, alerts, remotes, s3, "
        "purge, accepted, keep_runs, reconcile, timezone",
    ),
    ("jobs: []", "jobs: unknown key -> did you mean collect?"),
    (entry("evry: 5m"), "collect[0].evry: unknown key -> did you mean every?"),
    (entry("zzz: [X]"), f"collect[0].zzz: unknown key -> known here: {KEYS}"),
    ("exchanges: {binance: {budgt: 1}}", "exchanges.binance.budgt: unknown key -> did you mean budget?"),
    ("keep_runs: {dayz: 3}", "keep_runs.dayz: unknown key -> did you mean days?"),
    ("reconcile: {request: 3}", "reconcile.request: unknown key -> did you mean requests?"),
    (
        "alerts: {webhook_url: http://h, x: 1}",
        "alerts.x: unknown key -> known here: to, webhook_url, after_failures, low_disk",
    ),
    ("1: 2", "[1]: is no key: keys are text"),
    # a misspelt key is one mistake, though the right one is missing
    (entry("symbol: [BTC/USDT]", drop="symbols"), "collect[0].symbol: unknown key -> did you mean symbols?"),
    (entry("spn: 5m", drop="span"), "collect[0].spn: unknown key -> did you mean span?"),
    # what comes with later versions
    ("archive: {}", "archive: not in this version yet -> remove it"),
    (
        "exchanges: {binance: {archive_url: x}}",
        "exchanges.binance.archive_url: not in this version yet -> remove it",
    ),
    # store, exchanges, alerts
    (
        "store: gs://x",
        "store: 'gs://x' is no place for the data -> write a folder like ./data, or s3://bucket/prefix",
    ),
    ("store: 5", "store: should be text, not 5 -> write store: ./data"),
    ("exchanges: {binanc: {}}", "exchanges.binanc: unknown exchange 'binanc' -> did you mean 'binance'?"),
    ("exchanges: [binance]", "exchanges: should be keys with values, not ['binance']"),
    ("exchanges: {binance: }", "exchanges.binance: should be keys with values, not None"),
    (
        "exchanges: {binance: {rest_url: ftp://h}}",
        "exchanges.binance.rest_url: is no http address -> write it like https://example.org/path",
    ),
    (
        "exchanges: {binance: {budget: 0}}",
        "exchanges.binance.budget: should be greater than 0, not 0 -> write budget: 0.9",
    ),
    (
        "exchanges: {binance: {budget: 90%}}",
        "exchanges.binance.budget: should be a number, not '90%' -> write budget: 0.9",
    ),
    (
        "exchanges: {binance: {symbols: {BTCUSDT: {}}}}",
        "exchanges.binance.symbols.BTCUSDT: symbol 'BTCUSDT' is not in unified notation -> write BTC/USDT",
    ),
    (
        "exchanges: {binance: {symbols: {A/USDT: {listd: 2020-01-01}}}}",
        "exchanges.binance.symbols.A/USDT.listd: unknown key -> did you mean listed?",
    ),
    (
        "exchanges: {binance: {symbols: {A/USDT: {delisted: soon}}}}",
        "exchanges.binance.symbols.A/USDT.delisted: 'soon' is no day -> write it like 2024-01-01",
    ),
    ("alerts: {}", "alerts: has no address -> write to: [https://example.org/hook]"),
    (
        "alerts: {webhook_url: h}",
        "alerts.webhook_url: is no http address -> write it like https://example.org/path",
    ),
    (
        "alerts: {webhook_url: http://h, after_failures: 0}",
        "alerts.after_failures: should be greater than or equal to 1, not 0 -> write after_failures: 3",
    ),
    (
        "alerts: {webhook_url: http://h, after_failures: yes}",
        "alerts.after_failures: should be a whole number, not True -> write after_failures: 3",
    ),
    # exchange, data type, symbols
    (entry("", drop="exchange"), "collect[0].exchange: missing -> write exchange: binance"),
    (entry("exchange: binanc"), "collect[0].exchange: unknown exchange 'binanc' -> did you mean 'binance'?"),
    (
        entry("data_type: trade", drop="span"),
        "collect[0].data_type: unknown data type 'trade' -> did you mean trades?",
    ),
    (entry("data_type: x"), "collect[0].data_type: unknown data type 'x' -> known: ohlc, trades, orderbook"),
    (entry("symbols: []"), "collect[0].symbols: has nothing in it -> write symbols: [BTC/USDT, ETH/USDT]"),
    (
        entry("symbols: BTC/USDT"),
        "collect[0].symbols: should be a list, not 'BTC/USDT' -> write symbols: [BTC/USDT, ETH/USDT]",
    ),
    (
        entry("symbols: [BTCUSDT]"),
        "collect[0].symbols[0]: symbol 'BTCUSDT' is not in unified notation -> write BTC/USDT",
    ),
    (
        entry("symbols: [ETH/USDT, BTC-USDT]"),
        "collect[0].symbols[1]: symbol 'BTC-USDT' is not in unified notation -> write BTC/USDT",
    ),
    (
        entry("symbols: [BTC/USD:BTC]"),
        "collect[0].symbols[0]: binance has no inverse markets, so no BTC/USD:BTC"
        " -> its spot market would be BTC/USD",
    ),
    # derive_from
    (
        entry("derive_from: ohlc"),
        "collect[0].derive_from: 'ohlc' is neither trades nor the length of a bar"
        " -> write trades, or a length like 1h",
    ),
    (
        entry("derive_from: 2mo"),
        "collect[0].derive_from: bars of 2 calendar months are not stored, they have no fixed length"
        ' -> collect 1d; Lake.scan(..., span="2mo") makes them of it while it is read',
    ),
    (
        entry("span: 1h, derive_from: 1m"),
        "collect[0].symbols[0]: no entry collects the binance 1m bars of BTC/USDT, of which to build bars"
        " -> add {exchange: binance, symbols: [BTC/USDT], data_type: ohlc, span: 1m}",
    ),
    (
        entry("derive_from: trades"),
        "collect[0].symbols[0]: no entry collects the binance trades of BTC/USDT, of which to build bars"
        " -> add {exchange: binance, symbols: [BTC/USDT], data_type: trades}",
    ),
    # span
    (entry("", drop="span"), f"collect[0].span: missing, ohlc needs one -> write one of {SPANS}"),
    (entry("span: 77"), f"collect[0].span: binance serves no 77s bars -> nearest is 1m, it serves {SPANS}"),
    (entry("span: 2d"), f"collect[0].span: binance serves no 2d bars -> nearest is 1d, it serves {SPANS}"),
    (
        entry("span: 1M"),
        "collect[0].span: bars of 1 calendar months are not stored, they have no fixed length"
        ' -> collect 1d; Lake.scan(..., span="1mo") makes them of it while it is read',
    ),
    (
        entry("span: 90m, derive_from: 1h"),
        "collect[0].span: 1h bars do not fill 90m bars exactly -> nearest is 2h",
    ),
    (
        entry("span: 1h, derive_from: 60m"),
        "collect[0].span: 1h bars cannot be built of 1h bars, which are not shorter"
        " -> write a span longer than 1h, or derive them from shorter bars",
    ),
    (
        entry("span: 1w, derive_from: 42h"),
        "collect[0].span: 42h bars do not fill 1w bars exactly -> nearest is 210h",
    ),
    (
        entry("data_type: trades, span: 1m"),
        "collect[0].span: trades takes no span -> remove it, only ohlc has one",
    ),
    # start
    (entry("start: 2024-02-30"), "collect[0].start: '2024-02-30' is no day -> write it like 2024-01-01"),
    (entry("start: lost"), "collect[0].start: 'lost' is no day -> write it like 2024-01-01"),
    (
        entry("start: 2024-01-01 12:00:00"),
        "collect[0].start: '2024-01-01 12:00:00' is no day -> write it like 2024-01-01",
    ),
    (
        entry("start: 2017-07-13"),
        "collect[0].start: binance has nothing before 2017-07-14 -> write 2017-07-14 or later",
    ),
    # every, cron
    (entry("every: 45m"), "collect[0].every: cannot run every 45m -> write 30m or 1h, or a cron"),
    (entry("every: 1M"), "collect[0].every: '1M' is no interval -> write it like 5m, 1h or 1d"),
    (
        entry("cron: this is not cron"),
        "collect[0].cron: 'this is not cron' is no cron expression"
        " -> write minute, hour, day, month and weekday, like '0 2 * * *'",
    ),
    (
        entry('cron: "*/90 * * * *"'),
        "collect[0].cron: '*/90 * * * *' has a step longer than its field and would run more often"
        " -> steps end at 59 minutes and 23 hours",
    ),
    (
        entry('cron: "0 0 31 4 *"'),
        "collect[0].cron: '0 0 31 4 *' names a date that never comes -> choose a day that the month has",
    ),
    (
        entry('every: 5m, cron: "0 2 * * *"'),
        "collect[0].cron: cron and every exclude each other -> keep one of the two",
    ),
    # depth, name
    (entry("depth: 10"), "collect[0].depth: ohlc takes no depth -> remove it, only orderbook has one"),
    (
        entry("data_type: orderbook, depth: 5001", drop="span"),
        "collect[0].depth: binance serves at most 5000 levels, not 5001 -> write 5000",
    ),
    (
        entry("data_type: orderbook, depth: 0", drop="span"),
        "collect[0].depth: should be greater than or equal to 1, not 0 -> write depth: 100",
    ),
    (
        entry("name: my-name"),
        "collect[0].name: 'my-name' is not letters, digits and _ after a letter -> write my_name",
    ),
    # the whole file
    ("[]", "the file: should be keys with values, not []"),
    ("collect: {exchange: binance}", "collect: should be a list, not {'exchange': 'binance'}"),
    ("collect: [binance]", "collect[0]: should be keys with values, not 'binance'"),
    # YAML itself
    ("store: [1\ncollect: 2", "line 2, column 8: did not find expected ',' or ']'"),
    ("store: a\n\tx: 1", "line 2, column 1: found a tab character that violates indentation"),
    ("store: a\ncollect: []\nstore: b", "line 3, column 1: key 'store' is given twice"),
    ("- *nowhere", "line 1, column 3: found undefined alias -> put into quotes what begins with *"),
    ("store: a\n? [b]\n: c", "line 2, column 3: found unhashable key"),
    ("store: 0x_", "the file: invalid literal for int() with base 16: ''"),
    ("store: a\nx: b\0c", "line 2, column 5: control characters are not allowed"),
]


@pytest.mark.parametrize(("text", "line"), REFUSALS, ids=[line.partition(" ->")[0] for _, line in REFUSALS])
def test_each_mistake_is_one_line(text: str, line: str) -> None:
    assert lines(text) == (line,)


def test_ten_mistakes_are_ten_lines() -> None:
    text = """
store: ftp://somewhere
exchanges: {binance: {budget: 2, rest_ulr: "http://h"}}
collect:
  - {exchange: binance, symbols: [BTCUSDT, ETH/USDT], data_type: ohlc, span: 77, every: 7m}
  - {exchange: binance, symbols: [BTC/USDT, BTC/USDT], data_type: trades, start: 2016-01-01}
  - {exchange: krakn, symbols: [BTC/USD], data_type: trades, cron: nightly}
"""
    assert [line.partition(": ")[0] for line in lines(text)] == [
        "store",
        "exchanges.binance.budget",
        "exchanges.binance.rest_ulr",
        "collect[0].symbols[0]",
        "collect[0].span",
        "collect[0].every",
        "collect[1].symbols[1]",
        "collect[1].start",
        "collect[2].exchange",
        "collect[2].cron",
    ]


def test_ten_things_that_exchanges_do_not_serve_are_ten_lines() -> None:
    text = """
exchanges:
  binance: {symbols: {MATIC/USDT: {delisted: 2024-09-10, renamed_to: POL/USDT}}}
collect:
  - {exchange: coinbase, symbols: [BTC/USD:BTC], data_type: trades}
  - {exchange: kraken, symbols: [BTC/USD], data_type: ohlc, span: 1m, start: 2020-01-01}
  - {exchange: kraken, symbols: [ETH/USD], data_type: ohlc, span: 7m, derive_from: trades}
  - {exchange: okx, symbols: [BTC/USDT], data_type: trades, start: 2024-01-01}
  - {exchange: binance, symbols: [BTC/USDT], data_type: trades, start: recent}
  - {exchange: bitfinex, symbols: [BTC/USD], data_type: orderbook, depth: 1000}
  - {exchange: bitmex, symbols: [BTC/USD:BTC], data_type: trades, every: 1h}
  - {exchange: bybit, symbols: [BTC/USDT], data_type: ohlc, span: 1m, derive_from: trades, start: recent}
  - {exchange: binance, symbols: [MATIC/USDT], data_type: ohlc, span: 1h, start: 2025-01-01}
  - {exchange: kraken, symbols: [ETH/USD], data_type: trades}
"""
    said = [line.partition(" -> ") for line in lines(text)]
    assert [what.partition(": ")[0] for what, _, _ in said] == [
        "collect[0].symbols[0]",
        "collect[1].start",
        "collect[2].span",
        "collect[3].start",
        "collect[4].start",
        "collect[5].depth",
        "collect[6].exchange",
        "collect[6].every",
        "collect[7].symbols[0]",
        "collect[8].symbols[0]",
    ]
    assert all(way_out for _, _, way_out in said)


def test_a_start_in_the_future_is_refused_with_today() -> None:
    assert lines(entry("start: 2999-01-01"))[0].startswith(
        "collect[0].start: 2999-01-01 is in the future -> write 20"
    )
    before = datetime.now(UTC).date() - timedelta(days=1)
    assert parse_settings(entry(f"start: {before}"), HERE).collect[0].start == before


def test_an_error_says_all_its_lines_and_travels_between_processes() -> None:
    with pytest.raises(SettingsError) as e:
        parse_settings("a: 1\nb: 2", HERE)
    said = "a: unknown key -> {0}\nb: unknown key -> {0}".format(
        "known here: store, exchanges, collect, stream, alerts, remotes, s3, purge, "
        "accepted, keep_runs, reconcile, timezone"
    )
    assert str(e.value) == said
    copy = pickle.loads(pickle.dumps(e.value))
    assert (str(copy), copy.lines, copy.source) == (said, tuple(said.splitlines()), "dccd.yaml")


def test_the_example_loads() -> None:
    loaded = parse_settings(EXAMPLE, HERE)
    assert loaded.store == "/etc/dccd/data"
    assert loaded.exchanges["binance"].budget == 0.9
    assert [(entry.name, entry.cron_schedule, entry.start) for entry in loaded.collect] == [
        ("binance_ohlc_1m", "*/5 * * * *", date(2017, 7, 14)),
        ("binance_trades", "0 2 * * *", date(2024, 6, 1)),
        ("books", "* * * * *", date(2017, 7, 14)),
    ]


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "collect: []", "store: ./data"])
def test_nothing_to_collect_is_allowed(text: str) -> None:
    assert parse_settings(text, HERE).collect == ()


def test_anchors_and_aliases_work() -> None:
    text = "collect:\n- &one {exchange: binance, symbols: &all [BTC/USDT], data_type: trades}\n"
    text += "- {<<: *one, data_type: orderbook}\n"
    assert [entry.name for entry in parse_settings(text, HERE).collect] == [
        "binance_trades",
        "binance_orderbook",
    ]
    assert lines("collect: &x [*x]") == ("collect[0]: should be keys with values, not [[...]]",)


def test_without_a_file_the_embedded_defaults_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    loaded = load_settings()
    assert (loaded.source, loaded.store) == (EMBEDDED, str(tmp_path / "data"))
    assert [str(dataset) for entry in loaded.collect for dataset in entry.datasets] == [
        "binance/ohlc/BTC-USDT/1m",
        "binance/ohlc/ETH-USDT/1m",
        "binance/trades/BTC-USDT",
    ]
    assert loaded.collect[0].start == date(2024, 1, 1)


def test_the_path_goes_before_the_environment_and_that_before_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    for name in ("here", "env", "given"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dccd.yaml").write_text("store: lake", "utf-8")
    monkeypatch.chdir(tmp_path / "here")
    assert (load_settings().source, load_settings().store) == ("dccd.yaml", str(tmp_path / "here/lake"))
    monkeypatch.setenv("DCCD_CONFIG", str(tmp_path / "env/dccd.yaml"))
    assert load_settings().store == str(tmp_path / "env/lake")
    given = load_settings(Path("../given/dccd.yaml"))
    assert Path(given.store).resolve() == tmp_path / "given/lake"
    assert given.source == "../given/dccd.yaml"


def test_a_named_file_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing, latin = tmp_path / "missing.yaml", tmp_path / "latin.yaml"
    latin.write_bytes("store: caf\u00e9".encode("latin-1"))
    with pytest.raises(SettingsError) as e:
        load_settings(missing)
    assert e.value.lines == (
        f"{missing}: No such file or directory -> see to that file, or name another one with -c",
    )
    monkeypatch.setenv("DCCD_CONFIG", str(missing))
    with pytest.raises(SettingsError, match="No such file"):
        load_settings()
    with pytest.raises(SettingsError) as e:
        load_settings(latin)
    assert e.value.lines == (f"{latin}: is not UTF-8 at byte 10 -> save it as UTF-8",)


def test_the_schema_accepts_what_loads_and_refuses_what_does_not() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    typed = yaml.load(EXAMPLE, yaml.BaseLoader)
    typed["exchanges"]["binance"]["budget"], typed["collect"][2]["depth"] = 0.9, 50
    typed["alerts"]["after_failures"] = 3
    assert check.is_valid(typed)
    broken: list[dict[str, Any]] = [
        {"colect": []},
        {"exchanges": {"binanc": {}}},
        {"collect": [{**typed["collect"][0], "symbols": ["BTCUSDT"]}]},
        {"collect": [{**typed["collect"][0], "symbols": []}]},
        {"collect": [{**typed["collect"][0], "data_type": "trade"}]},
        {"collect": [{**typed["collect"][0], "name": "my-name"}]},
    ]
    assert [check.is_valid(typed) for typed in broken] == [False] * 6
    assert all(field["description"] for field in schema["$defs"]["TypedEntry"]["properties"].values())


GARBAGE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.sampled_from(
        ["BTC/USDT", "1m", "5m", "ohlc", "trades", "orderbook", "binance", "2024-01-01", "* * * * *"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
ENTRY_KEYS = st.sampled_from([*KEYS.split(", "), "colour"])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.dictionaries(ENTRY_KEYS, GARBAGE, max_size=6), max_size=3),
    st.dictionaries(st.text(max_size=5), GARBAGE),
)
def test_whatever_is_typed_gives_settings_or_lines(entries: list[object], rest: dict[str, object]) -> None:
    said, loaded = (), None
    try:
        loaded = parse_settings(yaml.safe_dump({**rest, "collect": entries}), HERE)
    except SettingsError as e:
        said = e.lines
    assert bool(loaded) != bool(said)
    assert all(": " in line for line in said)


def test_variables_of_the_environment_are_put_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARE", "0.5")
    monkeypatch.setenv("PLACE", "a place: with #signs")
    monkeypatch.setenv("NUMBER", "7")
    text = 'store: "./${PLACE}/x"\nexchanges: {binance: {budget: "${SHARE}"}}\n'
    settings = parse_settings(text, Origin("dccd.yaml", Path("/here")))
    assert settings.store == "/here/a place: with #signs/x"
    assert settings.exchanges["binance"].budget == 0.5
    with pytest.raises(SettingsError, match=r"line 2, column 10: the environment variable NONE_1 is not set"):
        parse_settings("collect: []\nstore:   ./${NONE_1}", Origin("dccd.yaml", Path()))
