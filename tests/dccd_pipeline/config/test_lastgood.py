import errno
import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from dccd_core.domain.timespan import Us
from dccd_pipeline.config import read
from dccd_pipeline.config.kept import dagster_home, kept_file
from dccd_pipeline.config.lastgood import load_lasting
from dccd_pipeline.config.read import EMBEDDED, SettingsError, load_settings, parse_settings
from dccd_pipeline.config.settings import Origin, Settings

GOOD = """
store: ./lake
collect: [{exchange: binance, symbols: [BTC/USDT], data_type: ohlc, span: 1h, start: 2024-01-01}]
alerts: {webhook_url: "https://example.org/${TOKEN}"}
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TOKEN", "s3cret")
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dccd.yaml").write_text(GOOD)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("store: [", "line 2, column 1"),
        ("collect: [{exchange: binanc}]", "did you mean 'binance'?"),
        ("", "dccd.yaml: is empty"),
        ("# all gone\n\n", "dccd.yaml: is empty"),
        (None, "dccd.yaml: is gone"),
        ("alerts: {webhook_url: 'https://example.org/${NOBODY}'}", "variable NOBODY is not set"),
    ],
)
def test_d6_the_last_good_configuration_goes_on(project: Path, text: str | None, said: str) -> None:
    """0e899d4 raises, and the code location is gone with all streams and schedules."""
    good = load_lasting()
    assert good.mistake == ""
    file = project / "dccd.yaml"
    file.unlink() if text is None else file.write_text(text)
    lasting = load_lasting()
    assert said in lasting.mistake
    assert lasting.settings == good.settings
    assert lasting.settings.store == str(project / "lake")  # meant from the folder of the original
    assert lasting.settings.source == good.settings.source

    file.write_text(GOOD.replace("./lake", "./other"))
    mended = load_lasting()
    assert (mended.mistake, mended.settings.store) == ("", str(project / "other"))


def test_d6_without_a_good_one_the_mistake_is_said(project: Path) -> None:
    (project / "dccd.yaml").write_text("collect: [{exchange: binanc}]")
    with pytest.raises(SettingsError, match="did you mean 'binance'"):
        load_lasting()
    (project / "dccd.yaml").unlink()
    assert load_lasting().settings.source == EMBEDDED
    (project / "dccd.yaml").write_text("")
    assert load_lasting().settings.collect == ()


def test_d6_what_is_kept_holds_no_secret_and_is_one_s_own(project: Path) -> None:
    load_lasting()
    (kept,) = (project / "home" / "dccd").rglob("*.yaml")
    assert "s3cret" not in kept.read_text()
    assert "${TOKEN}" in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0


def test_d6_each_file_has_its_own(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_lasting()
    (project / "other.yaml").write_text("nonsense: 1")
    monkeypatch.setenv("DCCD_CONFIG", "other.yaml")
    with pytest.raises(SettingsError, match="nonsense: unknown key"):
        load_lasting()
    monkeypatch.setenv("DCCD_CONFIG", str(project / "dccd.yaml"))
    (project / "dccd.yaml").write_text("nonsense: 1")
    assert load_lasting().mistake


def test_without_a_home_nothing_is_kept_or_made(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME")
    load_lasting()
    assert not (project / ".dagster").exists()


def test_r5_who_may_not_write_into_the_home_may_look(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """36c92f8: every command that only looks ended in the trace of an OSError for another user."""
    (project / "home" / "dccd").write_text("no folder: nobody writes into it")
    assert load_lasting().mistake == ""
    monkeypatch.setenv("DAGSTER_HOME", str(project / "dccd.yaml"))
    assert load_lasting().mistake == ""


def full(_: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_cannot_be_kept_is_said_and_the_one_before_stays(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bdee002: nothing was said, so that a mistake weeks later brought back what counted before."""
    good = load_lasting()
    assert good.unkept == ""
    (project / "dccd.yaml").write_text(GOOD.replace("./lake", "./other"))
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        loaded = load_lasting()
    assert loaded.settings.store == str(project / "other")
    assert loaded.mistake == ""
    where = project / "home" / "dccd" / "configurations"
    assert loaded.unkept == (
        f"the configuration cannot be kept in {where}: No space left on device; after a mistake in it, "
        "an earlier one would count, or none -> free space there"
    )
    assert len(list(where.iterdir())) == 1, "no draft is left behind"
    assert load_lasting().unkept == ""


@pytest.mark.parametrize("left", [b"", b"\xff\xfe", b"of: an earlier version"])
def test_what_is_kept_and_of_no_use_is_replaced_and_is_no_mistake_of_the_file(
    project: Path, left: bytes
) -> None:
    """bdee002: one that could not be read was never replaced, and its own mistakes were said of the file."""
    good = load_lasting()
    (kept,) = (project / "home" / "dccd").rglob("*.yaml")
    kept.write_bytes(left)
    (project / "dccd.yaml").write_text("collect: [{exchange: binanc}]")
    if left:
        with pytest.raises(SettingsError, match="did you mean 'binance'"):
            load_lasting()
    (project / "dccd.yaml").write_text(GOOD)
    assert load_lasting() == good
    assert kept.read_text() == GOOD


def test_what_is_kept_is_what_was_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """bdee002: it was read once more to be kept: what an editor wrote meanwhile counted as good."""

    def parsed(text: str, origin: Origin, *, judged: Us | None) -> Settings:
        (project / "dccd.yaml").write_text("half of a")
        return parse_settings(text, origin, judged=judged)

    with monkeypatch.context() as patched:
        patched.setattr(read, "parse_settings", parsed)
        good = load_lasting()
    lasting = load_lasting()
    assert lasting.mistake
    assert lasting.settings == good.settings


def test_no_new_year_makes_a_mistake_of_what_was_accepted(project: Path) -> None:
    """bdee002: since twelve hours into it each command and run refused the day that was the only one to write
    in the year before, the last good configuration included: nothing was collected any more."""
    year = datetime.now(UTC).year - 2
    text = (
        f"collect: [{{exchange: kraken, symbols: [BTC/USD], data_type: ohlc, span: 1m, start: {year}-01-01}}]"
    )
    (project / "dccd.yaml").write_text(text)
    with pytest.raises(SettingsError, match="serves the last 720 rows"):
        load_lasting()
    kept = kept_file(project / "dccd.yaml", project / "home")
    kept.parent.mkdir(parents=True)
    kept.write_text(text)
    then = datetime(year, 7, 1, tzinfo=UTC).timestamp()
    os.utime(kept, (then, then))
    for loaded in (load_lasting().settings, load_settings()):
        assert loaded.collect[0].start == date(year, 1, 1)
    assert load_lasting().mistake == ""
    assert kept.stat().st_mtime == then
    (project / "dccd.yaml").write_text(f"{text}  # another text")
    assert "serves the last 720 rows" in load_lasting().mistake
    assert load_lasting().settings == loaded


@pytest.mark.parametrize("named", ["home", "~/home"])
def test_r5_a_home_that_is_named_from_here_or_by_a_tilde_is_that_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """36c92f8: the first ended in a trace of Dagster's, the second was looked for in a folder called ~."""
    monkeypatch.setenv("HOME", str(project))
    monkeypatch.setenv("DAGSTER_HOME", named)
    assert dagster_home() == project / "home"
