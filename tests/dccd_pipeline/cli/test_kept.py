"""A program ends with who started it."""

import signal
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import subprocess, sys, time
print(sys.argv[1:], __name__, flush=True)
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_program_and_what_it_started_end_when_nobody_holds_its_input(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-m", "dccd_pipeline.cli.kept", "program", "a", "-b"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{Path(__file__).parents[3]}:{tmp_path}"},
        stdin=pipe,
        stdout=pipe,
        text=True,
        process_group=0,
    )
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == "['a', '-b'] __main__\n"
    assert process.stdout.readline().strip().isdigit()
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(60) == -signal.SIGTERM
    assert process.stdout.read() == "", "the end of it: its child is gone, too"
    process.stdout.close()
