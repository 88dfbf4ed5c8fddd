"""A changed dccd.yaml, and what becomes of the run of this process."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import dagster as dg
import pytest
from msgspec.structs import replace

from dccd_core.net.clock import SystemClock
from dccd_pipeline.build import stream_digests, stream_orders
from dccd_pipeline.cli.config_watch import ConfigWatch
from dccd_pipeline.config.read import load_settings
from dccd_pipeline.streams.heartbeat import beat_of, write_beat
from dccd_pipeline.streams.orders import read_wishes
from dccd_pipeline.tags import STOPPED, STREAM

S = dg.DagsterRunStatus
TEXT = "stream: [{name: majors, exchange: binance, symbols: [BTC/USDT], data_types: [trades, orderbook]}]\n"


@dg.job(name="stream_majors")
def streaming() -> None: ...


class Watched:
    """A file, a run of this process that records what it says, and who looks after both."""

    def __init__(self, instance: dg.DagsterInstance, folder: Path) -> None:
        self.instance, self.file = instance, folder / "dccd.yaml"
        self.file.write_text(TEXT)
        self.settings = load_settings(self.file)
        self.said = list[str]()
        self.watch = ConfigWatch(self.settings, "majors", instance, self.said.append)
        run = instance.create_run_for_job(streaming, tags={STREAM: "majors"}, status=S.STARTED)
        self.run_id = run.run_id

    def beat(self, **known: object) -> None:
        digest = stream_digests(self.settings)["majors"]
        beat = beat_of(self.run_id, digest, SystemClock().now(), None)
        write_beat(self.instance, "majors", replace(beat, **known))

    def change(self, before: str, after: str) -> None:
        self.file.write_text(TEXT.replace(before, after))
        self.watch.look()

    @property
    def run(self) -> dg.DagsterRun:
        run = self.instance.get_run_by_id(self.run_id)
        assert run is not None
        return run

    @property
    def ordered(self) -> tuple[str, ...] | None:
        order = read_wishes(self.instance, "majors", self.run_id).order
        return order.symbols if order else None


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Watched(instance, tmp_path)


def test_other_symbols_are_an_order_for_the_run_that_goes_on(watched: Watched) -> None:
    watched.beat()
    watched.change("[BTC/USDT]", "[BTC/USDT, ETH/USDT]")
    assert watched.ordered == ("BTC/USDT", "ETH/USDT")
    assert watched.said == [f"majors: goes on as it is in {watched.file} now"]
    assert (watched.run.status, watched.watch.anew) == (S.STARTED, None)


def test_a_file_that_is_as_it_was_changes_nothing(watched: Watched) -> None:
    watched.beat()
    watched.watch.look()
    watched.change("majors", "majors")
    watched.change("}]", ", silent_after: 1h}]")
    assert (watched.ordered, watched.said) == (None, [])


def test_a_run_that_gives_no_sign_of_life_yet_is_waited_for(watched: Watched) -> None:
    watched.change("[BTC/USDT]", "[ETH/USDT]")
    watched.beat(pid=1)  # of another process
    watched.watch.look()
    assert watched.ordered is None
    watched.beat()
    watched.watch.look()
    assert watched.ordered == ("ETH/USDT",)


def test_what_cannot_be_changed_in_place_ends_the_run_and_is_recorded_anew(watched: Watched) -> None:
    watched.beat()
    watched.change("}]", ", depth: 20}]")
    assert watched.run.status is S.CANCELING
    assert watched.run.tags[STOPPED] == f"{watched.run_id} its settings in dccd.yaml changed"
    assert watched.watch.anew is not None
    assert stream_orders(watched.watch.anew)["majors"].digest != stream_digests(watched.settings)["majors"]


def test_what_left_the_file_ends(watched: Watched) -> None:
    watched.beat()
    watched.change("majors", "minors")
    assert watched.run.status is S.CANCELING
    assert watched.run.tags[STOPPED] == f"{watched.run_id} it is not in dccd.yaml any more"
    assert watched.watch.anew is None


def test_a_broken_file_is_said_once_and_passed_over(watched: Watched) -> None:
    watched.beat()
    watched.change("BTC/USDT", "BTCUSDT")
    watched.watch.look()
    (said,) = watched.said
    assert said.splitlines()[0].startswith("majors: what is recorded stays as it is: ")
    assert said.splitlines()[1].startswith("stream[0].symbols[0]: ")
    watched.file.unlink()
    watched.watch.look()
    watched.watch.look()
    assert len(watched.said) == 2
    assert (watched.ordered, watched.run.status) == (None, S.STARTED)
    watched.change("[BTC/USDT]", "[ETH/USDT]")
    assert watched.ordered == ("ETH/USDT",)


def test_it_looks_by_itself(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dccd_pipeline.cli.config_watch._LOOK_EVERY_S", 0.001)
    watched.beat()
    heeded = Event()
    watched.watch.say = lambda text: heeded.set() if "goes on as it is" in text else None
    with watched.watch.looking():
        watched.file.write_text(TEXT.replace("[BTC/USDT]", "[ETH/USDT]"))
        assert heeded.wait(60)  # an instance in memory is locked for who asks it while another thread writes
    assert watched.ordered == ("ETH/USDT",)
