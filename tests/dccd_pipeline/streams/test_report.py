"""What the run of a stream tells: enough for a human at 3 a.m., little enough for a year."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy.exc import OperationalError

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, Us, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import ManualClock
from dccd_core.stream.api import Phase, StreamPlan
from dccd_core.tables import DataType
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.streams.heartbeat import Beat, read_beats
from dccd_pipeline.streams.report import BEAT_EVERY, Report, stream_asset
from tests.dccd_core.lake.samples import DAY, trades
from tests.dccd_pipeline.held import BOOKS, TRADES, hold
from tests.dccd_pipeline.streamed import health

NOW = parse_time("2024-02-01")
PLAN = StreamPlan("majors", (TRADES, BOOKS))


class Told:
    """A report on a clock of its own, inside of an op, and what came of it."""

    def __init__(self, instance: dg.DagsterInstance, lake: LakeStore) -> None:
        self.instance, self.lake, self.clock = instance, lake, ManualClock(NOW)
        self.collected = dict[Dataset, Entry]()

    def run(self, act: Callable[[Report], None]) -> str:
        """Return the run's id."""

        @dg.op(name="record")
        def op(context: dg.OpExecutionContext) -> None:
            report = Report(context, self.lake, "majors", "digest", self.clock, self.collected)
            act(report)
            report.close(60)
            assert not context.has_events()  # nothing is kept in memory

        @dg.job(name="stream_majors")
        def job() -> None:
            op()

        result = job.execute_in_process(instance=self.instance)
        assert result.success
        return result.run_id

    def checks(self, run_id: str) -> list[str]:
        events = (one.dagster_event for one in self.instance.all_logs(run_id))
        told = [one for one in events if one and one.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION]
        return sorted(one.asset_check_evaluation_data.check_name for one in told)

    def lines(self, level: int) -> list[str]:
        (run,) = self.instance.get_runs()
        entries = [record.event_log_entry for record in self.instance.get_records_for_run(run.run_id).records]
        return [
            entry.user_message for entry in entries if not entry.is_dagster_event and entry.level == level
        ]

    @property
    def observations(self) -> list[dg.AssetObservation]:
        found = self.instance.fetch_observations(stream_asset("majors"), limit=100, ascending=True).records
        return [record.asset_observation for record in found if record.asset_observation]

    @property
    def beat(self) -> Beat:
        return read_beats(self.instance, ["majors"])["majors"]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Told(instance, LakeStore(tmp_path))


def test_the_heart_beats_every_ten_seconds_and_at_once_when_it_records(told: Told) -> None:
    beats = list[Beat]()

    def act(report: Report) -> None:
        def pulse() -> None:
            report.pulse()
            beats.append(told.beat)

        pulse()
        told.clock.set(Us(NOW + SECOND))
        report.beat(health(PLAN, told.clock.now()))
        pulse()
        told.clock.set(Us(NOW + SECOND + BEAT_EVERY - 1))
        report.beat(health(PLAN, told.clock.now()))
        pulse()
        told.clock.set(Us(NOW + SECOND + BEAT_EVERY))
        report.beat(health(PLAN, told.clock.now()))
        pulse()

    told.run(act)
    assert [(beat.ready, beat.at - NOW) for beat in beats] == [
        (False, 0),
        (True, SECOND),
        (True, SECOND),
        (True, SECOND + BEAT_EVERY),
    ]


def test_a_recorder_that_fell_silent_gives_no_new_sign_of_life(told: Told) -> None:
    def act(report: Report) -> None:
        report.beat(health(PLAN, NOW))
        for n in range(3):
            told.clock.set(Us(NOW + n * BEAT_EVERY))
            report.pulse()

    told.run(act)
    assert told.beat.at == NOW


def test_a_partition_with_new_rows_is_a_materialisation_and_a_line(told: Told) -> None:
    state = hold(told.lake, TRADES, DAY, trades([(n, str(n), 1.0) for n in range(3)]))
    told.run(lambda report: report.folded(TRADES, DAY, state, 2))
    event = told.instance.get_latest_materialization_event(dg.AssetKey(TRADES.parts))
    assert event is not None
    materialised = event.asset_materialization
    assert materialised is not None
    assert materialised.partition == DAY
    assert materialised.metadata["condition"] == dg.TextMetadataValue("available")
    assert materialised.metadata["dagster/partition_row_count"] == dg.IntMetadataValue(3)
    assert (materialised.tags or {})["dagster/data_version"] == state.content_hash
    assert told.lines(20) == [f"{TRADES} {DAY}: available, 2 rows recorded, 3 rows in all, 0 gaps"]


