"""Telling living processes from dead ones, and from others with their number."""

import os
import subprocess
import sys

import pytest
from msgspec.structs import replace

from dccd_pipeline.runs.processes import Process, born, is_there, members, process_of
from dccd_pipeline.tags import PROCESS


@pytest.fixture
def dead() -> int:
    """Return the number that a process had."""
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        process.wait()
    return process.pid


def test_this_one_is_there() -> None:
    assert Process.this().pid == os.getpid()
    assert not Process.this().gone


def test_one_that_ended_is_gone_and_on_another_machine_nobody_knows(dead: int) -> None:
    assert not is_there(dead)
    assert replace(Process.this(), pid=dead).gone
    assert not replace(Process.this(), pid=dead, host="elsewhere").gone


def test_one_that_ended_and_that_nobody_waited_for_is_gone_too() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
    assert not is_there(process.pid)
    process.wait()


def test_another_one_with_its_number_is_not_it() -> None:
    this = Process.this()
    assert born(this.pid) == this.born
    assert this.born == "" or replace(this, born="an earlier boot").gone
    assert not replace(this, born="").gone  # where the system does not tell, the number decides


def test_a_run_says_which_process_it_is_in() -> None:
    this = Process.this()
    assert process_of("run", this.tag("run")) == this
    assert process_of("again", this.tag("run")) is None  # it was launched again: the tag is its parent's
    assert process_of("run", {}) is None
    assert process_of("run", {PROCESS: "run"}) is None
    assert process_of("run", {PROCESS: "run here 7"}) == Process("here", 7)


def test_the_members_of_a_group_are_those_that_have_not_ended() -> None:
    code = "import sys; print(flush=True); sys.stdin.read()"
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-S", "-c", code], stdin=pipe, stdout=pipe, process_group=0)
    assert process.stdin
    assert process.stdout
    process.stdout.readline()
    assert members(process.pid) == [process.pid]
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
    assert members(process.pid) == []
    process.stdout.close()
    process.wait()
