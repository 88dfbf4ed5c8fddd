"""``dccd logs``: the lines of ``dccd up``; those of runs: test_runlines.py."""

from itertools import islice
from pathlib import Path

import pytest

from dccd_pipeline.cli.logs import file_lines
from dccd_pipeline.cli.running import log_file
from tests.dccd_pipeline.cli.terminal import dccd, refused


@pytest.fixture
def log(own_home: Path) -> Path:
    file = log_file(own_home / ".dagster")
    file.parent.mkdir(parents=True)
    return file


def test_the_last_lines_also_of_the_file_before(log: Path) -> None:
    log.write_text("c\nd\n")
    log.with_name("up.log.1").write_text("a\nb\n")
    assert dccd("logs").stdout == "a\nb\nc\nd\n"
    assert dccd("logs", "-n", "3").stdout == "b\nc\nd\n"
    assert dccd("logs", "-n", "0").stdout == ""


def test_where_nothing_ran_it_is_said(own_home: Path) -> None:
    file = log_file(own_home / ".dagster")
    assert refused("logs") == f"{file} is not there: `dccd up` has not run here -> dccd up"
    assert refused("logs", "minors").endswith("called minors -> did you mean majors?")
    assert refused("logs", "majors") == "nothing of majors has run yet -> dccd status shows what has"


def test_what_comes_is_followed_over_the_begin_of_a_new_file(log: Path) -> None:
    log.write_text("a\n")
    lines = file_lines(log, 10, follow=True, look_s=0)
    assert next(lines) == "a"
    with log.open("a") as opened:
        opened.write("b\nc is not whole")
    assert next(lines) == "b"
    with log.open("a") as opened:
        opened.write(" and now is\n")
    assert next(lines) == "c is not whole and now is"
    with log.open("a") as opened:
        opened.write("the last of it\n")
    log.rename(log.with_name("up.log.1"))
    log.write_text("anew\n")
    assert list(islice(lines, 2)) == ["the last of it", "anew"]
