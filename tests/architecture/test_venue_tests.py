"""What all venues share is stated once, over the registry: the tests of one stay few enough to be read."""

from pathlib import Path

import pytest

from dccd_core.exchanges import NAMES

TESTS = Path(__file__).parents[1]
MOST = 1_500


@pytest.mark.parametrize("name", NAMES)
def test_the_tests_of_a_venue_have_few_lines(name: str) -> None:
    files = [path for path in TESTS.rglob("*.py") if name in path.stem]
    lines = sum(len(path.read_text().splitlines()) for path in files)
    assert len(files) >= 2
    assert lines <= MOST
