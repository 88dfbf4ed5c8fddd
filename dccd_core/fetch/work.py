"""One fill under way: pages on their way into the draft, stored in parts, and what they prove."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Final

import polars as pl

from dccd_core.adapter.contract import Endpoint
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset, ListingPeriod, partition_span
from dccd_core.domain.errors import DccdError, PayloadError
from dccd_core.domain.timespan import HOUR, MINUTE, ZERO, TimeRange, Us, union
from dccd_core.fetch.collect import collect
from dccd_core.fetch.paging import style_of
from dccd_core.fetch.paging.page import Page
from dccd_core.fetch.paging.page import within as rows_within
from dccd_core.fetch.paging.style import FetchStats
from dccd_core.fetch.planner import Plan
from dccd_core.fetch.venue import Venue
from dccd_core.fetch.witness import OUTAGE, quiet_parts, trade_oracle
from dccd_core.lake.lake import CompletenessCheck, LakeStore, PartitionDraft, State
from dccd_core.lake.partition.ledger import Asked, Ledger, Source
from dccd_core.quality.audit import Auditor
from dccd_core.quality.holes import (
    AFTER_END,
    BEFORE_LISTING,
    NO_TRADES,
    BarCheck,
    Evidence,
    missing_bars,
)
from dccd_core.quality.sanity import split_valid

_TOGETHER: Final = 48
"""Pages that are checked and stored together: each step costs about the same for one page as for many."""

_CONTEXT: Final = 8
"""Bars around one that cannot be read which are asked for with it."""
_WRONG_PARTS: Final = 3
"""After so many parts in which most rows cannot be read nothing more is asked for."""

_SHORT: Final = HOUR
"""Where a venue leaves out bars without trades, a shorter run of them is no hole: thin markets would cost
more questions than pages. A longer one may be an outage: that takes a witness, or a second question later."""

STORED_EVERY: Final = Us(3 * MINUTE)
"""How much fetching may be lost with the process: a partition that takes longer is stored in parts."""

STOP_S: Final = 4.0
"""How long storing may go on once it was told to stop, in seconds: most of what a stop may take."""

_STORING: Final = ThreadPoolExecutor(1, "storing")
"""Into a folder one partition is stored after the other, by one thread: several at once are no sooner done,
and every thread keeps the memory that it took, 50 MB of a year of bars. A bucket is waited for: there all at
once."""

_LOG: Final = logging.getLogger(__name__)

Progress = Callable[[Dataset, str, int, Us], None]
"""Told after each page: dataset, partition key, rows that came, and up to which moment all is fetched."""


class Halted(DccdError):
    """Folding was stopped. What was to be folded is where it was."""


def quiet_of(endpoint: Endpoint | None) -> Us:
    """Return how long a run of absent bars must be to count as a hole."""
    return _SHORT if endpoint is not None and endpoint.sparse else ZERO


@dataclass(frozen=True, slots=True)
class Haltable:
    """A judge that can be interrupted: a big partition takes longer to write than a stop may."""

    judge: CompletenessCheck
    halt: Event

    def see(self, rows: pl.DataFrame) -> None:
        if self.halt.is_set():
            raise Halted("stopped while it was folded")
        self.judge.see(rows)

    def assess(self, ledger: Ledger) -> Ledger:
        return self.judge.assess(ledger)


def _inside(page: Page, span: TimeRange) -> Page:
    """Return what of a page lies in ``span``; what is refused stays, its time may not be known."""
    until = min(max(page.until, span.start), span.end)
    return replace(page, rows=rows_within(page.rows, span), until=until)


@dataclass(slots=True)
class Work:
    """One fill under way: what was asked, what came, what could be proven."""

    venue: Venue
    lake: LakeStore
    dataset: Dataset
    key: str
    draft: PartitionDraft | None
    now: Us
    progress: Progress
    life: ListingPeriod
    drafts: ExitStack = field(default_factory=ExitStack)
    halt: Event = field(default_factory=Event)
    """Ends what is being stored: it takes too long for a stop."""
    asked: list[Asked] = field(default_factory=list[Asked])
    proven: list[tuple[TimeRange, str]] = field(default_factory=list[tuple[TimeRange, str]])
    absent: list[tuple[TimeRange, int]] = field(default_factory=list[tuple[TimeRange, int]])
    opens: list[pl.Series] = field(default_factory=list[pl.Series])
    listed: Us | None = None
    reached: Us | None = None
    """Where the rows of a venue that only shows the newest ones begin, when that is after the start."""
    stored: int = 0
    """How many of ``asked`` are in the partition's ledger."""
    stored_at: Us = ZERO
    auditor: Auditor = field(init=False)

    def __post_init__(self) -> None:
        self.stored_at = self.venue.clock.steady()
        self.auditor = Auditor(self.dataset, carried_open=self.venue.endpoint(self.dataset).carries_open)

    @property
    def requests(self) -> int:
        return sum(asked.requests for asked in self.asked)

    @property
    def rows(self) -> int:
        return sum(asked.rows for asked in self.asked)

    async def gather(self, todo: Plan) -> DccdError | None:
        """Collect all that is to be asked; return the error that ended it early, if one did."""
        failure: DccdError | None = None
        wrong = 0
        try:
            for part in todo.ask:
                listed = await self._listed_part(part) if todo.may_be_unlisted(part) else part
                try:
                    if listed:
                        await self._collect(listed)
                except PayloadError as e:  # bad rows here are no reason to leave out what comes after them
                    failure, wrong = failure or e, wrong + 1
                    if wrong == _WRONG_PARTS:
                        return failure
            for part in todo.after:
                self.asked.append(Asked(part, Source.REST, self.now, 0, 0))
                self.proven.append((part, AFTER_END))
            await self._prove_holes()
        except DccdError as e:
            return e
        return failure

    async def _listed_part(self, part: TimeRange) -> TimeRange | None:
        """Take off what lies before the venue's very first row."""
        listed = max(await self.venue.listed_since(self.dataset), self.life.listed or 0)
        self.listed = listed = Us(listed)
        if listed <= part.start:
            return part
        before = TimeRange(part.start, min(listed, part.end))
        self.asked.append(Asked(before, Source.REST, self.now, 1, 0))
        self.proven.append((before, BEFORE_LISTING))
        return TimeRange(before.end, part.end) if before.end < part.end else None

    async def _collect(self, part: TimeRange) -> None:
        """Collect ``part``; where a page holds mostly bad rows, with what is around them, too."""
        taken = _Taken(self, part.start, until=part.start)
        try:
            await self._read(part, part, taken)
        except PayloadError:
            left = TimeRange(max(part.start, taken.until), part.end)
            for around in self._around(left):
                try:
                    return await self._read(around, left, _Taken(self, left.start))
                except PayloadError:
                    continue
            raise

    def _around(self, part: TimeRange) -> list[TimeRange]:
        """Return wider spans, each so wide that good rows may outnumber the bad ones of ``part``."""
        bar = self.dataset.span
        if bar is None:
            return [TimeRange(Us(part.start - more), part.end) for more in (MINUTE, HOUR)]
        bars = min(part.length // bar + _CONTEXT, self.venue.endpoint(self.dataset).page_limit // 3)
        after = TimeRange(part.end, Us(part.end + bars * bar))
        final = self.venue.plan(self.dataset, after, None, self.now, self.life).ask
        end = max((one.end for one in final), default=part.end)
        return [TimeRange(Us(part.start - bars * bar), end)]

    async def _read(self, span: TimeRange, wanted: TimeRange, taken: "_Taken") -> None:
        """Collect ``span`` and take what of it lies in ``wanted``."""
        stats = FetchStats()
        try:
            async with aclosing(collect(self.venue, self.dataset, span, stats)) as pages:
                async for whole in pages:
                    page = whole if span == wanted else _inside(whole, wanted)
                    taken.take(page)
                    self.progress(self.dataset, self.key, page.rows.height, page.until)
                    if self.venue.clock.steady() - self.stored_at >= STORED_EVERY:
                        taken.note(stats.requests)
                        await self.secure()
        finally:
            taken.note(stats.requests)
            self.absent += [(part, missing) for part, missing in stats.absent if part.clip(wanted)]

    async def secure(self) -> None:
        """Have what came so far outlive the process."""
        await self.store()

    async def store(self) -> State:
        """Put all that came so far into the partition, with its ledger.

        A thread cannot be cancelled: when this is, what it stores is waited for, ``STOP_S`` at most.
        """
        fresh, commit = self.asked[self.stored :], self._opened().commit
        pool = None if "://" in self.lake.url else _STORING
        work = asyncio.get_running_loop().run_in_executor(pool, commit, fresh, self._haltable)
        cancelled = False
        while not work.done():
            try:
                await asyncio.wait({work})
            except asyncio.CancelledError:
                cancelled = True
                asyncio.get_running_loop().call_later(STOP_S, self.halt.set)
        state = work.result()
        self.stored, self.stored_at = len(self.asked), self.venue.clock.steady()
        self.draft = None
        self.drafts.close()
        if cancelled:
            raise asyncio.CancelledError
        return state

    async def rescue(self) -> None:
        """Store what came before it was cancelled."""
        if len(self.asked) == self.stored:
            return
        asyncio.get_running_loop().call_later(STOP_S, self.halt.set)
        try:
            await self.store()
        except DccdError as e:
            said = "%s %s: what was fetched since it was stored last is lost: %s"
            _LOG.warning(said, self.dataset, self.key, e)

    def _opened(self) -> PartitionDraft:
        if self.draft is None:
            self.draft = self.drafts.enter_context(self.lake.draft(self.dataset, self.key))
        return self.draft

    def _haltable(self) -> CompletenessCheck:
        return Haltable(self.auditor.beside(self.judge()), self.halt)

    def keep_pages(self, pages: list[Page]) -> int:
        misplaced = [page.misplaced for page in pages if page.misplaced is not None]
        return self.keep(pl.concat([page.rows for page in pages]), misplaced)

    def keep(self, rows: pl.DataFrame, misplaced: Sequence[pl.DataFrame] = ()) -> int:
        """Put good rows into the draft and the others into quarantine; return how many are good.

        ``misplaced`` were not believed before, each for its ``reason``.
        """
        carried = self.venue.endpoint(self.dataset).carries_open
        good, bad = split_valid(self.dataset.data_type, rows, self.dataset.span, carried_open=carried)
        bad = pl.concat([bad, *misplaced])
        if bad.height:
            self.lake.quarantine(self.dataset, self.key, bad)
        if self.dataset.span:
            self.opens.append(good["ts"].cast(pl.Int64))
        self._put(good)
        return good.height

    def _put(self, rows: pl.DataFrame) -> None:
        self._opened().append(rows)

    async def _prove_holes(self) -> None:
        """Ask the trades about every run of absent bars: where nothing was traded, nothing is lost."""
        if self.dataset.span is None:
            return
        known = [span for span, _ in self.proven]
        spans = [part for span in union(asked.span for asked in self.asked) for part in span.minus(known)]
        opens = pl.concat(self.opens).to_numpy() if self.opens else pl.Series(dtype=pl.Int64).to_numpy()
        runs = missing_bars(opens, self.dataset.span, spans)
        holes = [span for span, _ in runs if span.length >= self._quiet()]
        # some venues can only say that nothing was listed before: what is empty from there on is not lost
        self.proven += [(hole, BEFORE_LISTING) for hole in holes if hole.start == self.listed]
        holes = [hole for hole in holes if hole.start != self.listed]
        refused = self._refused_bars(self.dataset.span) if holes else []
        parts = [
            part for hole in holes for part in hole.minus(refused) if part == hole or part.length >= OUTAGE
        ]
        quiet = await asyncio.gather(*(quiet_parts(self.venue, self.dataset, part) for part in parts))
        self.proven += [(part, NO_TRADES) for found in quiet for part in found]

    def _refused_bars(self, bar: Us) -> list[TimeRange]:
        """Return the bars that a refused one shares time with: absent, but not for want of trades."""
        times = self.lake.quarantined(self.dataset, self.key)["ts"].cast(pl.Int64).drop_nulls().unique()
        opens = [(bar_open(Us(at), bar), bar_open(Us(at + bar - 1), bar)) for at in times]
        return [TimeRange(first, Us(last + bar)) for first, last in opens]

    def _quiet(self) -> Us:
        return quiet_of(self.venue.endpoint(self.dataset))

    def judge(self) -> CompletenessCheck:
        refused = self.lake.quarantined(self.dataset, self.key)
        asked = [asked.span for asked in self.asked]
        if self.dataset.span:
            start = partition_span(self.dataset.grain, self.key).start
            known = trade_oracle(self.venue, self.dataset, start) is not None
            evidence = Evidence(self.now, asked, self.proven, refused, known, self._quiet())
            return BarCheck(self.dataset.span, evidence)
        evidence = Evidence(self.now, asked, refused=refused)
        endpoint = self.venue.endpoint(self.dataset)
        return style_of(endpoint).proof(endpoint, evidence, self.absent)


@dataclass(slots=True)
class _Taken:
    """Pages of one part on their way into the draft, some at a time, and how far they go."""

    work: Work
    since: Us
    until: Us = ZERO
    rows: int = 0
    counted: int = 0
    """Requests that are in the ledger already."""
    held: list[Page] = field(default_factory=list[Page])

    def take(self, page: Page) -> None:
        self.held.append(page)
        if page.since is not None:
            self.since = self.work.reached = page.since
        if len(self.held) == _TOGETHER:
            self._keep()

    def note(self, requests: int) -> None:
        """Say in what was asked what came by now; ``requests``: of the whole part."""
        if self.held:
            self._keep()
        if self.until > self.since:
            span, new = TimeRange(self.since, self.until), requests - self.counted
            self.work.asked.append(Asked(span, Source.REST, self.work.now, new, self.rows))
            self.since, self.rows, self.counted = self.until, 0, requests

    def _keep(self) -> None:
        full, self.held = self.held, []
        self.rows += self.work.keep_pages(full)
        self.until = full[-1].until
