"""The engine's work units, each beside its floor measured in the same run.

``python -m bench.engine``. The units are those that engines are compared by: synthetic minute bars,
0.25 % fee, 5 bps slippage, fills at the next open, both cores where a unit says so.

- W1: one symbol-year, SMA 20/100, arrays -> equity, trades, Sharpe, drawdown; warm, and from the
  start of a fresh process with compiled code on disk.
- W2: 1,000 combinations of it, and the memory they take.
- W3: bars a second of a strategy that places brackets when flat, called back and compiled.
- W4: events a second of a market maker on quotes and trades.
- W5: 100 independent backtests.
- The ladder: inputs a second of one compiled strategy on every rung of realism
  (:mod:`bench.engine_ladder`).

The floor is a single pass written by hand (:mod:`bench.engine_floor`). What is compared takes
turns; figures are medians of wall time. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from pathlib import Path
from typing import Any

from bench import engine_events as events
from bench import engine_works as works
from bench.engine_ladder import ladder


def run(*, quick: bool, repeats: int) -> dict[str, Any]:
    """Measure, print, and return the figures."""
    size = 20_000 if quick else works.YEAR
    count, runs = (20, 4) if quick else (1_000, 100)
    figures: dict[str, Any] = {"name": "engine"}
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        works.market(size).save(folder)
        _w1(figures, size, folder, repeats)
        _w2(figures, size, count, folder, repeats)
    _events(figures, size, repeats)
    found = works.w5(size, runs, max(1, repeats // 3))
    print(f"W5 {runs} independent backtests of {size:,} bars, {works.CORES} cores")
    _show(found)
    figures |= {
        "w5_s": round(found["engine"], 3),
        "w5_floor_s": round(found["floor"], 3),
    }
    _ladder(figures, size, repeats)
    return figures | {"quick": quick, "python": platform.python_version()}


def _w1(figures: dict[str, Any], size: int, folder: Path, repeats: int) -> None:
    warm = works.w1(size, repeats * 3)
    print(f"W1 one symbol, {size:,} bars, SMA {works.FAST}/{works.SLOW}")
    _show(warm)
    cold = works.cold(folder, max(1, repeats - 2))
    print("W1 cold: a fresh process from its start to the result, code compiled before")
    _show(cold)
    figures |= {
        "w1_ratio_floor": round(warm["arrays"] / warm["floor"], 2),
        "w1_cold_s": round(cold["engine"], 3),
        "w1_ms": round(1e3 * warm["arrays"], 2),
        "w1_floor_ms": round(1e3 * warm["floor"], 2),
        "w1_checked_ratio_floor": round(warm["bars"] / warm["floor"], 2),
        "w1_cold_floor_s": round(cold["floor"], 3),
        "w1_cold_numba_s": round(cold["numba"], 3),
    }


def _w2(figures: dict[str, Any], size: int, count: int, folder: Path, repeats: int) -> None:
    found = works.w2(size, count, max(1, repeats // 3))
    peak, more = works.sweep_memory(folder, count)
    rate = size * count / found["engine"]
    print(f"W2 {count:,} combinations of {size:,} bars, {works.CORES} cores")
    _show(found)
    print(f"  {rate / 1e9:.2f} G bar-combinations/s; peak {peak:,.0f} MiB, {more:,.1f} of it more")
    print("  than the same process had after two combinations")
    figures |= {
        "w2_ratio_floor": round(found["engine"] / found["floor"], 2),
        "w2_s": round(found["engine"], 3),
        "w2_floor_s": round(found["floor"], 3),
        "w2_ratio_skip": round(found["engine"] / found["skip"], 2),
        "w2_peak_mib": round(peak),
        "w2_added_mib": round(more, 1),
    }


def _events(figures: dict[str, Any], size: int, repeats: int) -> None:
    for title, unit in events.UNITS.items():
        print(title)
        found = unit(size, repeats)
        for name, rate in found.items():
            print(f"  {name:24} {rate:>14,.0f} a second")
        figures |= {name: round(rate) for name, rate in found.items()}


def _ladder(figures: dict[str, Any], size: int, repeats: int) -> None:
    found = ladder(size, repeats)
    base, _ = found["rung1"]
    print(f"The ladder: {size:,} bars, ticks or rows of a book; one compiled strategy")
    print(f"  {'rung and costs':20} {'inputs a second':>16} {'time to rung 1':>15} {'fills':>8}")
    for name, (rate, fills) in found.items():
        print(f"  {name:20} {rate:>16,.0f} {base / rate:>15.2f} {fills:>8,}")
        figures[f"ladder_{name}_inputs_s"] = round(rate)


def _show(found: dict[str, float]) -> None:
    base = found["floor"]
    for name, seconds in found.items():
        print(f"  {name:12} {1e3 * seconds:>10,.2f} ms, {seconds / base:5.2f} x the floor")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small units: a check, no measurement")
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    print(json.dumps(run(quick=given.quick, repeats=given.repeats)))


if __name__ == "__main__":
    main()
