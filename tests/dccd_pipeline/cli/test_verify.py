"""``dccd verify``, as it is typed."""

import json
from pathlib import Path

import pytest

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import Us, parse_time
from dccd_core.keep.pins import Pins
from dccd_core.keep.purge import proven
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import data_path
from dccd_core.lake.partition.ledger import Asked, Condition, Source
from dccd_core.quality.holes import NoCheck
from dccd_core.testing.sandbox.process import RunningSandbox
from dccd_pipeline.assets.progress import condition_of
from dccd_pipeline.assets.remembered import remember_held
from dccd_pipeline.cli.instance import open_instance
from tests.dccd_pipeline.cli.terminal import BTC_HOURS, CONFIG, dccd, refused
from tests.dccd_pipeline.held import BOOKS, HOURS, MINUTES, bars, hold, whole

pytestmark = pytest.mark.usefixtures("project")


def test_a_pin_is_held_against_the_lake(lake: LakeStore) -> None:
    dccd("pin", "one")
    result = dccd("verify", "--pin", "one")
    assert result.exit_code == 0
    assert "intact: all rows are those of 20" in result.stdout
    assert "the lake still has 2 of 2 partitions as pinned" in result.stdout

    hold(lake, MINUTES, "2024-01", bars(whole(MINUTES, "2024-01")))
    hold(lake, MINUTES, "2024-02", bars(whole(MINUTES, "2024-02")))
    result = dccd("verify", "--pin", "one")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert f"changed in the lake: {MINUTES} 2024-01: 44,630 rows were pinned, the lake has 44,640" in lines
    assert f"new in the lake: {MINUTES} 2024-02" in lines
    assert lines[-1] == "the lake still has 1 of 2 partitions as pinned"
    told = json.loads(dccd("verify", "--pin", "one", "--json").stdout)
    assert (told["intact"], told["same"], told["new"]) == (True, 1, [f"{MINUTES} 2024-02"])
    assert [*told["changed"]] == [f"{MINUTES} 2024-01"]


def test_a_damaged_pin_is_named_and_exits_1(lake: LakeStore) -> None:
    dccd("pin", "one")
    Path(Pins(lake).url("one"), data_path(HOURS, "2024")).unlink()
    result = dccd("verify", "--pin", "one")
    assert result.exit_code == 1
    assert f"damaged: {HOURS} 2024: its file is gone from the pin" in result.stdout
    assert "intact" not in result.stdout
    told = json.loads(dccd("verify", "--pin", "one", "--json").stdout)
    assert (told["intact"], len(told["damage"])) == (False, 1)


def test_a_pin_that_is_not_there_is_refused(lake: LakeStore) -> None:
    assert "has no pin one" in refused("verify", "--pin", "one")


def killed(*_: object) -> None:
    raise KeyboardInterrupt


