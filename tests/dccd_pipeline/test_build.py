from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import polars as pl

from dccd_core.domain.timespan import Us
from dccd_core.lake.lake import LakeStore
from dccd_core.tables import DataType
from dccd_pipeline.build import build_definitions, default_resources, silent, stream_digests
from dccd_pipeline.config.read import embedded_settings, parse_settings
from dccd_pipeline.config.settings import Origin, Settings, off_lines
from dccd_pipeline.resources import LakeResource, Venues
from tests.dccd_pipeline.held import BOOKS, MINUTES, hold

TEXT = """
store: s3://bucket/lake
exchanges: {binance: {rest_url: "http://127.0.0.1:8900/binance", budget: 0.5}}
collect:
  - {exchange: binance, symbols: [BTC/USDT, ETH/BTC], data_type: ohlc, span: 1m, start: 2024-01-15, every: 5m}
  - {exchange: binance, symbols: [BTC/USDT], data_type: ohlc, span: 1d, start: 2024-01-01, cron: "0 2 * * *"}
  - {exchange: binance, symbols: [BTC/USDT], data_type: trades, start: 2024-06-01}
  - {name: books, exchange: binance, symbols: [BTC/USDT], data_type: orderbook, start: 2024-01-01, every: 1m}
"""
SETTINGS = parse_settings(TEXT, Origin("dccd.yaml", Path("/etc/dccd")))


def repository() -> dg.RepositoryDefinition:
    return build_definitions(SETTINGS).get_repository_def()


def test_each_dataset_is_an_asset_with_its_partitions() -> None:
    graph = repository().asset_graph
    found = {
        key.to_user_string(): (
            graph.get(key).group_name,
            graph.get(key).partitions_def.get_first_partition_key(),  # type: ignore[union-attr]
            sorted(check.name for check in graph.get_check_keys_for_assets({key})),
        )
        for key in graph.get_all_asset_keys()
        if key.path[0] not in ("collect", "lake")
    }
    of_books = ["complete", "crossed", "intact", "up_to_date"]
    of_rows = ["agrees", "complete", "intact", "up_to_date"]
    of_bars = sorted([*of_rows, "equals_the_venue"])
    assert found == {
        "binance/ohlc/BTC-USDT/1m": ("binance", "2024-01", of_bars),
        "binance/ohlc/ETH-BTC/1m": ("binance", "2024-01", of_bars),
        "binance/ohlc/BTC-USDT/1d": ("binance", "2024", of_bars),
        "binance/trades/BTC-USDT": ("binance", "2024-06-01", of_rows),
        "binance/orderbook/BTC-USDT": ("binance", "2024-01-01", of_books),
    }


def test_the_assets_of_an_entry_share_one_run() -> None:
    (op,) = {a.op.name for a in repository().assets_defs_by_key.values() if len(list(a.keys)) == 2}
    assert op == "fill_binance_ohlc_1m"
    for key, asset in repository().assets_defs_by_key.items():
        if key.path[0] in ("collect", "lake"):
            continue
        assert asset.backfill_policy == dg.BackfillPolicy.single_run()
        assert asset.can_subset
        assert asset.op.pool == "binance"
        assert asset.op.retry_policy is None  # it would retry what a user stopped


def test_each_entry_has_a_job_and_a_schedule() -> None:
    jobs = [job for job in repository().get_all_jobs() if not job.name.startswith("__")]
    names = "binance_ohlc_1m", "binance_ohlc_1d", "binance_trades", "books"
    own = {name: {"dccd/exchange": "binance", "dccd/entry": name} for name in names}
    ticks = {f"{name}_tick": {**tags, "dccd/catch_up": "true"} for name, tags in own.items()}
    of_the_lake: dict[str, dict[str, str]] = {name: {} for name in ("prune_runs", "lake_report", "reconcile")}
    assert {job.name: job.tags for job in jobs} == {**own, **ticks, **of_the_lake}
    schedules = repository().schedule_defs
    assert {s.name: (s.job_name, s.cron_schedule, s.execution_timezone) for s in schedules} == {
        "binance_ohlc_1m_schedule": ("binance_ohlc_1m_tick", "*/5 * * * *", "UTC"),
        "binance_ohlc_1d_schedule": ("binance_ohlc_1d_tick", "0 2 * * *", "UTC"),
        "binance_trades_schedule": ("binance_trades_tick", "0 * * * *", "UTC"),
        "books_schedule": ("books_tick", "* * * * *", "UTC"),
        "prune_runs_schedule": ("prune_runs", "17 3 * * *", "UTC"),
        "lake_report_schedule": ("lake_report", "40 4 * * *", "UTC"),
        "reconcile_schedule": ("reconcile", "10 4 * * *", "UTC"),
    }
    failures = ["run_failures", "run_recoveries", "silent_runs", "silent_streams"]
    assert [sensor.name for sensor in repository().sensor_defs] == [
        "alerts",
        "configuration",
        *failures,
        "streams",
    ]


def test_only_what_somebody_configured_runs_by_itself() -> None:
    assert {s.default_status for s in repository().schedule_defs} == {dg.DefaultScheduleStatus.RUNNING}
    embedded = build_definitions(embedded_settings()).get_repository_def()
    assert {s.default_status for s in embedded.schedule_defs} == {dg.DefaultScheduleStatus.STOPPED}


def test_nothing_configured_loads_too() -> None:
    empty = build_definitions(parse_settings("", Origin("dccd.yaml", Path()))).get_repository_def()
    assert not empty.asset_graph.get_all_asset_keys()
    assert [schedule.name for schedule in empty.schedule_defs] == ["prune_runs_schedule"]


