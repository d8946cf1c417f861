"""The ingester: a candidate for the lease, and everything of one term of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from tradelake.bootstrap.alpaca import alpaca_credentials
from tradelake.bootstrap.stream import quality_rules_of, wire_neighbours
from tradelake.settings import load_settings

ENV_ECS_METADATA: Final = "ECS_CONTAINER_METADATA_URI_V4"
"""Variable that ECS sets in every task."""

if TYPE_CHECKING:
    import asyncio

    from tradelake.adapters.system import SystemClock
    from tradelake.feed.subscription import Change
    from tradelake.ports import (
        Evictor,
        Fence,
        Stage,
    )
    from tradelake.settings import IngesterSettings
    from tradelake.usecases.ingest import Batcher
    from tradelake.usecases.ingester import Term
    from tradelake.usecases.intake import Feed, Intake
    from tradelake.usecases.keep_books import BookKeeper
    from tradelake.usecases.lead import Candidate
    from tradelake.usecases.publish import Publisher
    from tradelake.usecases.reign import Reign
    from tradelake.usecases.tap import Tap
    from tradelake.usecases.watch_universe import UniverseWatch


def wire_ingester(env: Mapping[str, str]) -> Callable[[asyncio.Event], Awaitable[None]]:
    """Return the ingester's work: run until the event is set, then leave nothing in hand.

    Raises
    ------
    ConfigError
        Settings, the secret or the subscription are wrong.
    """
    from functools import partial

    from tradelake.adapters.aws.logs import log_batch
    from tradelake.adapters.observe import observed
    from tradelake.adapters.tap import tap_route
    from tradelake.settings import IngesterSettings
    from tradelake.stream.quality import findings, first_reject
    from tradelake.topology.containers import INGESTER
    from tradelake.usecases.ingester import Ingester
    from tradelake.usecases.tap import Tap

    settings = load_settings(env, IngesterSettings)
    _check_ingester(settings)
    rules = quality_rules_of(settings.quality_rules).of_venue(settings.venue)
    tap = Tap(
        settings.venue, lambda record: first_reject(findings(record, rules[record.symbol])) is None
    )
    ingester = Ingester(
        partial(_wire_term, settings, tap), partial(_wire_candidate, env, settings), tap
    )

    async def run(stop: asyncio.Event) -> None:
        async with observed(
            ingester.status,
            ingester.report,
            lambda fields: log_batch(INGESTER.name, "", fields),
            port=settings.health_port,
            routes=(tap_route(tap),),
        ):
            await ingester.run(stop)

    return run


def _check_ingester(settings: IngesterSettings) -> None:
    """Find out before standing for the lease what would end the first term."""
    from tradelake.adapters.aws.streams import KinesisWriter
    from tradelake.feed.endpoints import check_location
    from tradelake.feed.subscription import Subscription
    from tradelake.topology import names, streams

    check_location(settings.feed_url, settings.venue)
    Subscription(tuple(settings.channel_list()), tuple(settings.symbol_list()))
    alpaca_credentials(settings.environment)
    KinesisWriter(names.physical(settings.environment, streams.TICKS.name)).check()
    _warm_up(settings)


def _warm_up(settings: IngesterSettings) -> None:
    """Load what the first term needs, alpaca-py above all: a standby has no second to lose then."""
    import importlib

    for module in (
        "tradelake.adapters.aws.async_streams",
        "tradelake.adapters.aws.gaps",
        "tradelake.adapters.disk.spool",
        "tradelake.usecases.intake",
        "tradelake.usecases.publish",
        "tradelake.usecases.reign",
    ):
        importlib.import_module(module)
    _wire_books(settings, _wire_feed(settings, tuple(settings.symbol_list())).request)
    _wire_universe(settings)


def _lease_name(settings: IngesterSettings) -> str:
    from tradelake.topology.containers import INGESTER

    place = f"{settings.venue}~{settings.origin}" if settings.origin else settings.venue
    return f"{INGESTER.name}/{place}"


def _wire_candidate(
    env: Mapping[str, str],
    settings: IngesterSettings,
    work: Callable[[Fence, asyncio.Event], Awaitable[None]],
) -> Candidate:
    import time

    from tradelake.adapters.aws.leases import DynamoLeases
    from tradelake.topology import names, stores
    from tradelake.usecases.lead import Candidate, LeasePolicy

    evictor: Evictor
    metadata_url = env.get(ENV_ECS_METADATA)
    if metadata_url:
        from tradelake.adapters.aws.tasks import TaskEvictor, own_task

        holder, evictor = own_task(metadata_url), TaskEvictor()
    else:
        from tradelake.adapters.embedded.tasks import ProcessEvictor, own_process

        holder, evictor = own_process(), ProcessEvictor()
    lost_s = settings.lease_s
    return Candidate(
        DynamoLeases(names.physical(settings.environment, stores.LEASES.name)),
        _lease_name(settings),
        holder,
        work,
        evictor,
        time.monotonic,
        LeasePolicy(
            renew_every_s=lost_s / 6,
            give_up_after_s=lost_s * 2 / 3,
            lost_after_s=lost_s,
            look_every_s=lost_s / 12,
        ),
    )


def _wire_term(
    settings: IngesterSettings, tap: Tap, fence: Fence, leads: Callable[[], bool]
) -> Term:
    from tradelake.usecases.ingester import Term

    universe = _wire_universe(settings)
    symbols = tuple(settings.symbol_list())
    feed = _wire_feed(settings, symbols if universe is None else universe.admit(symbols))
    books = _wire_books(settings, feed.request)
    neighbours = wire_neighbours(settings.quality_rules, settings.venue, live=True)
    stages: list[Stage] = [neighbours, *([] if books is None else [books]), tap]
    interrupted = (lambda: None) if books is None else books.interrupted
    intake, publisher, reign = _wire_intake(settings, fence, leads, stages, interrupted)
    return Term(feed, intake, publisher, books, universe, reign)


def _wire_feed(settings: IngesterSettings, symbols: tuple[str, ...]) -> Feed:
    import random
    from functools import partial

    from tradelake.adapters.system import SystemClock
    from tradelake.feed.backoff import full_jitter
    from tradelake.feed.policy import SessionPolicy
    from tradelake.feed.subscription import Subscription

    subscription = Subscription(tuple(settings.channel_list()), symbols)
    current = partial(alpaca_credentials, settings.environment)
    backoff = partial(full_jitter, random.Random())
    clock = SystemClock()
    policy = SessionPolicy(
        connection_limit_hold_s=settings.connection_hold_s, silence_s=settings.silence_s
    )
    if settings.feed_client == "sdk":
        from tradelake.adapters.alpaca.sdk_feed import AlpacaSdkFeed

        return AlpacaSdkFeed(settings.feed_url, current(), subscription, clock, backoff, policy)
    from tradelake.adapters.alpaca.socket import AlpacaFeed
    from tradelake.feed.session import Session

    session = Session(current(), subscription, backoff, policy)
    return AlpacaFeed(settings.feed_url, session, clock, current)


def _wire_books(settings: IngesterSettings, request: Callable[[Change], None]) -> BookKeeper | None:
    """Return the stage that keeps order books; None where nobody wants or sends any."""
    from tradelake.feed.subscription import Change, Subscription
    from tradelake.market.channels import ORDERBOOKS
    from tradelake.usecases.keep_books import BookKeeper

    if not settings.book_snapshot_s or ORDERBOOKS not in settings.channel_list():
        return None

    def renew(symbols: tuple[str, ...]) -> None:
        request(Change(renew=Subscription((ORDERBOOKS,), symbols)))

    interval_ns = max(1, round(settings.book_snapshot_s * 1e9))
    return BookKeeper(renew, depth=settings.book_depth, interval_ns=interval_ns)


def _wire_universe(settings: IngesterSettings) -> UniverseWatch | None:
    """Return the watch over the venue's assets; None where it is switched off."""
    import random
    from functools import partial

    from tradelake.adapters.alpaca.assets import AlpacaAssets
    from tradelake.adapters.aws.state import DynamoStateStore
    from tradelake.adapters.system import SystemClock
    from tradelake.feed.backoff import full_jitter
    from tradelake.feed.subscription import Subscription
    from tradelake.topology import names, stores
    from tradelake.usecases.watch_universe import UniverseWatch

    if not settings.universe_s:
        return None
    credentials = alpaca_credentials(settings.environment)
    return UniverseWatch(
        settings.venue,
        AlpacaAssets(credentials.key, credentials.secret, url=settings.trading_url or None),
        DynamoStateStore(names.physical(settings.environment, stores.CONSUMER_STATE.name)),
        SystemClock(),
        Subscription(tuple(settings.channel_list()), tuple(settings.symbol_list())),
        partial(full_jitter, random.Random(), first_s=5.0, cap_s=settings.universe_s),
        every_s=settings.universe_s,
    )


