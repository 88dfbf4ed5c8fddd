"""cryptofeed with a callback that gathers trades and writes Parquet, as its users do: it has no such backend.

Run by the Python that has it and pyarrow installed. Its address is a constant and it insists on TLS: both are
replaced. Nothing is synced.
"""

import asyncio
import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

connection: Any = import_module("cryptofeed.connection")
cryptofeed: Any = import_module("cryptofeed")
defines: Any = import_module("cryptofeed.defines")
exchanges: Any = import_module("cryptofeed.exchanges")
pa: Any = import_module("pyarrow")
pq: Any = import_module("pyarrow.parquet")

_ROWS_IN_FILE = 50_000


class Writer:
    """Keeps columns, and writes a file whenever there is enough."""

    def __init__(self, folder: Path, messages: int, done: asyncio.Event) -> None:
        self.marks: list[tuple[int, float, float]] = []
        self._folder, self._messages, self._done = folder, messages, done
        self._rows: list[tuple[Any, ...]] = []
        self._count = 0

    async def trade(self, trade: Any, received: float) -> None:  # noqa: ANN401 -- a class of theirs
        self._rows.append(
            (trade.symbol, trade.timestamp, trade.price, trade.amount, trade.side, trade.id, received)
        )
        if len(self._rows) >= _ROWS_IN_FILE or self._count + len(self._rows) >= self._messages:
            self._write()

    def _write(self) -> None:
        symbol, ts, price, amount, side, ids, received = zip(*self._rows, strict=True)
        columns = {
            "symbol": symbol,
            "ts": ts,
            "price": [float(one) for one in price],
            "amount": [float(one) for one in amount],
            "side": side,
            "trade_id": ids,
            "received": received,
        }
        self._count += len(self._rows)
        self._rows = []
        pq.write_table(pa.table(columns), self._folder / f"{self._count}.parquet", compression="zstd")
        self.marks.append((self._count, time.perf_counter(), time.process_time()))
        if self._count >= self._messages:
            self._done.set()


async def record(job: dict[str, Any], handler: Any) -> dict[str, float]:  # noqa: ANN401 -- a class of theirs
    """Return what it took from the first file to the last."""
    done, connect = asyncio.Event(), connection.connect
    writer = Writer(Path(job["store"]), job["messages"], done)

    def connect_to_ours(address: str, **options: Any) -> Any:  # noqa: ANN401 -- whatever they are
        return connect(address.replace("wss://", "ws://"), **options)

    connection.connect = connect_to_ours
    binance = exchanges.Binance
    binance.websocket_endpoints = [connection.WebsocketEndpoint(job["url"].replace("ws://", "wss://"))]
    info = connection.Routes("/api/v3/exchangeInfo")
    binance.rest_endpoints = [connection.RestEndpoint(job["rest_url"], routes=info)]
    symbols = [name.replace("/", "-") for name in job["symbols"]]
    handler.add_feed(
        binance(symbols=symbols, channels=[defines.TRADES], callbacks={defines.TRADES: writer.trade})
    )
    handler.run(start_loop=False, install_signal_handlers=False)
    await done.wait()
    first, last = writer.marks[0], writer.marks[-1]
    await handler.stop_async(asyncio.get_running_loop())
    return {"messages": last[0] - first[0], "wall_s": last[1] - first[1], "cpu_s": last[2] - first[2]}


if __name__ == "__main__":
    ours = cryptofeed.FeedHandler(config={"log": {"disabled": True}, "uvloop": True})
    print(json.dumps(asyncio.run(record(json.loads(sys.argv[1]), ours))))