def test_the_resources_are_those_of_the_settings_or_of_the_caller() -> None:
    resources = default_resources(SETTINGS)
    assert resources["lake"] == LakeResource(url="s3://bucket/lake")
    reach = {"binance": "http://127.0.0.1:8900/binance"}
    assert resources["venues"] == Venues(rest_urls=reach, budgets={"binance": 0.5})

    mine = LakeResource(url="elsewhere")
    built = build_definitions(SETTINGS, {"lake": mine})
    assert built.resources is not None
    assert built.resources["lake"] is mine
    assert built.resources["venues"] == resources["venues"]
    silent(MINUTES, "2024-01", 1, Us(0))


STREAMS = """
exchanges: {binance: {ws_url: "ws://127.0.0.1:8900/binance"}}
collect:
  - {exchange: binance, symbols: [BTC/USDT], data_type: trades, start: 2024-06-01}
stream:
  - {name: majors, exchange: binance, symbols: [BTC/USDT], data_types: [trades, orderbook], start: 2026-02-01}
"""


def streaming(text: str = STREAMS) -> Settings:
    return parse_settings(text, Origin("dccd.yaml", Path("/etc/dccd")))


def test_a_stream_has_a_job_that_needs_no_configuration() -> None:
    built = build_definitions(streaming())
    job = built.resolve_job_def("stream_majors")
    assert job.tags == {"dccd/stream": "majors", "dagster/max_retries": "0"}
    assert job.executor_def is dg.in_process_executor
    assert built.resources is not None
    assert built.resources["venues"] == Venues(ws_urls={"binance": "ws://127.0.0.1:8900/binance"})


def test_what_a_stream_and_an_entry_bring_is_one_asset() -> None:
    graph = build_definitions(streaming()).get_repository_def().asset_graph
    trades, book = (graph.get(dg.AssetKey(["binance", one, "BTC-USDT"])) for one in ("trades", "orderbook"))
    assert (trades.is_materializable, book.is_materializable) == (True, False)
    assert book.group_name == "binance"
    assert book.kinds == {"websocket", "parquet"}
    assert book.partitions_def is not None
    assert book.partitions_def.get_first_partition_key() == "2026-02-01"
    assert book.parent_keys == {dg.AssetKey(["stream", "majors"])}
    assert graph.get(dg.AssetKey(["stream", "majors"])).group_name == "streams"


def first_partition(settings: Settings) -> str | None:
    graph = build_definitions(settings).get_repository_def().asset_graph
    book = graph.get(dg.AssetKey(["binance", "orderbook", "BTC-USDT"]))
    assert book.partitions_def is not None
    return book.partitions_def.get_first_partition_key()


def test_without_a_start_partitions_begin_with_the_first_that_is_held_or_today(tmp_path: Path) -> None:
    text = STREAMS.replace(", start: 2026-02-01", "")
    settings = parse_settings(text, Origin("dccd.yaml", tmp_path))
    before = f"{datetime.now(UTC).date()}"
    assert first_partition(settings) in (before, f"{datetime.now(UTC).date()}")
    book = pl.DataFrame(schema=DataType.ORDERBOOK.table.schema)
    for key in ("2024-03-02", "2024-03-01"):
        hold(LakeStore(tmp_path / "data"), BOOKS, key, book)
    assert first_partition(settings) == "2024-03-01"


def test_definitions_load_though_the_store_does_not_answer(tmp_path: Path) -> None:
    text = STREAMS.replace(", start: 2026-02-01", "")
    (tmp_path / "data").touch()  # no folder: it cannot be listed
    before = f"{datetime.now(UTC).date()}"
    settings = parse_settings(text, Origin("dccd.yaml", tmp_path))
    assert first_partition(settings) in (before, f"{datetime.now(UTC).date()}")


def test_settings_of_a_stream_that_change_what_is_recorded_change_its_digest() -> None:
    changes = [
        ("[BTC/USDT], data_types", "[ETH/USDT], data_types"),
        ("trades, orderbook]", "trades, orderbook], depth: 20"),
        ("trades, orderbook]", "trades, orderbook], snapshot_every: 2s"),
        ("trades, orderbook]", "trades, orderbook], fold_every: 10m"),
        ("8900/binance", "8901/binance"),
        ("collect:", "store: elsewhere\ncollect:"),
    ]
    digests = {stream_digests(streaming(STREAMS.replace(*change)))["majors"] for change in changes}
    assert len(digests - {stream_digests(streaming())["majors"]}) == len(changes)
    fixed = stream_digests(streaming())["majors"].partition(".")[0]
    assert [digest.partition(".")[0] == fixed for digest in sorted(digests)].count(True) == 1  # the symbol
    same = [
        ("start: 2024-06-01", "start: 2024-07-01"),
        ("start: 2026-02-01", "start: 2026-03-01"),
        ("start: 2026-02-01", "silent_after: 1h"),
        ("start: 2026-02-01", "fold_every: auto"),
    ]
    for change in same:
        assert stream_digests(streaming(STREAMS.replace(*change))) == stream_digests(streaming())


def test_a_stream_that_is_off_keeps_its_job_and_is_not_wanted() -> None:
    settings = streaming().model_copy()
    off = settings.model_copy(
        update={"stream": tuple(entry.model_copy(update={"enabled": False}) for entry in settings.stream)}
    )
    assert "stream_majors" in {job.name for job in build_definitions(off).resolve_all_job_defs()}
    assert stream_digests(off) == {}
    assert list(stream_digests(settings)) == ["majors"]
    assert off_lines(off) == ["majors: off (enabled: false); `dccd stream majors` records it"]
