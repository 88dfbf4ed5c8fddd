"""The ``dccd`` command begins here, and ``python -m dccd_pipeline`` is the same.

What it needs takes seconds to import. A stop is heard meanwhile: nothing is under way yet that would have to
be put away, so it ends at once, without a trace of where it was. What is imported stays until the end: nobody
looks through it for garbage, neither meanwhile nor when all ends: that alone would take a second.

Belongs here: nothing that has to be imported. Does not: what the command does (main.py).
"""

import gc
import os
import signal
from types import FrameType


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(130)


def main() -> None:
    """Run the ``dccd`` command."""
    for one in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(one) is not signal.SIG_IGN:  # as it is under nohup
            signal.signal(one, _leave)
    gc.disable()
    from dccd_pipeline.cli.lazy import main as command  # noqa: PLC0415 -- from now on a stop is heard

    gc.freeze()
    gc.enable()
    try:
        command()
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()
