"""Runs one backtest from its specification to its result object, whatever the strategy's style."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import numpy as np

from tradelake.decoding import json_decoder
from tradelake.errors import ConfigError, InsufficientData, InvalidData, TradelakeError
from tradelake.market.arrays import BarArrays, FloatArray, IntArray
from tradelake.ports import BarSource, InstrumentRows, InstrumentSource, ObjectStore
from tradelake.strategies import library
from tradelake.strategies.api import Model
from tradelake.strategies.event import written
from tradelake.usecases.sweeps import RunManifest, RunResult, RunSpec

if TYPE_CHECKING:
    from tradelake.backtest.outcome import Backtest
    from tradelake.backtest.screen import Screen

EQUITY_POINTS: Final = 500

LoadModel: TypeAlias = Callable[[bytes], Model]
Build: TypeAlias = Callable[[str, Mapping[str, object], Model | None], Any]

_BY_BARS: Final = frozenset({"on_bar", "on_timer", "on_start"})
"""Callbacks one of which an event strategy on bars needs: the others follow from its orders."""

_NONSENSE: Final = ("UNKNOWN_SYMBOL", "BAD_QUANTITY", "BAD_PRICE")
"""Reasons of the venue's against orders that make no sense, whatever the account holds."""


def run_backtest(
    spec_key: str,
    result_key: str,
    *,
    artifacts: ObjectStore,
    bars: BarSource,
    instruments: InstrumentSource,
    load_model: LoadModel,
    code_version: str,
    build: Build = library.build,
) -> RunResult:
    """Run the specification at ``spec_key`` and write the result to ``result_key``.

    A run that fails for its own reasons (unknown strategy, too few bars, an exception, an order
    that makes no sense or an endless loop inside the strategy) is a result too: running it again
    would not help.

    Parameters
    ----------
    spec_key, result_key : str
        Keys in the artifact bucket.
    artifacts, bars, instruments : ObjectStore, BarSource, InstrumentSource
        The artifact bucket and the lake. Increments, halts, renames and delistings are the lake's.
    load_model : callable
        Makes a model of an archive.
    code_version : str
        For the manifest.
    build : callable
        Makes a strategy, of any style, of name, parameters and model.

    Raises
    ------
    ConfigError
        There is no readable specification.
    Transient, Fatal
        Lake or bucket refuse: nothing was written, and trying again may help.
    """
    spec = _read_spec(artifacts, spec_key)
    found: list[BarArrays] = []
    known = InstrumentRows([], "")
    try:
        found.extend(
            bars.bars(symbol, spec.timeframe, spec.start_ns, spec.end_ns) for symbol in spec.pairs
        )
        known = instruments.instruments(spec.pairs)
        strategy = _strategy(spec, _model(spec, artifacts, load_model), build)
        result = _simulate(spec, found, known, strategy, code_version)
    except (ConfigError, InvalidData, InsufficientData) as error:
        result = RunResult(
            manifest=_manifest(spec, code_version, found, known),
            status="failed",
            error=f"{spec.strategy} on {spec.symbol} {spec.timeframe}: {error}",
            bars=sum(map(len, found)),
        )
    artifacts.put(result_key, msgspec.json.encode(result))
    return result


def _read_spec(artifacts: ObjectStore, key: str) -> RunSpec:
    try:
        return json_decoder(RunSpec).decode(artifacts.get(key))
    except KeyError as error:
        raise ConfigError(f"backtest specification: there is no object {key}") from error
    except msgspec.MsgspecError as error:
        raise ConfigError(f"backtest specification {key}: {error}") from error


def _model(spec: RunSpec, artifacts: ObjectStore, load: LoadModel) -> Model | None:
    if spec.model_key is None:
        return None
    try:
        return load(artifacts.get(spec.model_key))
    except KeyError as error:
        raise ConfigError(f"model: there is no object {spec.model_key}") from error


def _strategy(spec: RunSpec, model: Model | None, build: Build) -> Any:  # noqa: ANN401 - any style
    try:
        strategy = build(spec.strategy, spec.params, model)
    except TradelakeError:
        raise
    except BaseException as error:
        from tradelake.backtest.failure import rule_of, said

        raise InvalidData(rule_of(error), said(error)) from error
    told = written(strategy)
    if told and not told & _BY_BARS:
        raise ConfigError(
            f"strategy {spec.strategy}: is told of {', '.join(sorted(told))}; a job runs over bars,"
            " which have no quotes, trades or books"
        )
    return strategy


