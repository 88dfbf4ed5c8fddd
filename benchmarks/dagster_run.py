"""``dccd backfill``: the same fill in a recorded Dagster run, with its materialisations and checks."""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from benchmarks.job import Job, read_job
from dccd_core.domain.timespan import MILLISECOND, Us, iso
from dccd_pipeline.__main__ import main

_ROOT: Final = Path(__file__).parent.parent


def prepare(job: Job) -> list[str]:
    """Set up a lake and a Dagster home beside one another; return the command's arguments."""
    home = Path(job.store, "dagster")
    home.mkdir()
    shutil.copy(_ROOT / "dagster.yaml", home)
    config = Path(job.store, "dccd.yaml")
    config.write_text(f"store: {job.store}/lake\nexchanges: {{binance: {{rest_url: '{job.url}'}}}}\n")
    os.environ |= {"DAGSTER_HOME": str(home), "DCCD_CONFIG": str(config)}
    start, end = (iso(Us(at * MILLISECOND)) for at in (job.spans_ms[0][0], job.spans_ms[-1][1]))
    span = ["--span", "1m"] if job.data_type == "ohlc" else []
    kind = ["--data-type", job.data_type, *span]
    return ["backfill", "binance", job.symbol, *kind, "--start", start, "--end", end, "--json"]


if __name__ == "__main__":
    sys.argv[1:] = prepare(read_job())
    main()  # as the command begins: it has its own mind about garbage
