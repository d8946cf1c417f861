"""Settings -> wired use cases: the only chooser of adapters.

Every ``wire_*`` function takes the process environment as a mapping and imports the adapters it
chooses lazily, so a light function never loads pyarrow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tradelake.settings import LakeSettings, load_settings

ENV_ECS_METADATA = "ECS_CONTAINER_METADATA_URI_V4"
"""Variable that ECS sets in every task."""

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from tradelake.adapters.system import SystemClock
    from tradelake.feed.subscription import Change, Credentials
    from tradelake.lake.catalog import LakeCatalog
    from tradelake.lake.quarantine import LakeQuarantine
    from tradelake.lake.reader import LakeReader
    from tradelake.lake.writer import IcebergWriter
    from tradelake.ports import (
        ChannelHistory,
        Evictor,
        Fence,
        Gap,
        GapLedger,
        HotStore,
        MarketHistory,
        ObjectStore,
        Received,
        Stage,
        TrainingJobs,
        Workflows,
    )
    from tradelake.settings import BackfillSettings, HotSettings, IngesterSettings
    from tradelake.strategies.api import Predictor
    from tradelake.stream.neighbours import Neighbours
    from tradelake.stream.thresholds import QualityRules
    from tradelake.usecases.aggregate import Aggregated
    from tradelake.usecases.backfill import Backfilled
    from tradelake.usecases.collect_backtests import CollectedSweep
    from tradelake.usecases.hot import Upserted
    from tradelake.usecases.ingest import Batcher
    from tradelake.usecases.ingester import Term
    from tradelake.usecases.intake import Feed, Intake
    from tradelake.usecases.keep_books import BookKeeper
    from tradelake.usecases.lead import Candidate
    from tradelake.usecases.publish import Publisher
    from tradelake.usecases.rebuild_bars import Maintained, RebuildParts
    from tradelake.usecases.reign import Reign
    from tradelake.usecases.replay_quarantine import Replay
    from tradelake.usecases.sweeps import PreparedSweep, RunResult
    from tradelake.usecases.tap import Tap
    from tradelake.usecases.transform import Transformed
    from tradelake.usecases.validate import Validated
    from tradelake.usecases.watch_universe import UniverseWatch


def wire_validate(env: Mapping[str, Any]) -> Callable[[Sequence[Received]], Validated]:
    """Return the ``validate`` function's work: ticks in, clean and quarantine out."""
    from tradelake.adapters.aws.streams import KinesisWriter
    from tradelake.adapters.system import SystemClock
    from tradelake.settings import ValidateSettings, load_settings
    from tradelake.topology import names, streams
    from tradelake.usecases.validate import validate_records

    settings = load_settings(env, ValidateSettings)
    rules = _quality_rules(settings.quality_rules)
    clean = KinesisWriter(names.physical(settings.environment, streams.CLEAN.name))
    quarantine = KinesisWriter(names.physical(settings.environment, streams.QUARANTINE.name))
    clock = SystemClock()
    return lambda received: validate_records(received, clean, quarantine, rules, clock)


def _quality_rules(text: str) -> QualityRules:
    """Return the thresholds that a setting says: JSON, ``@`` and a file's path, or nothing."""
    from pathlib import Path

    from tradelake.errors import ConfigError
    from tradelake.stream.thresholds import load_rules

    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise ConfigError(f"quality rules: {text[1:]} cannot be read: {error}") from error
    return load_rules(text)


def wire_neighbours(quality_rules: str, venue: str, *, live: bool) -> Neighbours:
    """Return the stage that marks what is odd among its neighbours, with a setting's thresholds."""
    from tradelake.stream.neighbours import Neighbours

    return Neighbours(_quality_rules(quality_rules).of_venue(venue), live=live)


def wire_quarantine(environment: Mapping[str, str]) -> LakeQuarantine:
    """Return quarantine, as the lake holds it."""
    from tradelake.lake.quarantine import LakeQuarantine

    return LakeQuarantine(wire_lake_reader(environment))


