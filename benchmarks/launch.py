"""Run a command and write what it took as JSON to a file (on Linux): ``launch.py FILE COMMAND...``.

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
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with open(f"/proc/{process.pid}/io") as file:  # noqa: PTH123 -- pathlib would take memory
        written = int(dict(line.split(": ") for line in file)["wchar"])
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    took = {
        "wall_s": wall_s,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_kb": used.ru_maxrss,
        "written": written,
    }
    with open(sys.argv[1], "w") as file:  # noqa: PTH123 -- pathlib would take memory
        json.dump(took, file)
    sys.exit(process.returncode)
