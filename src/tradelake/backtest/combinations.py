"""Summaries of many strategies on the same bars, without an account for each in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tradelake.backtest import engine, metrics
from tradelake.backtest.declared import kernel_name
from tradelake.backtest.metrics import Metrics
from tradelake.backtest.result import BacktestResult
from tradelake.errors import ConfigError, InsufficientData
from tradelake.execution.rules import Rules
from tradelake.market.arrays import BarArrays
from tradelake.strategies.api import Strategy

if TYPE_CHECKING:
    from tradelake.backtest.passes import Pass


def summarise_all(
    bars: BarArrays,
    strategies: Sequence[Strategy],
    *,
    cash: float = 10_000.0,
    rules: Rules = Rules(),  # noqa: B008 -- frozen
    flat_at_end: bool = False,
    threads: int = 1,
) -> list[Metrics]:
    """Return the metrics of each strategy, equal to those of its own run.

    Strategies with a compiled kernel take one pass each and keep no curve; others are run.

    Parameters
    ----------
    bars : BarArrays
        At least two bars.
    strategies : sequence of Strategy
        For instance one strategy with every combination of its parameters.
    cash, rules, flat_at_end
        As in :func:`tradelake.backtest.engine.run`.
    threads : int
        How many passes at a time. Memory is that of the bars and a few columns a thread.

    Raises
    ------
    InsufficientData, ConfigError, InvalidData
        As :func:`tradelake.backtest.engine.run`.
    """
    if len(bars) < 2:
        raise InsufficientData(f"sweep: expected at least 2 bars; found {len(bars)}")
    if not math.isfinite(cash) or cash <= 0.0:
        raise ConfigError(f"cash: expected a finite positive number; found {cash}")
    if threads < 1:
        raise ConfigError(f"threads: expected 1 or more; found {threads}")
    given: dict[str, Any] = {"cash": cash, "flat_at_end": flat_at_end}
    found: dict[int, Metrics] = {}
    for kernel, rows in _by_kernel(strategies).items():
        chosen = [strategies[row] for row in rows]
        if kernel:
            left = _passes(bars, kernel, chosen, rules, threads, given)
        else:
            left = [metrics.summarise(_run(bars, one, rules, given)) for one in chosen]
        found.update(zip(rows, left, strict=True))
    return [found[row] for row in range(len(strategies))]


def _by_kernel(strategies: Sequence[Strategy]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, strategy in enumerate(strategies):
        rows.setdefault(kernel_name(strategy), []).append(row)
    return rows


def _passes(
    bars: BarArrays,
    name: str,
    strategies: Sequence[Strategy],
    rules: Rules,
    threads: int,
    given: dict[str, Any],
) -> list[Metrics]:
    from tradelake.backtest import kernels, passes  # compiled: loaded by those who sweep only

    for strategy in strategies:
        engine.refuse_trained_bars(bars, strategy)
    kernel = kernels.kernel_of(name)
    values = [kernel.values(strategy.parameters) for strategy in strategies]
    left = passes.passes(bars, kernel, values, rules=rules, threads=threads, **given)
    return [
        _summary(bars, strategy, one, rules, given)
        for strategy, one in zip(strategies, left, strict=True)
    ]


def _summary(
    bars: BarArrays, strategy: Strategy, left: Pass, rules: Rules, given: dict[str, Any]
) -> Metrics:
    return metrics.from_curve(
        left.curve,
        lambda: _run(bars, strategy, rules, given).returns(),
        cash=left.cash,
        fees=left.fees,
        notional=left.notional,
        trades=left.trades,
        wins=left.wins,
        elapsed_ns=bars.end_ns - int(bars.ts_event_ns[0]),
        periods=metrics.periods_per_year(bars.timeframe),
    )


def _run(
    bars: BarArrays, strategy: Strategy, rules: Rules, given: dict[str, Any]
) -> BacktestResult:
    return engine.run(
        bars,
        strategy,
        fee_bps=rules.fee_bps,
        slippage_bps=rules.slippage_bps,
        allow_short=rules.allow_short,
        quantity_step=rules.quantity_step,
        **given,
    )