def wire_replay(environment: Mapping[str, str]) -> Replay:
    """Return what sends quarantined records again that pass today's rules."""
    from tradelake.adapters.aws.epochs import DynamoEpochs
    from tradelake.adapters.aws.streams import KinesisWriter
    from tradelake.settings import ValidateSettings, load_settings
    from tradelake.topology import names, stores, streams
    from tradelake.usecases.replay_quarantine import Replay

    settings = load_settings(environment, ValidateSettings)
    return Replay(
        wire_quarantine(environment),
        KinesisWriter(names.physical(settings.environment, streams.BACKFILL.name)),
        DynamoEpochs(names.physical(settings.environment, stores.LEASES.name)),
        _quality_rules(settings.quality_rules),
    )


def wire_transform(env: Mapping[str, Any]) -> Callable[[Sequence[Received]], Transformed]:
    """Return the ``transform`` function's work: clean in, what users derive from it out."""
    import time

    from tradelake.adapters.aws.streams import KinesisWriter
    from tradelake.settings import TransformSettings, load_settings
    from tradelake.topology import names, streams
    from tradelake.transforms import load
    from tradelake.usecases.transform import Transforming

    settings = load_settings(env, TransformSettings)
    derived = KinesisWriter(names.physical(settings.environment, streams.DERIVED.name))
    quarantine = KinesisWriter(names.physical(settings.environment, streams.QUARANTINE.name))
    return Transforming(load(settings.transforms), derived, quarantine, time.monotonic).run


def wire_lake_catalog(environment: Mapping[str, str]) -> LakeCatalog:
    """Return the lake's catalog, as the settings say."""
    from tradelake.lake.catalog import LakeCatalog

    return LakeCatalog(load_settings(environment, LakeSettings))


def wire_lake_writer(environment: Mapping[str, str]) -> IcebergWriter:
    """Return the writer of the lake."""
    from tradelake.lake.writer import IcebergWriter

    return IcebergWriter(wire_lake_catalog(environment))


def wire_lake_reader(environment: Mapping[str, str]) -> LakeReader:
    """Return the reader of the lake."""
    from tradelake.lake.reader import LakeReader

    return LakeReader(wire_lake_catalog(environment))


def wire_prepare_backtests(env: Mapping[str, str]) -> Callable[[str], PreparedSweep]:
    """Return the ``prepare_backtests`` function's work: key of a sweep request in, manifest out."""
    from tradelake.adapters.aws.objects import S3Objects
    from tradelake.settings import SweepSettings
    from tradelake.usecases.sweeps import prepare

    bucket = load_settings(env, SweepSettings).artifact_bucket
    artifacts = S3Objects(bucket)
    return lambda key: prepare(artifacts, bucket, key)


def wire_collect_backtests(env: Mapping[str, str]) -> Callable[[str], CollectedSweep]:
    """Return the ``collect_backtests`` function's work: sweep id in, trials appended."""
    from tradelake.adapters.aws.objects import S3Objects
    from tradelake.adapters.system import SystemClock
    from tradelake.settings import SweepSettings
    from tradelake.usecases.collect_backtests import collect

    bucket = load_settings(env, SweepSettings).artifact_bucket
    artifacts = S3Objects(bucket)
    lake = wire_lake_writer(env)
    clock = SystemClock()
    return lambda sweep_id: collect(artifacts, lake, clock, bucket, sweep_id)


def wire_backtest(env: Mapping[str, str]) -> Callable[[], RunResult]:
    """Return the backtest job's work: the specification that the environment names."""
    from tradelake.adapters.aws.objects import S3Objects
    from tradelake.adapters.system import code_version
    from tradelake.settings import BacktestSettings
    from tradelake.usecases.run_backtest import run_backtest

    settings = load_settings(env, BacktestSettings)
    artifacts = S3Objects(settings.artifact_bucket)
    bars = wire_lake_reader(env)
    return lambda: run_backtest(
        settings.spec_key,
        settings.result_key,
        artifacts=artifacts,
        bars=bars,
        load_model=_load_model,
        code_version=code_version(),
    )


