from collections.abc import Iterator

import pytest

from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: RunningSandbox) -> RunningSandbox:
    """A sandbox without faults, counts or a clock of its own."""
    shared_sandbox.reset()
    return shared_sandbox