def _simulate(
    spec: RunSpec,
    data: Sequence[BarArrays],
    known: InstrumentRows,
    strategy: Any,  # noqa: ANN401 - any style
    code_version: str,
) -> RunResult:
    # the matching core: loaded by those who run only
    from tradelake.backtest import session
    from tradelake.execution.instruments import InstrumentHistory

    end_ns = max((bars.end_ns for bars in data if len(bars)), default=None)
    history = InstrumentHistory.from_rows(known.rows, until_ns=end_ns and end_ns + 1)
    terms = _terms(spec)
    account = session.run(data, strategy, **terms, instruments=history, code_version=code_version)
    _refuse_nonsense(account)
    return RunResult(
        manifest=_manifest(spec, code_version, data, known),
        status="succeeded",
        bars=sum(map(len, data)),
        first_ns=account.start_ns,
        last_ns=account.end_ns,
        style=account.style,
        rung=account.rung,
        realism=account.realism,
        findings=tuple(map(str, account.findings)),
        orders=len(account.books.orders),
        fills=len(account.books.fills),
        rejects=account.rejects,
        metrics=account.metrics().row(),
        equity=thin(account.clock_ns, account.equity_values),
    )


def _refuse_nonsense(account: Backtest) -> None:
    """Fail a run whose strategy sent orders that no venue could understand.

    The venue rejects them and goes on; but nobody looks at the orders of one run among thousands.
    """
    from tradelake.execution.layout import Reason

    orders = account.books.orders
    nonsense = np.isin(orders["reason"], [Reason[name] for name in _NONSENSE])
    wrong = np.flatnonzero(nonsense & (orders["amount"] != 0.0))
    if len(wrong):
        first = orders[wrong[0]]
        raise InvalidData(
            "order",
            f"{account.strategy}: {len(wrong)} of {len(orders)} orders make no sense, the first is "
            f"order {wrong[0]} at {first['submitted_ns']} ns: "
            f"{Reason(first['reason']).name.lower()}",
        )


def _terms(spec: RunSpec) -> dict[str, Any]:
    """Return what :func:`tradelake.backtest.session.run` takes by keyword."""
    from tradelake.backtest.limits import Limits
    from tradelake.execution.broker import flat_fee
    from tradelake.execution.brokers import BROKERS
    from tradelake.execution.costs import Costs, FixedSlippage, Participation, Spread

    rules = BROKERS.get(spec.broker)
    if rules is None:
        known = ", ".join(sorted(BROKERS))
        raise ConfigError(f"broker: expected one of {known}; found {spec.broker!r}")
    if spec.fee_bps is not None:
        rules = dataclasses.replace(rules, fees=flat_fee(spec.fee_bps), fees_assumed_until_ns=0)
    return {
        "broker": rules,
        "costs": Costs(
            spread=Spread(spec.spread_bps),
            slippage=FixedSlippage(spec.slippage_bps),
            participation=Participation(spec.participation),
        ),
        "rung": spec.rung,
        "cash": spec.cash,
        "seed": spec.seed,
        "limits": Limits(spec.max_seconds, spec.max_orders),
        "screen": _screen(spec.screen),
    }


def _screen(asked: Mapping[str, str]) -> Screen:
    from tradelake.backtest.screen import Screen

    known = [field.name for field in dataclasses.fields(Screen)]
    for rule in asked:
        if rule not in known:
            raise ConfigError(f"screen: expected one of {', '.join(known)}; found {rule!r}")
    return Screen(**asked)  # type: ignore[arg-type] # checked there


def _manifest(
    spec: RunSpec, code_version: str, data: Sequence[BarArrays], known: InstrumentRows
) -> RunManifest:
    snapshots = dict.fromkeys(bars.snapshot_id for bars in data)
    return RunManifest(
        data_snapshot=",".join(snapshots),
        code_version=code_version,
        spec=spec,
        instruments_snapshot=known.snapshot_id,
    )


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
