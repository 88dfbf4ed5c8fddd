"""Which process something is, and whether it is still there: the same number may be given to another one.

Belongs here: telling living processes of this machine from dead ones. Does not: what is made of it.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from dccd_pipeline.tags import PROCESS

KEEPER: Final = "DCCD_KEEPER"
"""The variable of the environment that says which process a recorder ends with."""
_ZOMBIE: Final = "Z"


class Process(msgspec.Struct, frozen=True):
    """A process. ``born``: what tells it from others that had its number; empty where that is not known."""

    host: str
    pid: int
    born: str = ""

    @classmethod
    def this(cls) -> "Process":
        pid = os.getpid()
        return cls(socket.gethostname(), pid, born(pid))

    def tag(self, run_id: str) -> dict[str, str]:
        """Return what a run says that this process executes."""
        return {PROCESS: f"{run_id} {self.host} {self.pid} {self.born}".rstrip()}

    @property
    def gone(self) -> bool:
        """Whether it has certainly ended; of other machines nobody here can tell."""
        if self.host != socket.gethostname():
            return False
        if not is_there(self.pid):
            return True
        now = born(self.pid)
        return bool(self.born and now and now != self.born)


def process_of(run_id: str, tags: Mapping[str, str]) -> Process | None:
    """Return the process that a run says it is in; one that was launched again has its parent's tags."""
    whose, *told = tags.get(PROCESS, "-").split()
    if whose != run_id or len(told) < len(("host", "pid")):
        return None
    host, pid, *when = told
    return Process(host, int(pid), when[0] if when else "")


def is_there(pid: int) -> bool:
    """Tell whether there is a process of ours with this number that has not ended."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # somebody else's: the number was given away again
        return False
    told = stat(pid)
    return told is None or told[0] != _ZOMBIE


def born(pid: int) -> str:
    """Return which boot of the machine, and which tick of it, a process began in; empty if nobody tells."""
    told = stat(pid)
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return ""
    return f"{boot[:8]}-{told[1]}" if told else ""


def members(group: int) -> list[int]:
    """Return the processes of a process group that have not ended; where nobody tells, its number if any."""
    if not Path("/proc/self/stat").exists():
        try:
            os.killpg(group, 0)
        except OSError:
            return []
        return [group]
    pids = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit()]
    told = ((pid, _fields(pid)) for pid in pids)
    return [pid for pid, of in told if of and of[0] != _ZOMBIE and int(of[2]) == group]


def stat(pid: int) -> tuple[str, int] | None:
    """Return a process's state, and its beginning in ticks of the machine; None if nobody tells."""
    fields = _fields(pid)
    return (fields[0], int(fields[19])) if fields else None


def _fields(pid: int) -> list[str] | None:
    """Return what the system tells of a process, from its state on: proc(5), /proc/[pid]/stat."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the name before may hold anything
