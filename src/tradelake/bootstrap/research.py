"""History, training and the backtest fan-out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tradelake.bootstrap.lake import wire_lake_reader, wire_lake_writer
from tradelake.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from tradelake.ports import (
        MarketHistory,
        ObjectStore,
        TrainingJobs,
        Workflows,
    )
    from tradelake.strategies.api import Predictor
    from tradelake.usecases.collect_backtests import CollectedSweep
    from tradelake.usecases.sweeps import PreparedSweep, RunResult


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
        instruments=bars,
        load_model=_load_model,
        code_version=code_version(),
    )


def _load_model(archive: bytes) -> Predictor:
    from tradelake.models import packaging

    return packaging.load(archive)


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
