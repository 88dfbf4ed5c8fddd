"""The floor under a live recorder: messages decoded and written as Parquet, with nothing kept safe.

The rows and columns are those that dccd records, less the time of receipt. ``picows`` receives with what dccd
uses, else it is websockets, which most others use.
"""

import asyncio
from pathlib import Path

import msgspec

from benchmarks.job import read_stream_job
from benchmarks.receive import Writer, timed

if __name__ == "__main__":
    job = read_stream_job()
    client = "picows" if job.options["picows"] else "websockets"
    took = asyncio.run(timed(client, Writer(Path(job.store)), job.url, job.messages))
    print(msgspec.json.encode(took).decode())
