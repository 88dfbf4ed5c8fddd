"""``Lake`` as it is used in a notebook: names instead of datasets, dates instead of microseconds."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import polars as pl

from dccd_core.api.asked import Moment, dataset_of, range_of, unknown
from dccd_core.api.configured import Configured, Reach, config_file, configured, s3_keys
from dccd_core.api.elsewhere import bringing_back
from dccd_core.bars.longer import Length, Months, parse_length, said_length
from dccd_core.bars.read import longest_source, scan_longer
from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import ConfigError, LakeError
from dccd_core.domain.timespan import TimeRange, Us, iso
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Accepted
from dccd_core.lake.partition.parquet import State
from dccd_core.net.clock import SystemClock
from dccd_core.quality import coverage
from dccd_core.tables import TIME

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from dccd_core.api.work import Done, Filling
    from dccd_core.lake.store.s3 import MakeClient
    from dccd_core.stream.api import StreamHealth

T = TypeVar("T")
_GAPS = pl.Schema({"start": TIME, "end": TIME, "missing": pl.Int64(), "why": pl.String()})


class Lake(LakeStore):
    """A store of market data.

    Args:
        url: a folder or ``s3://bucket/prefix``; without it the store that the configuration names
            (``$DCCD_CONFIG``, else ``./dccd.yaml``); then the servers and accepted gaps that it names count
            as well.
        live: the folder of live segments, on this machine; None for the one that belongs to ``url``.
        accepted: known irregularities by the name of their dataset, which count as explained.
        s3: how to reach buckets, ``{"region": ..., "endpoint_url": ..., "profile": ..., "retries": ...}``;
            without it as the configuration says under ``s3:``, if there is one.

    A dataset is given by its name, as ``dccd inventory`` prints it, or as a ``Dataset``. Time is half-open
    and UTC, given as a ``TimeRange`` or as two moments: ``"2024-01"``, ``"2024-01-31T12:00"``, ``"7d"``
    (ago), ``"yesterday"``, a date or a datetime.

    Every method raises ConfigError for what is not there, with the nearest that is; LakeError when the store
    refuses; DamagedFile when a file is not what was written.
    """

    def __init__(
        self,
        url: str | Path | None = None,
        live: Path | None = None,
        accepted: Mapping[str, Sequence[Accepted]] | None = None,
        *,
        s3: Mapping[str, object] | None = None,
    ) -> None:
        self._configured = configured() if url is None else Configured(str(url))
        gaps = self._configured.accepted() if accepted is None else accepted
        client = _client_maker(url, s3)
        super().__init__(self._configured.store if url is None else url, live, gaps, s3=client)
        self.bring = bringing_back(self, client)

    def datasets(self) -> list[Dataset]:
        """Return what there is, sorted by name: ``str()`` of each is the name that is understood here."""
        return sorted({*super().datasets(), *self.recorded()}, key=str)

    def scan(
        self,
        dataset: Dataset | str,
        start: TimeRange | Moment | None = None,
        end: Moment | None = None,
        /,
        *,
        span: str | int | None = None,
        restore: bool = True,
    ) -> pl.LazyFrame:
        """Return the rows with ``start <= ts < end``, lazily; what a stream records is among them at once.

        Columns: docs/lake.md. None at all where nothing was traded; time of which nothing is stored is an
        error.

        ``span``: bars of that length instead, ``4h``, ``1w`` (from Monday on), ``1mo``, ``3mo``. Stored ones
        are read; else they are made of the longest stored ones that divide it. Left out are bars of which
        not all of the time is proven, as the newest one until it is over; and, as in what they are made of,
        those in which nothing was traded.

        ``restore``: partitions that were purged, and are held by remotes, are brought back once they are
        needed, by the remotes of the configuration; a line is logged (``dccd``). With False it is an error
        that names them.
        """
        wanted = range_of(start, end, SystemClock().now())
        found, length = (self._held(dataset), None) if span is None else self._bars(dataset, span)
        if wanted is not None:
            self._require(found, wanted)
        if length is None:
            return super().scan(found, wanted, restore=restore)
        return scan_longer(self, found, length, wanted, restore=restore)

    def read(
        self,
        dataset: Dataset | str,
        start: TimeRange | Moment | None = None,
        end: Moment | None = None,
        /,
        *,
        span: str | int | None = None,
        restore: bool = True,
    ) -> pl.DataFrame:
        """Return the rows with ``start <= ts < end``, as ``scan`` does, in memory."""
        return self.scan(dataset, start, end, span=span, restore=restore).collect()

    def coverage(
        self, dataset: Dataset | str, start: TimeRange | Moment | None = None, end: Moment | None = None, /
    ) -> float | None:
        """Return the share of the time that is proven, between 0 and 1: the figure of ``dccd inventory``.

        Without a time: of all from the first partition on until now, without a beginning that nobody could
        have collected. None for pictures of an order book that nobody streamed: they promise no moment.
        """
        found, states, wanted = self._judged(dataset, start, end)
        if not coverage.promises(found, states):
            return None
        return coverage.coverage(states, wanted)

    def gaps(
        self, dataset: Dataset | str, start: TimeRange | Moment | None = None, end: Moment | None = None, /
    ) -> pl.DataFrame:
        """Return the time that is not proven: ``start``, ``end``, ``missing`` rows (null: unknown), ``why``.

        Without a time: all between the first partition and what was asked for last.
        """
        found, states, wanted = self._judged(dataset, start, end)
        if start is None and end is None and (known := coverage.covered(states)):
            wanted = TimeRange(wanted.start, max(wanted.start, min(wanted.end, known[-1].end)))
        rows = [
            (gap.span.start, gap.span.end, gap.missing, gap.why)
            for gap in coverage.gaps(found, states, wanted)
        ]
        return pl.DataFrame(rows, schema=_GAPS, orient="row")

    def backfill(
        self,
        dataset: Dataset | str,
        start: TimeRange | Moment,
        end: Moment | None = None,
        *,
        progress: "Callable[[Filling], object] | None" = None,
        rest_url: str | None = None,
    ) -> "Done":
        """Ask the exchange for what is missing of ``[start, end)`` and store it; without an end, until now.

        What is there is not asked for again. What was fetched before an error, or before it was interrupted,
        is stored. Works within a notebook, too; ``abackfill`` is the same to be awaited.

        Args:
            dataset: what to fill.
            start: the first moment that is wanted.
            end: the first one that is not.
            progress: is told after every page how far it is.
            rest_url: asks another server than the exchange's own: a proxy, a simulation.

        Raises:
            ExchangeError: the exchange refuses, or does not answer however often it is asked.
            IncompleteError: the exchange has answered, and there are gaps that nobody can explain.
        """
        work = self.abackfill(dataset, start, end, progress=progress, rest_url=rest_url)
        return _finished(work)

    async def abackfill(
        self,
        dataset: Dataset | str,
        start: TimeRange | Moment,
        end: Moment | None = None,
        *,
        progress: "Callable[[Filling], object] | None" = None,
        rest_url: str | None = None,
    ) -> "Done":
        """Do what ``backfill`` does."""
        from dccd_core.api.work import backfill  # noqa: PLC0415 -- who only reads needs no network

        wanted = range_of(start, end, SystemClock().now())
        assert wanted is not None
        found = dataset_of(dataset)
        return await backfill(self, found, wanted, progress, rest_url or self._reach(found.exchange).rest_url)

    def record(
        self,
        *datasets: Dataset | str,
        seconds: float | None = None,
        progress: "Callable[[StreamHealth], object] | None" = None,
        depth: int = 50,
        snapshot_every: str = "1s",
        rest_url: str | None = None,
        ws_url: str | None = None,
    ) -> None:
        """Record what one exchange sends, for so many ``seconds``, or until Ctrl-C; then store what came.

        ``arecord`` is the same to be awaited, and says what the rest is.

        Raises:
            ConfigError: the exchange pushes no such thing, or they are of several exchanges.
            ExchangeError: it sends nothing of what is wanted.
            KeyboardInterrupt: Ctrl-C; what came is stored.
        """
        _finished(
            self.arecord(
                *datasets,
                seconds=seconds,
                progress=progress,
                depth=depth,
                snapshot_every=snapshot_every,
                rest_url=rest_url,
                ws_url=ws_url,
            )
        )

    async def arecord(
        self,
        *datasets: Dataset | str,
        seconds: float | None = None,
        progress: "Callable[[StreamHealth], object] | None" = None,
        depth: int = 50,
        snapshot_every: str = "1s",
        rest_url: str | None = None,
        ws_url: str | None = None,
    ) -> None:
        """Record until it is cancelled, or for so many ``seconds``; then store what came.

        Args:
            datasets: of one exchange; several exchanges are so many calls at once (``asyncio.gather``).
            seconds: how long; without it until it is cancelled.
            progress: is told every few seconds how it goes; what goes wrong is logged (``dccd``), too.
            depth: levels a side of order books.
            snapshot_every: how often a picture of an order book is kept: ``1s``, ``1m``.
            rest_url: another server than the exchange's own, or than the one that the configuration names.
            ws_url: likewise.
        """
        from dccd_core.api.work import plan_of, record  # noqa: PLC0415 -- as in abackfill

        plan = plan_of([dataset_of(one) for one in datasets], depth, snapshot_every)
        known = self._reach(plan.datasets[0].exchange)
        reach = Reach(rest_url or known.rest_url, ws_url or known.ws_url)
        await record(self, plan, seconds, progress, reach)

    def make_pin(
        self,
        name: str,
        *datasets: Dataset | str,
        start: TimeRange | Moment | None = None,
        end: Moment | None = None,
    ) -> "Lake":
        """Keep these datasets, or all, as they are now, under a name, and return them as ``pin`` does.

        What the tail has of them is folded first. Of a time all partitions are kept that share some of it,
        each as a whole. In a folder no byte is copied: a pin holds the very files, which become read-only.

        Raises:
            ConfigError: there is a pin of this name, or nothing to pin.
            LakeError: a partition is held elsewhere only, or on another file system.
        """
        from dccd_core.api.pins import make_pin  # noqa: PLC0415 -- as in abackfill

        wanted = range_of(start, end, SystemClock().now())
        make_pin(self, name, [dataset_of(one) for one in datasets], wanted)
        return self.pin(name)

    def pin(self, name: str) -> "Lake":
        """Return a pin, as ``dccd pin`` or ``make_pin`` made it: a lake that never changes.

        Raises:
            ConfigError: there is none of this name.
        """
        from dccd_core.keep.pins import Pins  # noqa: PLC0415 -- as in abackfill

        return Lake(Pins(self).url(name), accepted=self._accepted)

    def _reach(self, exchange: str) -> Reach:
        """Return the servers to ask that the configuration names, if this is its store."""
        return self._configured.reach(exchange)

    def _held(self, dataset: Dataset | str) -> Dataset:
        """Return a dataset that the lake holds.

        Raises:
            ConfigError: it holds none of this name.
        """
        try:
            found = dataset_of(dataset)
        except ConfigError:
            raise unknown(str(dataset), map(str, self.datasets()), self.url) from None
        if not self.holds(found):
            raise unknown(str(found), map(str, self.datasets()), self.url)
        return found

    def _bars(self, dataset: Dataset | str, span: str | int) -> tuple[Dataset, Length | None]:
        """Return the bars of ``span`` where they are stored, else which ones to make them of, and how long.

        Raises:
            ConfigError: there are none, or none that divide it.
        """
        named, length = dataset_of(dataset), parse_length(span)
        if not named.data_type.table.takes_span:
            raise ConfigError(f"{named} has no bars", hint="leave span out")
        if not isinstance(length, Months):
            stored = replace(named, span=length)
            if self.holds(stored):
                return stored, None
        held = self.datasets()
        source = longest_source(held, named, length)
        if source is None:
            said = f"{'/'.join(named.parts[:-1])}/{said_length(length)}"
            raise unknown(said, map(str, held), self.url)
        return source, length

    def _require(self, dataset: Dataset, wanted: TimeRange) -> None:
        """Refuse time of which there is nothing: neither a partition nor a live row."""
        keys = self.keys(dataset)
        spans = [partition_span(dataset.grain, key) for key in keys]
        if not any(span.clip(wanted) for span in spans) and not self._live_within(dataset, wanted):
            hint = "it has only live rows, of another time"
            if spans:
                hint = f"it holds {iso(spans[0].start)} to {iso(spans[-1].end)}"
            raise ConfigError(f"nothing of {dataset} is stored in the time that was asked for", hint=hint)

    def _live_within(self, dataset: Dataset, wanted: TimeRange) -> bool:
        return not super().scan(dataset, wanted).head(1).collect().is_empty()

    def _judged(
        self, dataset: Dataset | str, start: TimeRange | Moment | None, end: Moment | None
    ) -> tuple[Dataset, dict[str, State], TimeRange]:
        """Return the states of a dataset that share time with what is asked for, and that time."""
        found, now = self._held(dataset), SystemClock().now()
        states = self.all_known(found)
        if not states:
            raise LakeError(f"{found} is recorded, but in no partition yet", hint="it is soon; see Lake.scan")
        wanted = range_of(start, end, now)
        if wanted is None:
            return found, states, coverage.wanted_time(found, states, now)
        spans = [partition_span(found.grain, key) for key in states]
        whole = TimeRange(min(spans).start, Us(max(now, max(spans).end)))
        wanted = TimeRange(wanted.start or whole.start, min(wanted.end, whole.end))
        return found, states, wanted


def _client_maker(url: str | Path | None, s3: Mapping[str, object] | None) -> "MakeClient":
    """Return what makes the client of a bucket: what it goes by is looked up when it is needed."""

    def make() -> "S3Client":
        if s3 is not None:
            return s3_keys(s3).client()
        there = url is None or config_file().exists()
        return (configured() if there else Configured("")).s3().client()

    return make


def _finished(work: Coroutine[object, object, T]) -> T:
    from dccd_core.api.running import finished  # noqa: PLC0415 -- who only reads needs no event loop

    return finished(work)
