"""A saved dccd.yaml is taken over; a broken one is said, and what runs goes on."""

import asyncio
import threading
from pathlib import Path

import pytest

from dccd_core.domain.timespan import parse_time
from dccd_core.net.clock import ManualClock
from dccd_pipeline.cli.reloading import Reloading
from dccd_pipeline.cli.running import Running, digest_of
from dccd_pipeline.config.lastgood import load_lasting
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.runs.processes import Process

GOOD = "collect: [{exchange: binance, symbols: [BTC/USDT], data_type: trades, start: 2024-01-01}]\n"
MORE = GOOD.replace("[BTC/USDT]", "[BTC/USDT, ETH/USDT]")
BROKEN = GOOD.replace("binance", "binanc")


class Watched:
    """A file, who looks after it, and what he says, keeps and has loaded."""

    def __init__(self, folder: Path, text: str | None) -> None:
        self.file, self.home = folder / "dccd.yaml", folder / "home"
        self.home.mkdir()
        if text is not None:
            self.file.write_text(text)
            load_lasting(self.home)
        self.said, self.kept, self.urls = list[str](), list[Running](), list[str]()
        self.wrong = ""
        self.clock = ManualClock(parse_time("2026-11-29"))
        running = Running(Process.this(), "url", str(self.file), digest_of(self.file), 0)
        self.one = Reloading(
            "url", self.home, running, self.said.append, self.kept.append, self.clock, self._load, self._next
        )

    def _load(self, url: str) -> str:
        self.urls.append(url)
        return self.wrong

    def _next(self, _url: str, settings: Settings) -> str:
        return f"next ticks: {settings.collect[0].name}"

    def save(self, text: str) -> None:
        self.file.write_text(text)
        self.look()

    def look(self, seconds: float = 1.0) -> None:
        """Look often enough that a file is noticed, believed to be whole, and loaded."""
        for _ in range(3):
            asyncio.run(self.clock.sleep(seconds))
            self.one.look()
            for thread in threading.enumerate():
                if thread.name == "reload":
                    thread.join()


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    return Watched(tmp_path, GOOD)


def test_a_saved_file_is_loaded_once(watched: Watched) -> None:
    watched.look()
    assert watched.urls == []
    watched.save(MORE)
    watched.look()
    assert watched.urls == ["url"]
    taken = "dccd.yaml was saved and is taken over: 1 entry, 0 streams"
    assert watched.said == [taken, "next ticks: binance_trades"]
    assert watched.kept[-1].digest == digest_of(watched.file)


def test_a_broken_one_is_said_once_and_mended_it_is_loaded(watched: Watched) -> None:
    watched.save(BROKEN)
    watched.look()
    assert watched.urls == []
    (said,) = watched.said
    assert said.splitlines()[0] == "dccd.yaml was saved, but the last good configuration goes on, because of:"
    assert "did you mean 'binance'?" in said
    assert "binance" in watched.kept[-1].mistake
    watched.save(MORE)
    assert watched.urls == ["url"]
    assert watched.kept[-1].mistake == ""


def test_one_that_is_as_it_was_again_is_not_loaded(watched: Watched) -> None:
    watched.save(BROKEN)
    watched.save(GOOD)
    assert watched.urls == []
    assert watched.said[-1] == "dccd.yaml is as it was when it was loaded"
    assert watched.kept[-1].mistake == ""


def test_one_that_is_being_written_is_left_alone(watched: Watched) -> None:
    for text in ("", GOOD[:10], BROKEN, MORE):
        watched.file.write_text(text)
        asyncio.run(watched.clock.sleep(1))
        watched.one.look()
    assert watched.said == []
    watched.look()
    assert watched.urls == ["url"]


def test_what_could_not_be_loaded_is_tried_again_later(watched: Watched) -> None:
    watched.wrong = "the webserver does not answer: refused"
    watched.save(MORE)
    watched.look()
    assert watched.urls == ["url"]
    assert watched.said[-1].endswith(
        "could not be loaded: the webserver does not answer: refused -> tried again in 10 s"
    )
    watched.wrong = ""
    watched.look(6)
    assert watched.urls == ["url", "url"]
    assert watched.said[-2].endswith("1 entry, 0 streams")


def test_one_that_vanished_is_said_and_one_that_appears_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    watched = Watched(tmp_path, None)
    watched.look()
    assert watched.said == []
    watched.save(GOOD)
    assert watched.urls == ["url"]
    watched.file.unlink()
    watched.look()
    assert watched.said[-1].endswith("dccd.yaml: is gone")
