"""The kinds of alarms, a line each. What is not in it: failed runs (runs/failures.py), silent streams.

Another kind is a function from a ``Look`` to what is wrong, by subject, and its line here.
"""

from collections.abc import Mapping
from typing import Final

from dccd_core.domain.timespan import MINUTE, Us
from dccd_pipeline.alarms.behind import behind
from dccd_pipeline.alarms.disks import low_disks
from dccd_pipeline.alarms.found import failed_checks, quarantined
from dccd_pipeline.alarms.late import late
from dccd_pipeline.alarms.look import Kind
from dccd_pipeline.alarms.perishing import perishing

KINDS: Final[Mapping[str, Kind]] = {
    "behind": Kind(behind),
    "checks": Kind(failed_checks),
    "quarantine": Kind(quarantined),
    "disks": Kind(low_disks, every=Us(MINUTE)),
    "late": Kind(late),
    "perishing": Kind(perishing, every=Us(MINUTE)),
}