class TestLake:
    """The lake itself, read again."""

    def test_what_is_complete_is_proven(self, project: Path) -> None:
        hold(LakeStore(project / "lake"), HOURS, "2024", bars(whole(HOURS, "2024")))
        (project / "dccd.yaml").write_text("store: lake")
        told = dccd("verify", "binance", "BTC/USDT")
        assert told.exit_code == 0, told.output
        assert told.stdout.startswith("1 partition read again: 8,784 rows, ")
        assert "all are what their ledgers say, without a gap" in told.stdout

    def test_gaps_and_damage_are_named(self, lake: LakeStore) -> None:
        told = dccd("verify")
        assert told.exit_code == 1
        gap = "gap: binance/ohlc/BTC-USDT/1m 2024-01-01T01:40:00Z to 2024-01-01T01:50:00Z, 10 rows"
        assert gap in told.stdout
        Path(lake.path(HOURS, "2024")).write_bytes(b"nothing that could be read, but not short either")
        found = json.loads(dccd("verify", "--json").stdout)
        (harmed,) = found["harmed"]
        assert (harmed["dataset"], harmed["key"], harmed["harm"]) == (str(HOURS), "2024", "unreadable")
        assert harmed["spans"] == [[parse_time("2024-01-01"), parse_time("2025-01-01")]]

    @pytest.mark.usefixtures("own_home")
    def test_what_is_damaged_is_asked_for_again_and_kept(
        self, project: Path, sandbox: RunningSandbox
    ) -> None:
        (project / "dccd.yaml").write_text((CONFIG % sandbox.rest_url("binance")).replace(", ETH/USDT", ""))
        span = ("--start", "2024-01-01", "--end", "2025-01-01")
        assert dccd("backfill", *BTC_HOURS, *span).exit_code == 0
        lake = LakeStore(project / "lake")
        was = lake.states(HOURS)["2024"].content_hash
        file = Path(lake.path(HOURS, "2024"))
        file.write_bytes(file.read_bytes()[:-9])
        assert dccd("verify").exit_code == 1
        told = dccd("verify", "--repair")
        assert told.exit_code == 0, told.output
        assert told.stdout.startswith("repaired: binance/ohlc/BTC-USDT/1h 2024 ")
        assert "->" not in told.stdout  # nothing is to be done any more
        assert LakeStore(project / "lake").states(HOURS)["2024"].content_hash == was
        assert (file.parent / "_damaged").exists()
        assert dccd("verify").exit_code == 0

    @pytest.mark.usefixtures("own_home")
    def test_a_repair_that_was_killed_is_ended_by_the_next(
        self, project: Path, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """6e38909: a newest partition was written anew with nothing in it, the process died before it asked,
        and "all are what their ledgers say, without a gap", exit code 0, for ever: the next repair, too."""
        (project / "dccd.yaml").write_text((CONFIG % sandbox.rest_url("binance")).replace(", ETH/USDT", ""))
        assert dccd("backfill", *BTC_HOURS, "--start", "2024-01-01", "--end", "2025-01-01").exit_code == 0
        lake = LakeStore(project / "lake")
        was = lake.states(HOURS)["2024"].content_hash
        file = Path(lake.path(HOURS, "2024"))
        file.write_bytes(b"nothing that could be read, but not short either")
        with monkeypatch.context() as patched:
            patched.setattr("dccd_pipeline.cli.backfill.run_order", killed)
            assert dccd("verify", "--repair").exit_code == 130
        told = dccd("verify")
        assert told.exit_code == 1
        gap = f"gap: {HOURS} 2024-01-01T00:00:00Z to 2025-01-01T00:00:00Z: its file was damaged, and what"
        assert gap in told.stdout
        assert "its file was damaged" in dccd("status").stdout
        assert dccd("verify", "--repair").exit_code == 0
        assert LakeStore(project / "lake").states(HOURS)["2024"].content_hash == was

    @pytest.mark.usefixtures("own_home")
    def test_pictures_that_were_damaged_are_not_repaired(self, project: Path) -> None:
        """c0372de: "all are what their ledgers say, without a gap": but nobody can be asked for them."""
        (project / "dccd.yaml").write_text("store: lake")
        lake = LakeStore(project / "lake")
        with lake.draft(BOOKS, "2024-01-31") as draft:
            draft.commit(
                [Asked(partition_span(BOOKS.grain, "2024-01-31"), Source.REST, Us(1), 1, 0)], NoCheck
            )
        assert dccd("verify").exit_code == 0
        Path(lake.path(BOOKS, "2024-01-31")).write_bytes(b"nothing that could be read, but not short either")
        for how in (("--repair",), ()):
            told = dccd("verify", *how)
            assert told.exit_code == 1
            gap = f"gap: {BOOKS} 2024-01-31T00:00:00Z to 2024-02-01T00:00:00Z: its file was damaged"
            assert gap in told.stdout
        state = lake.state(BOOKS, "2024-01-31")
        assert condition_of(BOOKS, "2024-01-31", state) is Condition.DEGRADED
        assert state
        assert not proven(BOOKS, "2024-01-31", state)

    @pytest.mark.usefixtures("own_home")
    def test_r2_what_is_not_there_is_never_what_its_ledger_says(self, project: Path) -> None:
        """36c92f8: "0 partitions read again; all are what their ledgers say, without a gap", exit code 0."""
        told = dccd("verify")
        assert told.exit_code == 1
        assert told.stdout.splitlines() == [
            "absent: binance/ohlc/BTC-USDT/1h: nothing of it is stored -> dccd collect binance_ohlc_1h",
            "absent: binance/ohlc/ETH-USDT/1h: nothing of it is stored -> dccd collect binance_ohlc_1h",
            "0 partitions read again: 0 rows, 0 bytes; 2 datasets of dccd.yaml not there at all",
        ]
        hold(LakeStore(project / "lake"), HOURS, "2024", bars(whole(HOURS, "2024")))
        told = json.loads(dccd("verify", "--json").stdout)
        assert (told["absent"], told["harmed"]) == (["binance/ohlc/ETH-USDT/1h"], [])
        assert dccd("verify", "binance", "BTC/USDT").exit_code == 0
        assert dccd("verify", "binance", "ETH/USDT").exit_code == 1
        (project / "dccd.yaml").write_text("store: other")
        told = dccd("verify")
        assert told.stdout == "0 partitions read again: 0 rows, 0 bytes; the lake holds nothing yet\n"

    @pytest.mark.usefixtures("own_home")
    def test_r2_a_file_that_vanished_is_named_even_where_nothing_follows_it(self, project: Path) -> None:
        """36c92f8: what ended earlier for that, "all are what their ledgers say, without a gap"."""
        (project / "dccd.yaml").write_text((CONFIG % "http://127.0.0.1:9").replace(", ETH/USDT", ""))
        lake = LakeStore(project / "lake")
        hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
        assert dccd("verify").exit_code == 0
        with open_instance() as instance:
            remember_held(instance, lake.identity(), ["2024", "2025"], {HOURS: ["2024", "2025"]})
        told = dccd("verify")
        assert told.exit_code == 1
        gap = f"gap: {HOURS} 2025-01-01T00:00:00Z to 2026-01-01T00:00:00Z: its file vanished"
        assert gap in told.stdout.splitlines()

    def test_r3_one_that_cannot_be_read_keeps_no_other_from_being_read(
        self, lake: LakeStore, project: Path
    ) -> None:
        """36c92f8: "cannot read …: Is a directory", exit code 1, and nothing of any other."""
        (project / "dccd.yaml").write_text("store: lake")
        file = Path(lake.path(MINUTES, "2024-01"))
        file.unlink()
        file.mkdir()
        for how in ((), ("--repair",)):
            told = dccd("verify", *how)
            assert told.exit_code == 1
            assert told.stdout.startswith(f"unreadable: {MINUTES} 2024-01 (2024-01-01T00:00:00Z to ")
            assert "2 partitions read again: 8,784 rows" in told.stdout

    def test_r3_a_folder_of_an_exchange_that_nobody_knows_is_read_like_any_other(
        self, lake: LakeStore, project: Path
    ) -> None:
        """36c92f8: "unknown exchange 'nowhere' -> known: …", exit code 2, and nothing was read."""
        (project / "dccd.yaml").write_text("store: lake")
        strange = Path(lake.path(Dataset.parse("nowhere/ohlc/BTC-USDT/1h"), "2024"))
        strange.parent.mkdir(parents=True)
        strange.write_bytes(Path(lake.path(HOURS, "2024")).read_bytes())
        told = dccd("verify")
        assert told.exit_code == 1
        assert "wrong: nowhere/ohlc/BTC-USDT/1h 2024 (2024-01-01T00:00:00Z to " in told.stdout
        assert "3 partitions read again" in told.stdout

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("verify", "--pin", "a", "--repair"), "--pin is read whole and never changes"),
            (("verify", "okx"), "the lake holds nothing of okx"),
            (("verify", "--sample", "lots"), "is no share -> write 5%"),
        ],
    )
    def test_what_cannot_be_is_one_line(self, project: Path, words: tuple[str, ...], said: str) -> None:
        result = dccd(*words)
        assert result.exit_code == 2
        assert said in result.stderr
