"""What ``Lake()`` goes by of the configuration: the store, other servers, accepted gaps, and nothing else."""

from pathlib import Path

import pytest

from dccd_core.api.configured import Reach, config_file, configured, s3_keys
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import TimeRange, parse_time
from dccd_core.keep.remotes.remote import Place
from dccd_core.lake.partition.ledger import Accepted
from dccd_core.lake.store.s3 import S3Keys


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_a_file_it_is_data_in_this_folder(tmp_path: Path) -> None:
    assert configured().store == str(tmp_path / "data")
    assert config_file() == Path("dccd.yaml")


def test_the_user_s_own_counts_where_no_other_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "home" / "dccd" / "dccd.yaml"
    own.parent.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    assert config_file() == Path("dccd.yaml"), "it is not there"
    own.write_text("store: ./lake\n")
    assert config_file() == own
    assert configured().store == str(own.parent / "lake")
    (tmp_path / "dccd.yaml").write_text("")
    assert config_file() == Path("dccd.yaml")
    monkeypatch.setenv("DCCD_CONFIG", "named.yaml")
    assert config_file() == Path("named.yaml")


def test_without_a_folder_of_his_own_it_is_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / ".config" / "dccd" / "dccd.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    for named in ("", "relative"):
        monkeypatch.setenv("XDG_CONFIG_HOME", named)
        assert config_file() == own


def test_a_folder_counts_from_the_file_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "mine.yaml").write_text("store: ../lake\n")
    monkeypatch.setenv("DCCD_CONFIG", "conf/mine.yaml")
    assert Path(configured().store).resolve() == tmp_path / "lake"


def test_a_bucket_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "dccd.yaml").write_text("store: s3://bucket/prefix/\n")
    assert configured().store == "s3://bucket/prefix"


def test_what_else_is_wrong_in_the_file_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERE", "lake")
    (tmp_path / "dccd.yaml").write_text("colect: 7\nalerts: {to: ['${NOT_SET}']}\nstore: ./${WHERE}\n")
    assert configured().store == str(tmp_path / "lake")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("store: ftp://host", "is no place for the data"),
        ("store: ''", "is no place for the data"),
        ("store: ${NOT_SET}", "NOT_SET is not set"),
        ("store: [", "cannot be read"),
    ],
)
def test_a_store_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "dccd.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        configured()


def test_a_file_that_is_named_and_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCCD_CONFIG", "elsewhere.yaml")
    with pytest.raises(ConfigError, match=r"elsewhere\.yaml cannot be read"):
        configured()


SERVERS = """
exchanges:
  binance: {rest_url: "http://127.0.0.1:8900/binance", ws_url: "ws://127.0.0.1:${PORT}/binance", budget: 7}
  kraken: {symbols: {BTC/USD: {listed: soon}}}
"""


def test_servers_are_those_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured().reach("binance") == Reach()
    (tmp_path / "dccd.yaml").write_text(SERVERS)
    assert configured().reach("kraken") == Reach()
    with pytest.raises(ConfigError, match="PORT is not set"):
        configured().reach("binance")
    monkeypatch.setenv("PORT", "9")
    assert configured().reach("binance") == Reach("http://127.0.0.1:8900/binance", "ws://127.0.0.1:9/binance")


def test_accepted_gaps_are_those_of_the_file(tmp_path: Path) -> None:
    gap = "{dataset: binance/trades/BTC-USDT, start: 2023-01-01, end: 2023-01-02T03:00, why: lost}"
    (tmp_path / "dccd.yaml").write_text(f"accepted: [{gap}]")
    span = TimeRange(parse_time("2023-01-01"), parse_time("2023-01-02T03:00"))
    assert configured().accepted() == {"binance/trades/BTC-USDT": [Accepted(span, "lost")]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exchanges: [binance]", "exchanges: should be keys with values -> see dccd config check"),
        ("exchanges: {binance: {rest_url: [x]}}", r"exchanges\.binance\.rest_url: should be text"),
        ("accepted: [{dataset: binance/trades/BTC-USDT}]", r"accepted\[0\]\.start: missing"),
        ("accepted: {a: b}", r"accepted\[0\]\.dataset: missing"),
        ("[]", "the file: should be keys with values"),
    ],
)
def test_what_cannot_be_gone_by_is_said_and_not_ignored(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "dccd.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        _ = configured().reach("binance"), configured().accepted()


def test_buckets_are_reached_as_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured().s3() == S3Keys()
    monkeypatch.setenv("PLACE", "eu-west-1")
    (tmp_path / "dccd.yaml").write_text("s3: {region: '${PLACE}', endpoint_url: http://h, retries: 3}\n")
    assert configured().s3() == S3Keys("eu-west-1", "http://h", None, 3)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"regoin": "x"}, "s3.regoin: unknown key -> known here: region"),
        ({"retries": "many"}, "whole number"),
    ],
)
def test_what_is_no_key_of_buckets_is_said(raw: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        s3_keys(raw)


def test_remotes_and_the_room_to_leave_are_told(tmp_path: Path) -> None:
    (tmp_path / "dccd.yaml").write_text(
        "remotes: [{name: nas, to: copy}, {name: far, to: 's3://bucket/copy'}]\npurge: {keep_free: 2GiB}\n"
    )
    known = configured()
    assert known.remotes() == [Place("nas", str(tmp_path / "copy")), Place("far", "s3://bucket/copy")]
    assert known.keep_free() == 2 << 30
    (tmp_path / "dccd.yaml").write_text("remotes: [{name: nas}]\n")
    assert configured().keep_free() == 0
    with pytest.raises(ConfigError, match=r"remotes\[0\].to: missing"):
        configured().remotes()
