"""How a process hears that it is to stop."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def hearing_signals() -> Generator[None]:
    """Raise KeyboardInterrupt for both signals: what stops a command is cleaned up after."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    heard = [one for one in _SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]  # as it is under nohup
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: interrupt}
    before = {one: signal.signal(one, handlers[one]) for one in heard}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def old_handlers() -> Generator[None]:
    """Put the handlers of signals back in the end.

    asyncio leaves the defaults. Dagster has SIGTERM do what SIGINT does: nothing, in what a script put into
    the background, for a shell has that ignore SIGINT.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.getsignal(one) for one in _SIGNALS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