def _load_model(archive: bytes) -> Predictor:
    from tradelake.models import packaging

    return packaging.load(archive)


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
    rules = _quality_rules(settings.quality_rules).of_venue(settings.venue)
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
    _alpaca_credentials(settings.environment)
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
    current = partial(_alpaca_credentials, settings.environment)
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


def _alpaca_credentials(environment: str) -> Credentials:
    from tradelake.adapters.aws.secrets import SecretsManager
    from tradelake.errors import ConfigError
    from tradelake.feed.subscription import Credentials
    from tradelake.topology import names

    name = names.physical(environment, names.ALPACA_SECRET)
    secret = SecretsManager().get(name)
    if not (secret.get("key") and secret.get("secret")):
        raise ConfigError(f"secret {name}: expected the fields key and secret")
    return Credentials(secret["key"], secret["secret"])


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
    credentials = _alpaca_credentials(settings.environment)
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


def wire_aggregate(env: Mapping[str, Any]) -> Callable[[Sequence[Received]], Aggregated]:
    """Return the ``aggregate`` function's work: clean in, bars out, state in DynamoDB."""
    from tradelake.adapters.aws.state import DynamoStateStore
    from tradelake.adapters.aws.streams import KinesisWriter
    from tradelake.adapters.system import SystemClock
    from tradelake.settings import AggregateSettings, load_settings
    from tradelake.stream.aggregation import Rules
    from tradelake.topology import names, stores, streams
    from tradelake.usecases.aggregate import aggregate_records

    settings = load_settings(env, AggregateSettings)
    rules = Rules(
        settings.timeframes(),
        round(settings.lateness_s * 1e9),
        quotes_from_ns=settings.quotes_from_ns(),
    )
    states = DynamoStateStore(names.physical(settings.environment, stores.CONSUMER_STATE.name))
    bars = KinesisWriter(names.physical(settings.environment, streams.BARS.name))
    clock = SystemClock()
    return lambda received: aggregate_records(received, states, bars, rules, clock)


def wire_hot(env: Mapping[str, Any]) -> Callable[[Sequence[Received]], Upserted]:
    """Return the ``hot`` function's work: bars in, hot store out."""
    from tradelake.settings import HotSettings, load_settings
    from tradelake.usecases.hot import upsert_records

    store = wire_hot_store(load_settings(env, HotSettings))
    return lambda received: upsert_records(received, store)


def wire_hot_store(settings: HotSettings) -> HotStore | None:
    """Return the hot store that the settings name; None for ``none``.

    Raises
    ------
    ConfigError
        The address has another form.
    """
    from pathlib import Path
    from urllib.parse import parse_qs, urlsplit

    from tradelake.errors import ConfigError

    if settings.hot_store == "none":
        return None
    address = urlsplit(settings.hot_store)
    if address.scheme == "sqlite" and address.path.strip("/"):
        from tradelake.adapters.embedded.hot import SqliteHotStore

        return SqliteHotStore(Path(settings.hot_store.removeprefix("sqlite:///")))
    place = address.path.strip("/").split("/")
    if address.scheme in ("influxdb", "influxdb+http") and address.netloc and len(place) == 2:
        from tradelake.adapters.aws.influx import InfluxHotStore
        from tradelake.adapters.aws.influx_login import influx_token

        plain = address.scheme == "influxdb+http"
        url = f"{'http' if plain else 'https'}://{address.netloc}"
        secret = parse_qs(address.query).get("secret", [""])[0]
        if secret:
            from tradelake.adapters.aws.secrets import SecretsManager

            token = influx_token(url, place[0], SecretsManager().get(secret))
        else:
            token = settings.hot_token
        return InfluxHotStore(url, place[0], place[1], token)
    raise ConfigError(
        "hot store: expected sqlite:///path, influxdb://host:port/org/bucket?secret=name or none;"
        f" found {settings.hot_store!r}"
    )


