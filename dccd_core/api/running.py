"""Coroutines for callers that are none: in a script, or in a notebook, whose event loop runs already."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def finished(work: Coroutine[object, object, T]) -> T:
    """Return what ``work`` returns, or raise what it raises; Ctrl-C cancels it and lets it end in order."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    return _beside(work)


def _beside(work: Coroutine[object, object, T]) -> T:
    """Run it in a thread of its own, on a loop of its own."""
    begun = Future[tuple[asyncio.AbstractEventLoop, "asyncio.Task[T]"]]()
    result = Future[T]()

    async def watched() -> T:
        task = asyncio.ensure_future(work)
        begun.set_result((asyncio.get_running_loop(), task))
        return await task

    def run() -> None:
        try:
            result.set_result(asyncio.run(watched()))
        except BaseException as e:  # noqa: BLE001 -- it is raised where the caller waits
            result.set_exception(e)

    thread = Thread(target=run, name="dccd", daemon=True)
    thread.start()
    try:
        return result.result()
    except KeyboardInterrupt:
        loop, task = begun.result()
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
