"""What a user asks for turned into topics and connections, and recorded until told to stop."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeVar

from dccd_core.adapter.contract import Request, Response
from dccd_core.adapter.live import BookChange, Channel, Precision, Topic, WebSocketApi
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError, ExchangeError, Rejected, Where
from dccd_core.domain.timespan import ZERO, TimeRange, Us
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import Clock
from dccd_core.net.websocket import Socket
from dccd_core.stream.api import DatasetHealth, Listener, StreamHealth, StreamPlan
from dccd_core.stream.compare import Snapshot
from dccd_core.stream.connection import Group, StreamContext
from dccd_core.stream.recorder import Recorder
from dccd_core.stream.venuetime import VenueTime
from dccd_core.stream.wanted import Seen, Wanted
from dccd_core.stream.windows import Windows

T = TypeVar("T")
_BEAT_S: Final = 5.0


async def run_stream(  # noqa: PLR0913, PLR0917 -- what, whence, whither, until when, and whom to tell
    plan: StreamPlan,
    venue: Venue,
    connect: Callable[[str], AbstractAsyncContextManager[Socket]],
    lake: LakeStore,
    stop: asyncio.Event,
    listener: Listener,
    plans: "asyncio.Queue[StreamPlan] | None" = None,
) -> None:
    """Record what ``plan`` says until ``stop`` is set; then write everything down and return.

    Args:
        plan: which datasets, and how.
        venue: the REST side of the exchange, for symbols, snapshots of books, and what was missed.
        connect: opens a connection to one of the venue's own addresses.
        lake: where it is kept.
        stop: ends it.
        listener: is told how it goes.
        plans: what to record from now on instead; what both say goes on as it is.

    Raises:
        ConfigError: the exchange pushes no such thing.
        ExchangeError: it sends nothing of what is wanted.
        LakeError: what came cannot be written.
    """
    live = _live(venue)
    telling = asyncio.create_task(_tell_of_waiting(plan, venue.clock, listener))
    try:
        wanted = await _unless(stop, _all_wanted(plan, venue, listener))
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
    if wanted is None:
        return
    if not wanted and plan.paused < set(plan.datasets):
        raise Rejected(
            f"{venue.exchange.name} lists none of {', '.join(str(one) for one in plan.datasets[:5])}",
            hint=f"check the symbols of the stream {plan.name}",
        )

    async def start_book(one: Wanted, name: str) -> tuple[BookChange, Us]:
        start = one.channel.start
        assert start is not None
        request: Request = start.request(one.topic)
        return await venue.ask(one.dataset, request, lambda r: (start.decode(r.body, name), r.received))

    async def show_book(one: Wanted, name: str) -> Snapshot:
        return await _shown(venue, one, name)

    context = StreamContext(
        exchange=venue.exchange.name,
        live=live,
        lake=lake,
        clock=venue.clock,
        connect=connect,
        start_book=start_book,
        show_book=show_book,
        listener=listener,
        seen={dataset: Seen() for dataset in plan.datasets},
        time=VenueTime(venue.clock.now(), venue.clock.steady()),
        windows=Windows(),
    )

    async def find(changed: StreamPlan, dataset: Dataset) -> Wanted | None:
        try:
            return await _wanted(changed, venue, dataset, None, listener)
        except (ConfigError, ExchangeError) as e:
            listener.note(f"{dataset}: it cannot be recorded: {e}", wrong=True)
            return None

    await Recorder(plan, venue, lake, list(groups(live, wanted)), context, find).run(stop, plans)


async def _shown(venue: Venue, one: Wanted, name: str) -> Snapshot:
    """Ask for the present book: with the numbers of its changes where the venue tells them by REST."""
    check = one.channel.check or one.channel.start
    if check is not None:

        def numbered(response: Response) -> BookChange:
            book = check.decode(response.body, name)
            book.at = response.dated if book.at is None else book.at
            return book

        return Snapshot(await venue.ask(one.dataset, check.request(one.topic), numbered), check.levels)
    endpoint = venue.endpoint(one.dataset)
    depth = max(one.depth, min(one.topic.depth, endpoint.page_limit))  # what has gone down is compared, too
    request = endpoint.request(venue.query(one.dataset, TimeRange(ZERO, ZERO), depth))

    def plain(response: Response) -> BookChange:
        rows = endpoint.decode(response.body, response.venue_time)
        bids, asks = (
            [(str(price), str(amount)) for price, amount in own.select("price", "amount").iter_rows()]
            for own in (rows.filter(side=side).sort("level") for side in ("bid", "ask"))
        )
        return BookChange(name, response.dated, bids, asks, whole=True)

    book = await venue.ask(one.dataset, request, plain)
    return Snapshot(book, 0, one.channel.rest_decimals)


async def _tell_of_waiting(plan: StreamPlan, clock: Clock, listener: Listener) -> None:
    """Tell how it is while nobody says yet which symbols are listed: a venue may be down for long."""
    started, datasets = clock.now(), tuple(DatasetHealth(dataset) for dataset in plan.datasets)
    while True:
        await clock.sleep(_BEAT_S)
        why = "the venue has not told yet which symbols it lists"
        listener.beat(StreamHealth(clock.now(), started, 0, 0, 0.0, 0, 0, datasets, why=why))


def groups(live: WebSocketApi, wanted: list[Wanted]) -> Iterator[Group]:
    """Part what is wanted into connections: by address, and no more topics each than the venue allows."""
    by_url: dict[str, dict[str, list[Wanted]]] = {}
    for one in wanted:
        topics = by_url.setdefault(live.url(one.topic), {})
        topics.setdefault(live.name(one.topic), []).append(one)
    for url, topics in by_url.items():
        names = list(topics)
        for at in range(0, len(names), live.most):
            yield Group(url, {name: topics[name] for name in names[at : at + live.most]})


def channel_of(live: WebSocketApi, dataset: Dataset, depth: int) -> Channel:
    """Return what brings a dataset.

    Raises:
        ConfigError: nothing does.
    """
    kind, data_type = dataset.symbol.market_type, dataset.data_type
    channel = live.channel(kind, data_type)
    if channel is None:
        raise ConfigError(f"{dataset}: {dataset.exchange} pushes no {data_type} of {kind} markets")
    if dataset.span and dataset.span not in channel.spans:
        raise ConfigError(f"{dataset}: {dataset.exchange} pushes no {data_type.table.title} of this length")
    if data_type.table.takes_depth and channel.depth(depth) is None:
        raise ConfigError(f"{dataset}: {dataset.exchange} pushes {channel.depths[-1]} levels at most")
    return channel


def _live(venue: Venue) -> WebSocketApi:
    if venue.exchange.live is None:
        raise ConfigError(f"{venue.exchange.title} pushes nothing", hint="collect it instead")
    return venue.exchange.live


async def _unless(stop: asyncio.Event, work: Coroutine[object, object, T]) -> T | None:
    """Do what may take minutes, while a venue is down; None when told to stop meanwhile."""
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        stopped.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _all_wanted(plan: StreamPlan, venue: Venue, listener: Listener) -> list[Wanted]:
    unlisted: ExchangeError | None = None
    try:
        await venue.markets()
    except ExchangeError as e:
        unlisted = e  # which took long enough to find out, so it is not asked again for each symbol
        listener.note(f"{venue.exchange.name}: nobody says which symbols are listed: {e}", wrong=True)
    active = [dataset for dataset in plan.datasets if dataset not in plan.paused]
    found = [await _wanted(plan, venue, dataset, unlisted, listener) for dataset in active]
    return [one for one in found if one]


async def _wanted(
    plan: StreamPlan, venue: Venue, dataset: Dataset, unlisted: ExchangeError | None, listener: Listener
) -> Wanted | None:
    """Look a dataset up; one whose symbol is not listed is left out, loudly.

    Some venues agree to send what they do not know, and stay silent.
    """
    channel = channel_of(_live(venue), dataset, plan.depth)
    if unlisted and _needs_listing(channel):
        raise unlisted
    row = {} if unlisted else await _row(venue, dataset, channel, listener)
    if row is None:
        where = Where(venue.exchange.name, "symbols", str(dataset.symbol))
        listener.note(f"{where}: it is not listed, so nothing is recorded of it", wrong=True)
        return None
    topic = Topic(
        dataset.data_type,
        venue.exchange.market(dataset.symbol),
        dataset.symbol.market_type,
        dataset.span,
        channel.depth(plan.depth) or 0 if dataset.data_type.table.takes_depth else 0,
        str(row.get("live_name") or ""),
    )
    return Wanted(
        dataset,
        topic,
        channel,
        finality_delay=venue.exchange.finality_delay,
        contract=await venue.contract(dataset.symbol) if channel.contracts else None,
        precision=_precision(row),
        depth=plan.depth,
        every=plan.snapshot_every,
    )


async def _row(
    venue: Venue, dataset: Dataset, channel: Channel, listener: Listener
) -> dict[str, object] | None:
    try:
        return await venue.market_row(dataset.symbol)
    except ExchangeError as e:
        if _needs_listing(channel):
            raise
        where = Where(venue.exchange.name, "symbols", str(dataset.symbol))
        listener.note(f"{where}: nobody says whether it is listed: {e}", wrong=True)
        return {}


def _needs_listing(channel: Channel) -> bool:
    return bool(channel.contracts or channel.checksum or channel.named)


def _precision(row: dict[str, object]) -> Precision | None:
    price, amount = row.get("price_decimals"), row.get("amount_decimals")
    return Precision(price, amount) if isinstance(price, int) and isinstance(amount, int) else None