def wire_gap_ledger(environment: str) -> GapLedger:
    """Return the gap ledger of an environment."""
    from tradelake.adapters.aws.gaps import DynamoGaps
    from tradelake.topology import names, stores

    return DynamoGaps(names.physical(environment, stores.GAPS.name))


def wire_artifacts(env: Mapping[str, str]) -> ObjectStore:
    """Return the artifact bucket."""
    from tradelake.adapters.aws.objects import S3Objects
    from tradelake.settings import SweepSettings

    return S3Objects(load_settings(env, SweepSettings).artifact_bucket)


def wire_workflows(environment: str) -> Workflows:
    """Return the state machines of an environment."""
    from tradelake.adapters.aws.workflows import StepFunctions

    return StepFunctions(environment)


def wire_training(project_root: Path, environment: Mapping[str, str]) -> TrainingJobs:
    """Return training jobs that run the SageMaker entry script as a process of this machine."""
    import os

    from tradelake.adapters.embedded.training import SubprocessTraining

    script = project_root / "sagemaker" / "train.py"
    return SubprocessTraining(script, environment, cpus=os.cpu_count() or 1)


def wire_history(env: Mapping[str, str], url: str | None, venue: str) -> MarketHistory:
    """Return historical bars over REST from Alpaca, or from ``url`` without its rate limit."""
    from tradelake.adapters.alpaca.history import AlpacaHistory
    from tradelake.adapters.alpaca.rest import REQUESTS_A_MINUTE
    from tradelake.adapters.system import SystemClock

    return AlpacaHistory(
        venue,
        SystemClock(),
        key=env.get("APCA_API_KEY_ID"),
        secret=env.get("APCA_API_SECRET_KEY"),
        url=url,
        requests_a_minute=REQUESTS_A_MINUTE if url is None else 60_000,
    )


def wire_backfill(
    env: Mapping[str, str], only: Callable[[Gap], bool] | None = None
) -> Callable[[float | None], Backfilled]:
    """Return the ``backfill`` function's work: seconds that are left in, what was done out.

    Parameters
    ----------
    env : mapping
        Settings.
    only : callable or None
        Which gaps; None: all.

    Raises
    ------
    ConfigError
        Settings or the secret are wrong.
    """
    from tradelake.adapters.aws.epochs import DynamoEpochs
    from tradelake.adapters.aws.streams import KinesisWriter
    from tradelake.adapters.system import SystemClock
    from tradelake.settings import BackfillSettings
    from tradelake.topology import names, stores, streams
    from tradelake.usecases.backfill import STOP_EARLY_S, BackfillParts, backfill
    from tradelake.usecases.fill_plan import Margins

    settings = load_settings(env, BackfillSettings)
    clock = SystemClock()
    history, symbols = _wire_channel_history(settings, clock)
    parts = BackfillParts(
        venue=settings.venue,
        ledger=wire_gap_ledger(settings.environment),
        history=history,
        writer=KinesisWriter(names.physical(settings.environment, streams.BACKFILL.name)),
        epochs=DynamoEpochs(names.physical(settings.environment, stores.LEASES.name)),
        clock=clock,
        symbols=symbols,
        buckets=settings.buckets,
        margins=Margins(before_s=settings.fill_margin_s, after_s=settings.fill_margin_s),
        stages=lambda: (wire_neighbours(settings.quality_rules, settings.venue, live=False),),
    )

    def run(left_s: float | None) -> Backfilled:
        left_ns = None if left_s is None else round((left_s - STOP_EARLY_S) * 1e9)
        return backfill(parts, None if left_ns is None else clock.now_ns() + left_ns, only)

    return run


