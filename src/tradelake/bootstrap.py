"""Settings -> wired use cases: the only chooser of adapters.

Every ``wire_*`` function takes the process environment as a mapping and imports the adapters it
chooses lazily, so a light function never loads pyarrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tradelake.settings import LakeSettings, load_settings

if TYPE_CHECKING:
    from tradelake.lake.catalog import LakeCatalog
    from tradelake.lake.reader import LakeReader
    from tradelake.lake.writer import IcebergWriter

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from tradelake.adapters.system import SystemClock
    from tradelake.feed.session import Session
    from tradelake.ports import Received
    from tradelake.settings import IngesterSettings
    from tradelake.strategies.api import Predictor
    from tradelake.usecases.collect_backtests import CollectedSweep
    from tradelake.usecases.intake import Intake
    from tradelake.usecases.publish import Publisher
    from tradelake.usecases.sweeps import PreparedSweep, RunResult
    from tradelake.usecases.validate import Validated


def wire_validate(env: Mapping[str, Any]) -> Callable[[Sequence[Received]], Validated]:
    """Return the ``validate`` function's work: ticks in, clean and quarantine out."""
    from tradelake.adapters.aws.streams import KinesisWriter
    from tradelake.settings import StreamSettings, load_settings
    from tradelake.topology import names, streams
    from tradelake.usecases.validate import validate_records

    environment = load_settings(env, StreamSettings).environment
    clean = KinesisWriter(names.physical(environment, streams.CLEAN.name))
    quarantine = KinesisWriter(names.physical(environment, streams.QUARANTINE.name))
    return lambda received: validate_records(received, clean, quarantine)


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
    from tradelake.adapters.alpaca.socket import AlpacaFeed
    from tradelake.adapters.aws.logs import log_batch
    from tradelake.adapters.observe import observed
    from tradelake.settings import IngesterSettings
    from tradelake.topology.containers import INGESTER
    from tradelake.usecases.intake import run_ingester

    settings = load_settings(env, IngesterSettings)
    session = _wire_session(settings)
    intake, publisher, clock = _wire_intake(settings)
    feed = AlpacaFeed(settings.feed_url, session, clock)

    async def run(stop: asyncio.Event) -> None:
        async with observed(
            intake.status,
            lambda fields: log_batch(INGESTER.name, "", fields),
            port=settings.health_port,
        ):
            await run_ingester(feed, intake, publisher, stop, final=settings.final_watermark)

    return run


def _wire_session(settings: IngesterSettings) -> Session:
    import random
    from functools import partial

    from tradelake.adapters.aws.secrets import SecretsManager
    from tradelake.errors import ConfigError
    from tradelake.feed.backoff import full_jitter
    from tradelake.feed.session import Session
    from tradelake.feed.subscription import Credentials, Subscription
    from tradelake.topology import names

    subscription = Subscription(tuple(settings.channel_list()), tuple(settings.symbol_list()))
    secret_name = names.physical(settings.environment, names.ALPACA_SECRET)
    secret = SecretsManager().get(secret_name)
    if not (secret.get("key") and secret.get("secret")):
        raise ConfigError(f"secret {secret_name}: expected the fields key and secret")
    credentials = Credentials(secret["key"], secret["secret"])
    return Session(credentials, subscription, partial(full_jitter, random.Random()))


def _wire_intake(settings: IngesterSettings) -> tuple[Intake, Publisher, SystemClock]:
    import random
    from functools import partial

    from tradelake.adapters.aws.epochs import DynamoEpochs
    from tradelake.adapters.aws.gaps import DynamoGaps
    from tradelake.adapters.aws.streams import KinesisWriter
    from tradelake.adapters.system import SystemClock
    from tradelake.feed.backoff import full_jitter
    from tradelake.ports import OPEN
    from tradelake.topology import names, stores, streams
    from tradelake.topology.containers import INGESTER
    from tradelake.usecases.ingest import Batcher, BatchLimits
    from tradelake.usecases.intake import Intake
    from tradelake.usecases.publish import Publisher

    physical = partial(names.physical, settings.environment)
    clock = SystemClock()
    backoff = partial(full_jitter, random.Random(), first_s=0.1, cap_s=5.0)
    limits = BatchLimits(linger_ns=int(settings.linger_ms * 1e6))
    epoch = DynamoEpochs(physical(stores.LEASES.name)).next_epoch(
        f"{INGESTER.name}/{settings.venue}"
    )
    batcher = Batcher(settings.venue, epoch, settings.buckets, limits)
    writer = KinesisWriter(physical(streams.TICKS.name))
    publisher = Publisher(batcher, writer, clock, backoff, buckets=settings.buckets)
    ledger = DynamoGaps(physical(stores.GAPS.name))
    inherited = [
        gap for gap in ledger.gaps() if gap.venue == settings.venue and gap.closed_ns == OPEN
    ]
    intake = Intake(settings.venue, epoch, batcher, publisher, ledger, clock, backoff, inherited)
    return intake, publisher, clock
