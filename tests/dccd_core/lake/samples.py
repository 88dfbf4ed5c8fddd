"""Rows, ledgers and judges that the lake's tests, and the processes they start, share."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

import polars as pl
from hypothesis import settings

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, SECOND, TimeRange, Us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import StreamKey
from dccd_core.lake.live.coverage import Mark, Notes
from dccd_core.lake.live.segments import SegmentWriter
from dccd_core.lake.partition.held import Held, Place
from dccd_core.lake.partition.ledger import Asked, Ledger, Source
from dccd_core.lake.partition.parquet import State
from dccd_core.tables import RECEIVED, TIME, DataType

often = settings(max_examples=50, deadline=None)

BTC = Symbol("BTC", "USDT")
TRADES = Dataset("binance", BTC, DataType.TRADES)
BARS = Dataset("binance", BTC, DataType.OHLC, MINUTE)
BOOKS = Dataset("binance", BTC, DataType.ORDERBOOK)
TRADED = StreamKey("binance", DataType.TRADES)
DAY = "2024-01-31"
MONTH = "2024-01"
SPAN = partition_span(TRADES.grain, DAY)

Trade = tuple[int, str | None, float]
"""Microseconds since the day began, id, price."""


def trades(rows: Iterable[Trade]) -> pl.DataFrame:
    rows = list(rows)
    return pl.DataFrame(
        {
            "ts": [SPAN.start + at for at, _, _ in rows],
            "price": [price for _, _, price in rows],
            "amount": [1.0] * len(rows),
            "side": ["buy"] * len(rows),
            "trade_id": [name for _, name, _ in rows],
            "received": [None] * len(rows),
        },
        schema=DataType.TRADES.table.schema,
    )


def numbered(ids: Sequence[int], every: Us = SECOND) -> pl.DataFrame:
    """One trade ``every`` so often, each at the time its id says."""
    return trades((number * every, str(number), float(number)) for number in ids)


def many(start: int, count: int) -> pl.DataFrame:
    """``count`` trades from the id ``start`` on, 5 ms apart, three to a moment; made fast."""
    ids = pl.int_range(start, start + count, eager=True)
    return pl.select(
        ts=(SPAN.start + ids // 3 * 5_000).cast(pl.Datetime("us", "UTC")),
        price=(ids * 7919 % 10_007).cast(pl.Float64) / 100,
        amount=(ids * 104_729 % 100_003).cast(pl.Float64) / 1e5,
        side=pl.when(ids % 2 == 0)
        .then(pl.lit("buy"))
        .otherwise(pl.lit("sell"))
        .cast(pl.Enum(["buy", "sell"])),
        trade_id=ids.cast(pl.String),
        received=pl.lit(None, TIME),
    )


def asked(start: int = 0, end: int | None = None, *, at: int = 1, rows: int = 0) -> Asked:
    """One request for a part of the day, in microseconds since it began; the whole day by default."""
    span = TimeRange(Us(SPAN.start + start), SPAN.end if end is None else Us(SPAN.start + end))
    return Asked(span, Source.REST, Us(at), 1, rows)


def live(rows: pl.DataFrame, symbol: str = "BTC/USDT") -> pl.DataFrame:
    """Rows as a stream records them: of a symbol, each received a millisecond after it happened."""
    received = {RECEIVED: pl.col("ts").dt.offset_by("1ms")} if RECEIVED in rows.columns else {}
    return rows.with_columns(symbol=pl.lit(symbol), **received)


def at(seconds: int) -> Us:
    return Us(SPAN.start + seconds * SECOND)


def began(seconds: int, symbol: str = "BTC/USDT") -> Mark:
    return Mark(symbol, at(seconds), began=True)


def ended(seconds: int, reason: str = "", symbol: str = "BTC/USDT") -> Mark:
    return Mark(symbol, at(seconds), began=False, reason=reason)


def notes(until: Us | None, marks: Sequence[Mark] = ()) -> Notes:
    """What an append says when every symbol came as far."""
    symbols = ("BTC/USDT", "ETH/USDT", "DOGE/USDT")
    return Notes(until, marks, {} if until is None else dict.fromkeys(symbols, until))


def begin(lake: LakeStore, start: int = 1) -> SegmentWriter:
    """A segment of the trades of Binance."""
    return lake.segment("binance", DataType.TRADES, None, Us(start))


def record(lake: LakeStore, *portions: pl.DataFrame, start: int = 1) -> str:
    """A closed segment with these rows, each portion an append; return its path."""
    writer = begin(lake, start)
    for rows in portions:
        writer.append(rows, Notes())
    writer.close()
    return writer.path


class Witness:
    """A judge that finds nothing and remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[pl.DataFrame] = []

    def see(self, rows: pl.DataFrame) -> None:
        self.seen.append(rows)

    def assess(self, ledger: Ledger) -> Ledger:
        return ledger


def store(
    lake: LakeStore, rows: pl.DataFrame, *, dataset: Dataset = TRADES, key: str = DAY, at: int = 1
) -> State:
    with lake.draft(dataset, key) as draft:
        draft.append(rows)
        return draft.commit([asked(at=at, rows=rows.height)], Witness)


def stored(lake: LakeStore, dataset: Dataset = TRADES, key: str = DAY) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=dataset.data_type.table.schema), *lake.chunks(dataset, key)])


Bodies = Mapping[tuple[Dataset, str], bytes]
"""What a remote holds: files by dataset and partition."""


def take_away(lake: LakeStore, key: str = DAY, *, dataset: Dataset = TRADES, nonce: str = "") -> bytes:
    """Leave a record of a partition that ``backup`` is said to hold; return its file."""
    with lake.opened(dataset, key) as stored:
        state = lake.state(dataset, key)
        assert stored
        assert state
        body = stored.file.read()
        held = Held(state, sha256(body).hexdigest(), (Place("backup", Us(1)),), Us(2), nonce)
        assert lake.take_away(dataset, key, stored, held)
    return body


def bringing(lake: LakeStore, bodies: Bodies) -> list[str]:
    """Let a lake bring back these files; return the keys of those that are, as it happens."""
    brought = list[str]()

    def bring(dataset: Dataset, keys: Sequence[str]) -> None:
        for key in keys:
            lake.put_back(dataset, key, lambda file, key=key: file.write(bodies[dataset, key]))
            brought.append(key)

    lake.bring = bring
    return brought