def test_the_checks_of_what_is_materialised_are_told_anew(told: Told) -> None:
    """157d310: no check was told, and Dagster took what it knew for that of the rows before."""

    def fold(name: str) -> list[str]:
        state = hold(told.lake, TRADES, DAY, trades([(int(name), name, 1.0)]))
        return told.checks(told.run(lambda report: report.folded(TRADES, DAY, state, 1)))

    assert fold("0") == ["agrees"]  # nothing collects it: it has no others
    entry = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "trades", "start": "2024-01-01"}
    (told.collected[TRADES],) = settings_of({"collect": [entry]}).collect
    for name in ("1", "2"):
        assert fold(name) == ["agrees", "complete", "intact", "up_to_date"]


def test_an_open_partition_tells_no_checks(told: Told) -> None:
    """They are told by ticks, as far as they are news."""
    entry = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "trades", "start": "2024-01-01"}
    (told.collected[TRADES],) = settings_of({"collect": [entry]}).collect
    state = hold(told.lake, TRADES, DAY, trades([(0, "0", 1.0)]), until=Us(NOW - 12 * HOUR))
    assert told.checks(told.run(lambda report: report.folded(TRADES, DAY, state, 1))) == []


def test_an_open_partition_is_told_now_and_then_and_what_is_left_at_the_end(told: Told) -> None:
    rows = [hold(told.lake, TRADES, DAY, trades([(n, str(n), 1.0)]), until=NOW) for n in range(4)]
    begun = Us(NOW - 12 * HOUR)

    def act(report: Report) -> None:
        for hours, state in zip((0, 1, 6, 8), rows, strict=True):
            told.clock.set(Us(begun + hours * HOUR))
            report.folded(TRADES, DAY, state, 1)

    told.run(act)
    line = f"{TRADES} {DAY}: available, "
    assert told.lines(20) == [
        f"{line}1 rows recorded, 1 rows in all, 0 gaps",
        f"{line}2 rows recorded, 3 rows in all, 0 gaps",
        f"{line}1 rows recorded, 4 rows in all, 0 gaps",
    ]


def test_of_an_open_partition_another_condition_is_told_at_once(told: Told) -> None:
    noon = Us(NOW - 12 * HOUR)
    pending = hold(told.lake, TRADES, DAY, trades([(0, "0", 1.0)]), until=noon)
    whole = hold(told.lake, TRADES, DAY, trades([(1, "1", 1.0)]))

    def act(report: Report) -> None:
        told.clock.set(noon)
        for state in (pending, pending, whole):
            report.folded(TRADES, DAY, state, 1)

    told.run(act)
    assert [line.split(": ")[1].split(",")[0] for line in told.lines(20)] == ["pending", "available"]


def test_notes_are_lines_and_wrong_ones_are_warnings(told: Told) -> None:
    def act(report: Report) -> None:
        report.note("connected", wrong=False)
        report.note("connection lost", wrong=True)

    told.run(act)
    assert (told.lines(20), told.lines(30)) == (["connected"], ["connection lost"])


def test_too_many_notes_are_counted_instead_of_written(told: Told) -> None:
    def act(report: Report) -> None:
        for n in range(100):
            report.note(f"connection {n} lost", wrong=True)
        told.clock.set(Us(NOW + 11 * MINUTE))
        report.note("connected", wrong=False)

    told.run(act)
    assert told.lines(30) == [f"connection {n} lost" for n in range(60)]
    assert told.lines(20) == ["40 lines more, since they were too many, are left out here", "connected"]


UP, OFF = Phase.RECORDING, Phase.CONNECTING


def observed_at(told: Told, plan: StreamPlan, *looks: tuple[float, Phase]) -> list[tuple[float, str]]:
    """Return after how many minutes it is observed, and as what, when it is looked at so."""

    def act(report: Report) -> None:
        for minute, phase in looks:
            told.clock.set(Us(NOW + round(minute * MINUTE)))
            report.beat(health(plan, told.clock.now(), phase))
            report.pulse()

    told.run(act)
    seen = told.observations[:-1]  # the last one is that of the end
    return [((parse_time(text(one, "at")) - NOW) / MINUTE, text(one, "state")) for one in seen]


def text(observation: dg.AssetObservation, key: str) -> str:
    value = observation.metadata[key]
    assert isinstance(value, dg.TextMetadataValue)
    return value.text or ""


def test_health_is_observed_at_once_after_ten_seconds_after_a_minute_and_then_rarely(told: Told) -> None:
    minutes = [0, 0.1, 0.2, 0.5, 1, 2, 29, 30, 31, 32, 60, 61]
    seen = observed_at(told, PLAN, *((minute, UP) for minute in minutes))
    assert [minute for minute, _ in seen] == pytest.approx([0, 0.2, 1, 31, 61])


