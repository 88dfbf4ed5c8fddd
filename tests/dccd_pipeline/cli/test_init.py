"""``dccd init``."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dccd_pipeline.cli.lazy import main
from dccd_pipeline.config.read import parse_settings
from dccd_pipeline.config.settings import Origin
from tests.dccd_pipeline.cli.terminal import dccd, refused

GIVEN = ("--exchange", "binance", "--symbols", "btc/usdt,ETH-USDT", "--data-type", "ohlc", "--span", "1m")


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    return tmp_path


def answered(text: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ("init", *arguments), input=text, catch_exceptions=False)


def test_what_is_given_is_written_and_can_be_used(empty: Path) -> None:
    done = dccd("init", *GIVEN, "--start", "2024-01-01")
    assert done.exit_code == 0, done.output
    assert done.stdout == "dccd.yaml is written; next: `dccd config check`, then `dccd up`\n"
    assert dccd("config", "check").stdout == "dccd.yaml: 1 entry, 2 datasets, all can be collected\n"
    assert [one.name for one in empty.iterdir()] == ["dccd.yaml"]


def test_what_is_not_given_is_asked_for(empty: Path) -> None:
    done = answered("kraken\ntrades\nBTC/USD\n2024-06-01\n")
    assert done.exit_code == 0, done.output
    for question in (
        "exchange (binance, ",
        "data type (ohlc, ",
        "symbols, with commas",
        "first day, recent, or all",
    ):
        assert question in done.stderr
    assert (
        "exchange: kraken, symbols: [BTC/USD], data_type: trades, start: 2024-06-01"
        in (empty / "dccd.yaml").read_text()
    )


def test_an_answer_may_be_the_one_that_is_proposed(empty: Path) -> None:
    assert answered("\n" * 5).exit_code == 0
    assert dccd("config", "check").exit_code == 0


def test_all_of_the_history_is_a_file_without_a_start(empty: Path) -> None:
    assert dccd("init", *GIVEN, "--start", "all").exit_code == 0
    assert "start:" not in (empty / "dccd.yaml").read_text().partition("collect:")[2].partition("#")[0]


def test_a_file_that_is_there_is_never_touched(empty: Path) -> None:
    (empty / "dccd.yaml").write_text("store: ./precious\n")
    line = refused("init", *GIVEN, "--start", "2024-01-01")
    assert line == "dccd.yaml is there already and stays as it is -> edit it, or dccd init -c FILE"
    assert (empty / "dccd.yaml").read_text() == "store: ./precious\n"
    done = dccd("init", *GIVEN, "--start", "2024-01-01", "-c", "other.yaml")
    assert done.exit_code == 0, done.output
    assert (empty / "other.yaml").exists()


def test_what_cannot_be_had_writes_nothing(empty: Path) -> None:
    line = refused("init", *GIVEN[:4], "--data-type", "ohlc", "--span", "7m", "--start", "2024-01-01")
    assert "nearest is 5m" in line
    assert "there is no folder" in refused("init", *GIVEN, "--start", "all", "-c", "nowhere/dccd.yaml")
    missing = answered("")
    assert (missing.exit_code, list(empty.iterdir())) == (2, [])
    assert missing.stderr.endswith("nothing was written: an answer is missing -> see dccd init --help\n")


def test_a_user_s_own_file_elsewhere_is_not_in_the_way(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty / "home" / "dccd").mkdir(parents=True)
    (empty / "home" / "dccd" / "dccd.yaml").write_text("store: ./precious\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(empty / "home"))
    assert dccd("init", *GIVEN, "--start", "2024-01-01").exit_code == 0
    assert (empty / "dccd.yaml").exists()


@pytest.mark.parametrize(
    "store", ["./my data #1", "it's: here", "- odd", "@home", "größer", "123", "a" * 200]
)
def test_r9_a_store_is_the_folder_that_was_named(empty: Path, store: str) -> None:
    """36c92f8: the first was the folder "my data", the second "mapping values are not allowed"."""
    assert dccd("init", *GIVEN, "--start", "2024-01-01", "--store", store).exit_code == 0
    assert parse_settings((empty / "dccd.yaml").read_text(), Origin("", empty)).store == str(empty / store)


def test_r9_of_what_has_no_past_no_first_day_is_asked_for(empty: Path) -> None:
    """36c92f8: it asked for one, and wrote none."""
    done = answered("", "--exchange", "binance", "--symbols", "BTC/USDT", "--data-type", "orderbook")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "data_types: [orderbook]" in (empty / "dccd.yaml").read_text()


def test_r9_what_is_missing_is_said_on_a_line_of_its_own(empty: Path) -> None:
    """36c92f8: behind the question."""
    assert (
        "nothing was written: an answer is missing -> see dccd init --help"
        in answered("").stderr.splitlines()
    )