def _wire_intake(
    settings: IngesterSettings,
    fence: Fence,
    leads: Callable[[], bool],
    stages: Sequence[Stage],
    interrupted: Callable[[], None],
) -> tuple[Intake, Publisher, Reign]:
    import random
    from contextlib import suppress
    from functools import partial

    from tradelake.adapters.aws.epochs import DynamoEpochs
    from tradelake.adapters.aws.gaps import DynamoGaps
    from tradelake.adapters.system import SystemClock
    from tradelake.errors import Conflict
    from tradelake.feed.backoff import full_jitter
    from tradelake.feed.subscription import EVERY_SYMBOL
    from tradelake.ports import OPEN
    from tradelake.topology import names, stores
    from tradelake.usecases.ingest import Batcher, BatchLimits
    from tradelake.usecases.intake import Intake, unended_run
    from tradelake.usecases.reign import Reign

    physical = partial(names.physical, settings.environment)
    clock = SystemClock()
    limits = BatchLimits(linger_ns=int(settings.linger_ms * 1e6))
    batcher = Batcher(settings.venue, fence.epoch, settings.buckets, limits, origin=settings.origin)
    publisher = _wire_publisher(settings, batcher, fence.epoch, clock)
    ledger = DynamoGaps(physical(stores.GAPS.name))
    symbols = tuple(settings.symbol_list()) if settings.origin else (EVERY_SYMBOL,)
    inherited = [
        gap
        for gap in ledger.gaps()
        if gap.venue == settings.venue
        and gap.closed_ns == OPEN
        and (not settings.origin or set(gap.symbols) <= set(symbols))
    ]
    if fence.durable_ns is not None:
        # At once: this run may end before it subscribes, and would have forgotten it in order.
        ledger.record(unended_run(settings.venue, fence.durable_ns, symbols))
        inherited.append(unended_run(settings.venue, fence.durable_ns, symbols))
    epochs = DynamoEpochs(physical(stores.LEASES.name))
    note_durable = partial(epochs.note_durable, _lease_name(settings), fence.epoch)
    if fence.durable_ns is None:
        # A run that is killed before its first note must leave a gap all the same.
        with suppress(Conflict):
            note_durable(clock.now_ns())
    reign = Reign(ledger, note_durable, clock, leads)
    intake = Intake(
        settings.venue,
        fence.epoch,
        batcher,
        publisher,
        reign,
        clock,
        partial(full_jitter, random.Random(), first_s=0.1, cap_s=5.0),
        inherited,
        symbols,
        note_durable=reign.note_durable,
        stages=stages,
        interrupted=interrupted,
        final=settings.final_watermark,
    )
    return intake, publisher, reign


def _wire_publisher(
    settings: IngesterSettings, batcher: Batcher, epoch: int, clock: SystemClock
) -> Publisher:
    import random
    from functools import partial
    from pathlib import Path

    from tradelake.adapters.aws.async_streams import AsyncKinesisWriter
    from tradelake.adapters.disk.spool import DiskSpool
    from tradelake.feed.backoff import full_jitter
    from tradelake.topology import names, streams
    from tradelake.usecases.publish import Publisher

    stream = names.physical(settings.environment, streams.TICKS.name)
    spool = None
    if settings.spool_folder:
        folder = Path(settings.spool_folder) / batcher.owner
        spool = DiskSpool(folder, epoch, max_bytes=settings.spool_max_bytes)
    return Publisher(
        batcher,
        AsyncKinesisWriter(stream, clock),
        clock,
        partial(full_jitter, random.Random(), first_s=0.1, cap_s=5.0),
        buckets=settings.buckets,
        spool=spool,
    )
