"""Runs one backtest from its specification to its result object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec
import numpy as np

from tradelake.backtest import engine, metrics
from tradelake.errors import ConfigError, InsufficientData, InvalidData
from tradelake.market.arrays import BarArrays, FloatArray, IntArray
from tradelake.ports import BarSource, ObjectStore
from tradelake.strategies import library
from tradelake.strategies.api import Predictor
from tradelake.usecases.sweeps import RunManifest, RunResult, RunSpec

EQUITY_POINTS: Final = 500

LoadModel: TypeAlias = Callable[[bytes], Predictor]


def run_backtest(
    spec_key: str,
    result_key: str,
    *,
    artifacts: ObjectStore,
    bars: BarSource,
    load_model: LoadModel,
    code_version: str,
) -> RunResult:
    """Run the specification at ``spec_key`` and write the result to ``result_key``.

    A run that fails for its own reasons (unknown strategy, too few bars, an exception inside the
    strategy) is a result too: running it again would not help.

    Raises
    ------
    ConfigError
        There is no readable specification.
    Transient, Fatal
        Lake or bucket refuse: nothing was written, and trying again may help.
    """
    spec = _read_spec(artifacts, spec_key)
    found: BarArrays | None = None
    try:
        found = bars.bars(spec.symbol, spec.timeframe, spec.start_ns, spec.end_ns)
        result = _simulate(spec, found, _predictor(spec, artifacts, load_model), code_version)
    except (ConfigError, InvalidData, InsufficientData) as error:
        result = RunResult(
            manifest=_manifest(spec, code_version, found),
            status="failed",
            error=f"{spec.strategy} on {spec.symbol} {spec.timeframe}: {error}",
            bars=len(found) if found is not None else 0,
        )
    artifacts.put(result_key, msgspec.json.encode(result))
    return result


def _read_spec(artifacts: ObjectStore, key: str) -> RunSpec:
    try:
        return msgspec.json.decode(artifacts.get(key), type=RunSpec)
    except KeyError as error:
        raise ConfigError(f"backtest specification: there is no object {key}") from error
    except msgspec.MsgspecError as error:
        raise ConfigError(f"backtest specification {key}: {error}") from error


def _predictor(spec: RunSpec, artifacts: ObjectStore, load: LoadModel) -> Predictor | None:
    if spec.model_key is None:
        return None
    try:
        return load(artifacts.get(spec.model_key))
    except KeyError as error:
        raise ConfigError(f"model: there is no object {spec.model_key}") from error


def _simulate(
    spec: RunSpec, bars: BarArrays, predictor: Predictor | None, code_version: str
) -> RunResult:
    strategy = library.make(spec.strategy, spec.params, predictor)
    account = engine.run(
        bars,
        strategy,
        cash=spec.cash,
        fee_bps=spec.fee_bps,
        slippage_bps=spec.slippage_bps,
    )
    return RunResult(
        manifest=_manifest(spec, code_version, bars),
        status="succeeded",
        bars=len(bars),
        first_ns=account.start_ns,
        last_ns=account.end_ns,
        metrics=metrics.summarise(account).row(),
        equity=thin(account.close_ns, account.equity),
    )


def _manifest(spec: RunSpec, code_version: str, bars: BarArrays | None) -> RunManifest:
    snapshot = bars.snapshot_id if bars is not None else ""
    return RunManifest(data_snapshot=snapshot, code_version=code_version, spec=spec)


def thin(ts_ns: IntArray, equity: FloatArray) -> tuple[tuple[int, float], ...]:
    """Return at most :data:`EQUITY_POINTS` points of a curve, evenly spaced by position.

    First and last points are kept. Both arrays have shape (n,).

    >>> thin(np.array([1, 2]), np.array([10.0, 11.0]))
    ((1, 10.0), (2, 11.0))
    """
    count = len(ts_ns)
    if not count:
        return ()
    kept = np.unique(np.linspace(0, count - 1, min(count, EQUITY_POINTS)).round().astype(np.int64))
    return tuple((int(ts_ns[at]), float(equity[at])) for at in kept)
