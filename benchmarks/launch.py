"""Run a command and write what it took as JSON to a file: ``launch.py FILE COMMAND...``.

A process of its own because Linux counts the memory of a process to the peak of those it starts: this one
is small, so it imports nothing else.
"""

import json
import os
import subprocess
import sys
import time

if __name__ == "__main__":
    began = time.perf_counter()
    process = subprocess.Popen(sys.argv[2:])
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    took = {"wall_s": wall_s, "cpu_s": used.ru_utime + used.ru_stime, "peak_kb": used.ru_maxrss}
    with open(sys.argv[1], "w") as file:  # noqa: PTH123 -- pathlib would take memory
        json.dump(took, file)
    sys.exit(process.returncode)
