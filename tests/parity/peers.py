"""Runs the SMA cross on other engines; a program for an interpreter that has them.

``python peers.py ENGINE ARRAYS.npz OUT.json FAST SLOW CASH FEE:SLIPPAGE...``. It imports nothing of
tradelake, computes its own averages and crosses, and writes for each pair of costs the closed
trades (bars, prices, size), what is left at the last close, and the engine's version.
"""

from __future__ import annotations

import json
import sys
import warnings

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")


def averages(close, fast: int, slow: int):
    series = pd.Series(np.asarray(close))
    return series.rolling(fast).mean().to_numpy(), series.rolling(slow).mean().to_numpy()


def run_backtesting(arrays, fast, slow, fee, slippage, cash):
    import backtesting
    from backtesting.lib import FractionalBacktest, crossover

    class Cross(backtesting.Strategy):
        def init(self):
            self.fast = self.I(lambda c: averages(c, fast, slow)[0], self.data.Close)
            self.slow = self.I(lambda c: averages(c, fast, slow)[1], self.data.Close)

        def next(self):
            if crossover(self.fast, self.slow):
                self.buy()
            elif crossover(self.slow, self.fast):
                self.position.close()

    names = ("open", "high", "low", "close", "volume")
    frame = pd.DataFrame({name.title(): arrays[name] for name in names})
    frame.index = pd.to_datetime(arrays["ts_ns"])
    engine = FractionalBacktest(
        frame, Cross, fractional_unit=1e-8, cash=cash, commission=fee, spread=slippage
    )
    result = engine.run()
    trades = result["_trades"]
    return {
        "version": backtesting.__version__,
        "entry_bar": trades["EntryBar"].tolist(),
        "exit_bar": trades["ExitBar"].tolist(),
        "entry_price": trades["EntryPrice"].tolist(),
        "exit_price": trades["ExitPrice"].tolist(),
        "size": trades["Size"].tolist(),
        "final": float(result["Equity Final [$]"]),
        "max_drawdown": float(result["Max. Drawdown [%]"]) / 100.0,
    }


def run_vectorbt(arrays, fast, slow, fee, slippage, cash):
    import vectorbt

    quick, slow_mean = averages(arrays["close"], fast, slow)
    over = quick > slow_mean
    known = ~np.isnan(slow_mean)
    up = np.zeros(over.size, dtype=bool)
    down = np.zeros(over.size, dtype=bool)
    both = known[1:] & known[:-1]
    up[1:] = both & over[1:] & ~over[:-1]
    down[1:] = both & ~over[1:] & over[:-1]
    # decided at a close, filled at the next bar's open
    entries, exits = np.roll(up, 1), np.roll(down, 1)
    entries[0] = exits[0] = False
    portfolio = vectorbt.Portfolio.from_signals(
        pd.Series(arrays["close"]),
        pd.Series(entries),
        pd.Series(exits),
        price=pd.Series(arrays["open"]),
        size=np.inf,
        fees=fee,
        slippage=slippage,
        init_cash=cash,
        freq="1h",
    )
    rows = portfolio.trades.records
    rows = rows[rows["status"] == 1]
    return {
        "version": vectorbt.__version__,
        "entry_bar": rows["entry_idx"].tolist(),
        "exit_bar": rows["exit_idx"].tolist(),
        "entry_price": rows["entry_price"].tolist(),
        "exit_price": rows["exit_price"].tolist(),
        "size": rows["size"].tolist(),
        "final": float(portfolio.final_value()),
        "max_drawdown": float(portfolio.max_drawdown()),
    }


ENGINES = {"backtesting": run_backtesting, "vectorbt": run_vectorbt}


def main() -> None:
    engine, arrays, out, fast, slow, cash, *costs = sys.argv[1:]
    columns, run = dict(np.load(arrays)), ENGINES[engine]
    found = {
        pair: run(columns, int(fast), int(slow), *map(float, pair.split(":")), float(cash))
        for pair in costs
    }
    with open(out, "w") as file:  # noqa: PTH123 -- nothing but the peers' own requirements
        json.dump(found, file)


if __name__ == "__main__":
    main()
