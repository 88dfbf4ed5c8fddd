"""Work in a thread of its own that nobody has to wait for: a remote that hangs is left behind at a stop."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def begun(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
    """Begin some work and return its future. It ends with the process, done or not."""
    future = Future[T]()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work(*args, **kwargs))
        except BaseException as e:  # noqa: BLE001 -- it is raised where the result is asked for
            future.set_exception(e)

    Thread(target=run, name="dccd keep", daemon=True).start()
    return future
