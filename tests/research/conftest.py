"""Sample reports from a seeded random walk, and a browser to look at them with."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tradelake.research.report import (
    Curve,
    FeatureImportance,
    Fold,
    LakeTable,
    Model,
    Provenance,
    Reconciliation,
    ReportData,
    Run,
    RunMetrics,
    Stage,
    Throughput,
    thin,
)

DAY_NS = 86_400 * 1_000_000_000
START_NS = 1_704_067_200 * 1_000_000_000  # 2024-01-01
CHANNELS = ("trades", "quotes", "orderbooks", "bars", "updatedBars", "dailyBars")
COINS = ("BTC/USD", "ETH/USD", "SOL/USD")
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "trend_cross": {"fast": (5, 10, 20), "slow": (30, 50, 100)},
    "mean_reversion": {"window": (12, 24, 48), "entry_z": (1.0, 1.5, 2.0)},
    "volatility_breakout": {"lookback": (10, 20, 40), "width": (0.5, 1.0)},
}
MakeReport = Callable[..., ReportData]


def _metrics(equity: np.ndarray, rng: np.random.Generator) -> RunMetrics:
    returns = np.diff(equity) / equity[:-1]
    downside = np.sqrt(np.mean(np.minimum(returns, 0) ** 2))
    years = len(returns) / 365
    return RunMetrics(
        total_return=float(equity[-1] / equity[0] - 1),
        cagr=float((equity[-1] / equity[0]) ** (1 / years) - 1),
        volatility=float(returns.std(ddof=1) * np.sqrt(365)),
        sharpe=float(returns.mean() / returns.std(ddof=1) * np.sqrt(365)),
        sortino=float(returns.mean() / downside * np.sqrt(365)),
        max_drawdown=float((equity / np.maximum.accumulate(equity) - 1).min()),
        turnover=float(rng.uniform(5, 120)),
        fees=float(rng.uniform(20, 900)),
        trades=int(rng.integers(8, 300)),
    )


def _curve(equity: np.ndarray) -> Curve:
    return thin([(START_NS + day * DAY_NS, float(value)) for day, value in enumerate(equity)])


def _symbols(count: int) -> list[str]:
    return [*COINS, *(f"C{index:03d}/USD" for index in range(count))][:count]


def _runs(rng: np.random.Generator, symbols: list[str], count: int) -> Iterator[Run]:
    points = [
        (symbol, strategy, dict(zip(grid, values, strict=True)))
        for strategy, grid in GRIDS.items()
        for values in itertools.product(*grid.values())
        for symbol in symbols
    ]
    order = sorted(range(len(points)), key=lambda index: points[index][0] != symbols[0])
    for position in range(count):
        symbol, strategy, params = points[order[position % len(points)]]
        run_id = f"{position:04x}{int(rng.integers(2**31)):08x}"
        drift = rng.normal(0.0004, 0.0009)
        equity = 10_000 * np.exp(np.cumsum(rng.normal(drift, 0.018, 731)))
        if position % 16 == 7:
            yield Run(
                run_id, strategy, symbol, "1d", params, "failed",
                error=f"Rejected: order 17 of {strategy} at 2024-03-02T04:00:00Z: "
                "expected a size of at least 0.0001 BTC; found 0.00004",
            )  # fmt: skip
        else:
            metrics = _metrics(equity, rng)
            yield Run(
                run_id, strategy, symbol, "1d", params, metrics=metrics, equity=_curve(equity)
            )


def _reconciliation(rng: np.random.Generator, symbols: list[str]) -> Iterator[Reconciliation]:
    for channel, symbol in itertools.product(CHANNELS, symbols):
        stored = int(rng.integers(2_000, 90_000))
        quarantined, duplicates = int(rng.integers(0, 9)), int(rng.integers(0, 40))
        unrecoverable = int(rng.integers(0, 30)) if channel == "orderbooks" else 0
        sent = stored + quarantined + duplicates + unrecoverable
        yield Reconciliation(channel, symbol, sent, stored, quarantined, duplicates, unrecoverable)


def _model(rng: np.random.Generator) -> Model:
    names = ("ret_1", "ret_5", "rsi_14", "atr_14", "vol_30", "spread_bps", "imbalance", "macd_hist")
    shares = sorted(rng.dirichlet(np.ones(24)), reverse=True)
    features = [names[index] if index < len(names) else f"lag_{index}" for index in range(24)]
    folds = tuple(
        Fold(
            f"fold {index + 1}", 2_190,
            {"log_loss": float(rng.normal(0.687, 0.004)), "auc": float(rng.normal(0.541, 0.012))},
            START_NS + index * 90 * DAY_NS, START_NS + (index + 1) * 90 * DAY_NS,
        )
        for index in range(5)
    )  # fmt: skip
    return Model(
        "xgboost direction, BTC/USD 1h", "core v1", 10_950, START_NS, START_NS + 456 * DAY_NS,
        tuple(map(FeatureImportance, features, map(float, shares))), folds,
        {"log_loss": 0.6903, "auc": 0.528}, 6_570, {"Label": "sign of the next 4 h"},
    )  # fmt: skip


@pytest.fixture(scope="session")
def make_report() -> MakeReport:
    """Report of ``runs`` backtests on ``symbols`` pairs, the same for the same arguments."""

    def make(*, runs: int = 48, symbols: int = 2, streamed: int = 3, seed: int = 7) -> ReportData:
        rng = np.random.default_rng(seed)
        pairs = _symbols(symbols)
        reconciliation = tuple(_reconciliation(rng, _symbols(streamed)))
        stored = sum(row.stored for row in reconciliation)
        walks = {s: 10_000 * np.exp(np.cumsum(rng.normal(0.0008, 0.028, 731))) for s in pairs}
        tables = ("trades", "quotes", "books", "bars", "quarantine", "trials")
        return ReportData(
            title="Momentum and reversion on Alpaca crypto",
            generated_at_ns=START_NS + 800 * DAY_NS,
            source="Alpaca crypto stream, venue us: recorded day replayed at 20 times its speed",
            provenance=Provenance(
                "0.1.0+g2475987",
                {name: str(int(rng.integers(2**62))) for name in tables[:4]},
                seed,
                {"Manifest": "sha256:9f2c51d0a7", "Image": "tradelake/backtests@sha256:51ab02"},
            ),
            environment={"Python": "3.11.9", "Machine": "2 cores, 24 GB", "System": "Linux 6.1"},
            stages=tuple(
                map(Stage, ("ingest", "deliver", "train", "backtests"), (61.2, 18.4, 33.0, 141.7))
            ),
            throughput=Throughput(
                sum(row.sent for row in reconciliation),
                sum(row.sent - row.unrecoverable for row in reconciliation),
                stored, 61.2, 6.31, 21.8, 50.0,
            ),
            reconciliation=reconciliation,
            tables=tuple(
                LakeTable(name, stored // (index + 1), 4, stored * 23, START_NS, START_NS + DAY_NS)
                for index, name in enumerate(tables)
            ),
            runs=tuple(_runs(rng, pairs, runs)),
            benchmarks={symbol: _curve(walk) for symbol, walk in walks.items()},
            models=(_model(rng),),
            warnings=("Fills are simulated on bars: queue positions are not known.",),
        )  # fmt: skip

    return make
