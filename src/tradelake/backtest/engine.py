"""Runs a strategy over bars through the matching core."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tradelake.backtest.declared import kernel_name
from tradelake.backtest.failure import rule_of, said
from tradelake.backtest.result import BacktestResult, Trades
from tradelake.errors import ConfigError, InsufficientData, InvalidData
from tradelake.execution.layout import CASH_UNITS
from tradelake.execution.rules import ALPACA_QUANTITY_STEP, ALPACA_TAKER_BPS, Rules
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies.api import PanelStrategy, Strategy, Trained
from tradelake.strategies.panel import Panel

if TYPE_CHECKING:
    from tradelake.backtest.walk import Walk


def run(
    bars: BarArrays,
    strategy: Strategy,
    *,
    cash: float = 10_000.0,
    fee_bps: float = ALPACA_TAKER_BPS,
    slippage_bps: float = 5.0,
    allow_short: bool = False,
    quantity_step: float = ALPACA_QUANTITY_STEP,
    flat_at_end: bool = False,
) -> BacktestResult:
    """Return the account of ``strategy`` on ``bars``.

    A target decided at a bar's close is filled whole at the next bar's open, ``slippage_bps``
    worse than it; the fee is taken in the asset received. A target equal to the last one keeps the
    position. The last bar's target is not filled; what is held then is valued at its close.

    Parameters
    ----------
    bars : BarArrays
        At least two bars.
    strategy : Strategy
        Decides the targets.
    cash : float
        Quote units at the start.
    fee_bps, slippage_bps : float
        Basis points of each fill.
    allow_short : bool
        False reduces a negative target to flat and counts a reject, as at Alpaca.
    quantity_step : float
        Increment of orders, base units; 0 for none.
    flat_at_end : bool
        True leaves any position at the last bar's open, so that the cost of leaving is in the
        result.

    Raises
    ------
    InsufficientData
        Fewer than two bars.
    ConfigError
        Bad cash, cost or limit; or the strategy was trained on data of these bars.
    InvalidData
        Rule ``strategy``: it raised; rule ``signal``: a target is NaN after the first number,
        infinite or outside [-1, 1]. Both name strategy, symbol, time and value.
    """
    rules = Rules(fee_bps, slippage_bps, allow_short, quantity_step)
    if not math.isfinite(cash) or cash <= 0.0:
        raise ConfigError(f"cash: expected a finite positive number; found {cash}")
    if len(bars) < 2:
        raise InsufficientData(
            f"{strategy.name} on {bars.symbol} {bars.timeframe}: "
            f"expected at least 2 bars; found {len(bars)}"
        )
    refuse_trained_bars(bars, strategy)
    walked = _walked(bars, strategy, cash, rules, flat_at_end=flat_at_end)
    account, (held_from, held) = walked.account, walked.held()
    return BacktestResult(
        strategy=strategy.name,
        symbol=bars.symbol,
        timeframe=bars.timeframe,
        snapshot_id=bars.snapshot_id,
        parameters=dict(strategy.parameters),
        start_ns=int(bars.ts_event_ns[0]),
        end_ns=bars.end_ns,
        bars=bars,
        equity=walked.equity,
        held_from=held_from,
        held=held,
        curve=walked.curve,
        trades=_trades(bars, walked.trips()),
        cash=float(cash),
        fees=float(account["fees_value"]) / CASH_UNITS,
        notional=float(account["turnover"]) / CASH_UNITS,
        n_fills=int(account["fills"]),
        n_rejects=int(account["rejects"]),
        realism=_realism(rules),
    )


def _walked(
    bars: BarArrays, strategy: Strategy, cash: float, rules: Rules, *, flat_at_end: bool
) -> Walk:
    from tradelake.backtest import kernels, walk  # compiled: loaded by those who run only

    name = kernel_name(strategy)
    if not name:
        targets = targets_of(bars, strategy)
        return walk.walk(bars.open, bars.close, targets, cash, rules, flat_at_end=flat_at_end)
    kernel, columns = kernels.kernel_of(name), kernels.columns_of(bars)
    start = walk.Start.of(bars.open, bars.close, cash, rules)
    walked = walk.Walk(start, kept=True, flat_from=len(bars) - 1 if flat_at_end else None)
    values = kernel.values(strategy.parameters)
    for targets, first, last in kernel.blocks(columns, kernel.shared(columns), values):
        walked.follow(targets, first, last)
    return walked


def refuse_trained_bars(bars: BarArrays, strategy: Strategy) -> None:
    """Refuse bars that a strategy's model was trained on.

    Raises
    ------
    ConfigError
        The first bar opens before the end of the training data.
    """
    if not isinstance(strategy, Trained):
        return
    until: object = strategy.train_end_ns
    if not isinstance(until, int | np.integer):
        raise ConfigError(
            f"strategy {strategy.name}: train_end_ns: expected a whole number; found {until!r:.60}"
        )
    if bars.ts_event_ns[0] < strategy.train_end_ns:
        raise ConfigError(
            f"strategy {strategy.name} on {bars.symbol}: its model was trained on data up to "
            f"{strategy.train_end_ns} ns; expected bars from there on, found the first at "
            f"{bars.ts_event_ns[0]} ns: results on training data say nothing"
        )


def targets_of(bars: BarArrays, strategy: Strategy) -> FloatArray:
    """Return a strategy's targets of all bars, shape (n,); 0 before its first number.

    Raises
    ------
    InvalidData
        Rules ``strategy`` and ``signal``, as :func:`run`.
    """
    name = kernel_name(strategy)
    if name:
        from tradelake.backtest import kernels

        return kernels.targets_of(bars, kernels.kernel_of(name), strategy.parameters)
    try:
        raw = _as_floats(strategy.signals(bars))
    except BaseException as error:
        raise InvalidData(
            rule_of(error), f"{strategy.name} on {bars.symbol} {bars.timeframe}: {said(error)}"
        ) from error
    return _checked(raw, bars, strategy.name)


def panel_targets(columns: Sequence[BarArrays], strategy: PanelStrategy) -> list[FloatArray]:
    """Return each symbol's targets at its own bars; 0 before its first number.

    Raises
    ------
    InvalidData
        Rules ``strategy`` and ``signal``, as :func:`run`.
    """
    panel = Panel.of(columns)
    try:
        raw = panel.of_symbols(_as_floats(strategy.signals_of(panel)))
    except BaseException as error:
        raise InvalidData(
            rule_of(error), f"{strategy.name} on {', '.join(panel.symbols)}: {said(error)}"
        ) from error
    return [_checked(one, bars, strategy.name) for one, bars in zip(raw, columns, strict=True)]


def _as_floats(raw: object) -> FloatArray:
    """Return targets as a new array of floats."""
    found = np.asarray(raw)
    if found.dtype.kind not in "fiubO":
        raise InvalidData("signal", f"expected numbers; found {raw!r:.60} of {found.dtype}")
    return np.array(found, dtype=np.float64)


def _checked(targets: FloatArray, bars: BarArrays, name: str) -> FloatArray:
    if targets.shape != (len(bars),):
        raise InvalidData(
            "signal",
            f"{name} on {bars.symbol}: expected one target for each of {len(bars)} bars; "
            f"found shape {targets.shape}",
        )
    if np.isnan(targets[0]):
        number = ~np.isnan(targets)
        targets[: int(np.argmax(number))] = 0.0
    good = (targets >= -1.0) & (targets <= 1.0)
    if not good.all():
        where = int(np.argmin(good))
        raise InvalidData(
            "signal",
            f"{name} on {bars.symbol}: expected a target in [-1, 1]; "
            f"found {targets[where]} for bar {where} that closes at {bars.close_ns[where]} ns",
        )
    return targets


def _trades(bars: BarArrays, trips: FloatArray) -> Trades:
    """Return the rows of :meth:`tradelake.backtest.walk.Walk.trips` with their times."""
    opens_ns, is_open = bars.ts_event_ns, trips[:, 7] != 0.0
    entry_ns = opens_ns[trips[:, 0].astype(np.int64)]
    exit_ns = opens_ns[trips[:, 1].astype(np.int64)]
    exit_ns[is_open] = bars.end_ns
    quantity, entry_price, exit_price, pnl, fees = np.ascontiguousarray(trips[:, 2:7].T)
    return Trades(entry_ns, exit_ns, quantity, entry_price, exit_price, pnl, fees, is_open)


def _realism(rules: Rules) -> str:
    shorts = "shorts allowed" if rules.allow_short else "no shorts"
    return (
        f"bars: market orders filled whole at the next open; slippage {rules.slippage_bps:g} bps; "
        f"fee {rules.fee_bps:g} bps in the asset received; {shorts}; "
        f"quantity step {rules.quantity_step:g}; "
        "no spread, impact, partial fills, latency or volume cap"
    )
