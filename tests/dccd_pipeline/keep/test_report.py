import dagster as dg

from dccd_core.domain.timespan import SECOND, Us
from dccd_core.keep.copies import LastSync, Trouble
from dccd_core.keep.sync import Line, Synced
from dccd_pipeline.keep.report import failure_of, metadata, report

NOW = Us(1_760_000_000 * SECOND)
FILE = "trades/exchange=binance/symbol=BTC-USDT/period=2024-01-31/data.parquet"
NAME = "binance/trades/BTC-USDT"
LAST = LastSync("id", NOW, history=((Us(1), 10), (NOW, 20)))


def well() -> Synced:
    return Synced("nas", NOW, copied=2, proven=1, sent=20, datasets={NAME: Line(3, 30, Us(NOW - SECOND))})


def test_a_copy_is_materialised_when_all_is_there() -> None:
    event = report(well(), LAST)
    assert isinstance(event, dg.AssetMaterialization)
    assert event.asset_key == dg.AssetKey(["remote", "nas"])
    told = {name: value.value for name, value in event.metadata.items()}
    assert (told["files"], told["bytes"], told["verified"], told["waiting"], told["failed"]) == (
        3,
        30,
        3,
        0,
        0,
    )
    assert told["last_sync"] == "2025-10-09T08:53:20Z"
    assert told["all_verified_since"] == "2025-10-09T08:53:19Z"
    assert str(told["bytes_over_time"]).startswith("![bytes](data:image/png;base64,")
    table = event.metadata["datasets"]
    assert isinstance(table, dg.TableMetadataValue)
    (record,) = table.records
    assert record.data == {
        "dataset": NAME,
        "files": 3,
        "bytes": 30,
        "verified_since": "2025-10-09T08:53:19Z",
        "waiting": 0,
        "conflicts": 0,
        "failed": 0,
    }
    assert failure_of(well()) == ""


def test_what_is_in_the_way_is_named_and_the_copy_is_not_materialised() -> None:
    synced = well()
    synced.conflicts = [Trouble(FILE, "it has 1000 rows, and there are 10 here")]
    synced.failed = [Trouble(FILE, "no answer")] * 101
    synced.datasets[NAME].waiting = 4
    assert isinstance(report(synced, LAST), dg.AssetObservation)
    told = metadata(synced, None)
    assert told["conflicts_kept"].value == (f"- {NAME}/2024-01-31: it has 1000 rows, and there are 10 here")
    assert "bytes_over_time" not in told
    lines = failure_of(synced).splitlines()
    assert lines[0] == "nas: 1 conflicts, kept as they are there; 101 failed; 4 wait for the next sync"
    assert lines[1] == f"{NAME}/2024-01-31: it has 1000 rows, and there are 10 here"
    assert lines[-2] == "... and 2 more"
    assert "dccd sync nas --take" in lines[-1]
