"""``python -m dccd_pipeline.cli.kept MODULE ARGUMENTS``: a program that ends with who started it.

It sees the end of a pipe that its keeper held, whatever ended that, and then ends its process group: itself
and what it started. Nothing else is imported before the program.

Belongs here: hearing that the keeper is gone. Does not: which programs there are (services.py).
"""

import os
import runpy
import signal
import sys
import time
from threading import Thread

GRACE_S = 8.0
"""How long those that are to end may take before they are killed."""


def end_with(pipe: int) -> None:
    """Have this process group end when nobody holds the other end of a pipe any more."""

    def wait() -> None:
        while os.read(pipe, 1):
            pass
        os.killpg(0, signal.SIGTERM)
        time.sleep(GRACE_S)
        os.killpg(0, signal.SIGKILL)

    Thread(target=wait, name="keeper", daemon=True).start()


def main() -> None:
    """Run the module that is named, as ``python -m`` would."""
    module, *arguments = sys.argv[1:]
    end_with(os.dup(sys.stdin.fileno()))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
