"""Coroutines for callers that are none."""

import asyncio
import threading

import pytest

from dccd_core.api.running import finished


async def where() -> int:
    await asyncio.sleep(0)
    return threading.get_ident()


async def broken() -> None:
    raise LookupError("as it was raised")


def test_in_a_script_it_runs_here() -> None:
    assert finished(where()) == threading.get_ident()


def test_beside_a_loop_that_runs_it_runs_in_a_thread_of_its_own() -> None:
    async def notebook() -> int:
        return finished(where())

    assert asyncio.run(notebook()) != threading.get_ident()


def test_what_it_raises_is_raised_either_way() -> None:
    async def notebook() -> None:
        finished(broken())

    with pytest.raises(LookupError, match="as it was raised"):
        finished(broken())
    with pytest.raises(LookupError, match="as it was raised"):
        asyncio.run(notebook())