def test_health_is_observed_whenever_its_phase_changes(told: Told) -> None:
    looks = [(0, OFF), (0.2, OFF), (1, OFF), (2, OFF), (3, UP), (3.5, UP), (4, OFF), (5, UP), (20, UP)]
    assert observed_at(told, PLAN, *looks) == [
        (0, "connecting"),
        (0.2, "connecting"),
        (1, "connecting"),
        (3, "recording"),
        (4, "connecting"),
        (5, "recording"),
    ]


def test_health_that_changes_all_the_time_is_observed_less_often(told: Told) -> None:
    looks = [(minute, UP if minute % 2 else OFF) for minute in range(2, 28)]
    seen = observed_at(told, PLAN, (0, UP), (0.2, UP), (1, UP), *looks)
    assert [minute for minute, _ in seen if minute >= 2] == [2, 3, 4, 5, 6, 11, 16, 21, 26]


def test_a_dataset_that_is_not_recorded_any_more_is_a_change(told: Told) -> None:
    def act(report: Report) -> None:
        sound = health(PLAN, NOW)
        lost = replace(sound.datasets[0], phase=Phase.CONNECTING, invalid=1, invalid_since=NOW)
        ill = replace(sound, datasets=(lost, sound.datasets[1]))
        for minute, said in [(0, sound), (1, sound), (2, sound), (3, ill), (4, ill), (5, sound)]:
            told.clock.set(Us(NOW + minute * MINUTE))
            report.beat(said)
            report.pulse()

    told.run(act)
    states = [[record.data["state"] for record in table(one)] for one in told.observations]
    well, wrong = ["recording"] * 2, ["connecting, not recorded since 2024-02-01T00:00:00Z", "recording"]
    assert states == [well, well, well, wrong, well, well]


def test_a_long_table_is_written_less_often(told: Told) -> None:
    symbols = [Symbol(f"C{n}", "USDT") for n in range(60)]
    plan = StreamPlan("majors", tuple(Dataset("binance", one, DataType.TRADES) for one in symbols))
    seen = observed_at(told, plan, *((minute, UP) for minute in (0, 1, 2, 30, 60, 61, 62)))
    assert [minute for minute, _ in seen] == [0, 1, 2, 62]


def test_an_observation_has_a_row_for_each_dataset(told: Told) -> None:
    sound = health(PLAN, NOW)
    trades_, books = sound.datasets
    known = (replace(trades_, price=42_000.5, proven=NOW), replace(books, bid=41_999.0, ask=42_001.25))
    told.run(lambda report: report.beat(replace(sound, datasets=known)))
    (observed,) = told.observations
    assert observed.metadata["state"] == dg.TextMetadataValue("recording")
    assert observed.metadata["reconnects"] == dg.IntMetadataValue(2)
    assert observed.metadata["messages_per_s"] == dg.FloatMetadataValue(2.2)
    assert [record.data for record in table(observed)] == [
        {
            "dataset": str(dataset),
            "state": "recording",
            "price": price,
            "last_message": "2024-02-01T00:00:00Z",
            "proven_until": proven,
            "lag_ms": 3,
            "messages_per_s": 2.2,
            "messages": 7,
            "rows": 9,
            "invalid_intervals": 0,
            "crossed": 0,
        }
        for dataset, price, proven in [
            (TRADES, "42000.5", "2024-02-01T00:00:00Z"),
            (BOOKS, "41999 / 42001.25", "-"),
        ]
    ]


def test_a_storage_that_fails_does_not_end_the_stream(
    told: Told, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> None:
        msg = "database is locked"
        raise OSError(msg)

    def act(report: Report) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(told.lake, "states", refused)
            state = hold(told.lake, TRADES, DAY, trades([(0, "1", 1.0)]))
            report.folded(TRADES, DAY, state, 1)
            report.note("still there", wrong=False)
            while told.lines(20) != ["still there"]:
                pass

    told.run(act)
    assert "could not be written to Dagster's storage" in caplog.text


def test_what_is_told_waits_while_the_storage_does_not_answer(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    locked = OperationalError("update", {}, Exception("database is locked"))

    def act(report: Report) -> None:
        report.storage_fails(locked)
        report.storage_fails(locked)
        report.note("meanwhile", wrong=False)
        assert told.lines(20) == told.lines(30) == []
        report.storage_answers()
        report.storage_answers()

    told.run(act)
    assert told.lines(30) == ["Dagster's storage does not answer: database is locked; recording goes on"]
    assert told.lines(20) == ["meanwhile", "Dagster's storage answers again, after 0 s"]
    assert caplog.text.count("does not answer: database is locked") == 1


def table(observation: dg.AssetObservation) -> list[dg.TableRecord]:
    value = observation.metadata["datasets"]
    assert isinstance(value, dg.TableMetadataValue)
    return list(value.records)
