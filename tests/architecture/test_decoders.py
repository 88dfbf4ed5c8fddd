"""What reads JSON into a type of ours is made when its module is imported, never when it is first needed.

msgspec 0.22 works out a type when it is first decoded, and another thread that decodes it at the same time
meets a half of it: the process ends with a segmentation fault. One import is one thread's.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for home in ("dccd_core", "dccd_pipeline") for path in (ROOT / home).rglob("*.py"))


def ours(kind: ast.expr) -> bool:
    """Return whether a type is of our own: its name begins with a capital, as that of no built-in does."""
    return any(isinstance(node, ast.Name) and node.id.lstrip("_")[:1].isupper() for node in ast.walk(kind))


def test_no_type_of_ours_is_worked_out_when_it_is_first_decoded() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "decode"
        for word in node.keywords
        if word.arg == "type" and ours(word.value)
    ]
    assert found == [], "make a msgspec.json.Decoder of it beside it"


FIRST = """
import sys
from threading import Barrier, Thread
from dccd_core.lake.partition.ledger import Ledger

sys.setswitchinterval(1e-6)
text, together = Ledger().to_json(), Barrier(8)

def read():
    together.wait()
    assert Ledger.from_json(text) == Ledger()

threads = [Thread(target=read) for _ in range(8)]
for one in threads:
    one.start()
for one in threads:
    one.join()
"""


@pytest.mark.parametrize("turn", range(3))
def test_many_threads_that_read_a_first_ledger_at_once_read_it(turn: int) -> None:
    """As a look at a lake of many partitions does. Before: it sometimes ended with signal 11."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), turn