def wire_rebuild_parts(env: Mapping[str, str]) -> RebuildParts:
    """Return what rebuilding bars works with: the lake in, the stream of bars out."""
    from tradelake.adapters.aws.state import DynamoStateStore
    from tradelake.adapters.aws.streams import KinesisWriter
    from tradelake.adapters.system import SystemClock
    from tradelake.lake.ticks import LakeTicks
    from tradelake.settings import RebuildSettings
    from tradelake.stream.aggregation import Rules
    from tradelake.topology import names, stores, streams
    from tradelake.usecases.rebuild_bars import RebuildParts

    settings = load_settings(env, RebuildSettings)
    ticks = LakeTicks(wire_lake_catalog(env))
    return RebuildParts(
        venue=settings.venue,
        ledger=wire_gap_ledger(settings.environment),
        ticks=ticks,
        bars=KinesisWriter(names.physical(settings.environment, streams.BARS.name)),
        states=DynamoStateStore(names.physical(settings.environment, stores.CONSUMER_STATE.name)),
        clock=SystemClock(),
        rules=Rules(
            settings.timeframes(),
            round(settings.lateness_s * 1e9),
            quotes_from_ns=settings.quotes_from_ns(),
        ),
        is_delivered=ticks.is_delivered,
        whole_until_ns=ticks.whole_until_ns,
        buckets=settings.buckets,
        grace_s=settings.rebuild_grace_s,
    )


def wire_rebuild_bars(env: Mapping[str, str]) -> Callable[[float], Maintained]:
    """Return the ``rebuild_bars`` function's work: seconds that are left in, what was done out."""
    from tradelake.usecases.rebuild_bars import maintain_bars

    parts = wire_rebuild_parts(env)

    def run(left_s: float) -> Maintained:
        return maintain_bars(parts, parts.clock.now_ns() + round(left_s / 2 * 1e9))

    return run


def _wire_channel_history(
    settings: BackfillSettings, clock: SystemClock
) -> tuple[ChannelHistory, Callable[[], Sequence[str]]]:
    from tradelake.adapters.alpaca.assets import AlpacaAssets
    from tradelake.adapters.alpaca.channels import PATIENCE_S, TIMEOUTS_S, AlpacaChannels
    from tradelake.adapters.alpaca.rest import AlpacaRest
    from tradelake.adapters.aws.secrets import SecretsManager
    from tradelake.feed.subscription import EVERY_SYMBOL
    from tradelake.topology import names

    secret = SecretsManager().get(names.physical(settings.environment, names.ALPACA_SECRET))
    key, secret_key = secret.get("key", ""), secret.get("secret", "")
    rest = AlpacaRest(
        clock,
        key=key,
        secret=secret_key,
        url=settings.data_url or None,
        timeouts_s=TIMEOUTS_S,
        patience_s=PATIENCE_S,
    )

    def symbols() -> Sequence[str]:
        named = settings.symbol_list()
        if EVERY_SYMBOL not in named:
            return named
        assets = AlpacaAssets(key, secret_key, url=settings.trading_url or None)
        # a pair that was delisted since the gap has history too
        return [asset.symbol for asset in assets.crypto_assets()]

    return AlpacaChannels(settings.venue, clock, rest), symbols


def wire_recorder(env: Mapping[str, str], folder: Path) -> Callable[[], Path | None]:
    """Return what records Alpaca's recent history into ``folder``; None when not reachable.

    Calling it raises what :meth:`tradelake.adapters.alpaca.recorder.Recorder.record` raises.
    """

    def record() -> Path | None:
        from tradelake.adapters.alpaca.recorder import (
            DATA_URL,
            TIMEOUTS_S,
            Recorder,
            reachable,
        )
        from tradelake.adapters.alpaca.rest import REQUESTS_A_MINUTE, AlpacaRest
        from tradelake.adapters.system import SystemClock
        from tradelake.market.venues import ALPACA_US
        from tradelake.topology import names

        override = env.get(names.ENV_DATA_URL) or None
        if not reachable(override or DATA_URL):
            return None
        clock = SystemClock()
        rest = AlpacaRest(
            clock,
            key=env.get("APCA_API_KEY_ID"),
            secret=env.get("APCA_API_SECRET_KEY"),
            url=override,
            requests_a_minute=REQUESTS_A_MINUTE if override is None else 60_000,
            timeouts_s=TIMEOUTS_S,
        )
        history = wire_history(env, override, ALPACA_US)
        return Recorder(rest, history, clock).record(folder)

    return record
