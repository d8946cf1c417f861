"""Bars of many symbols on one clock, as the matching core reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tradelake.execution.layout import NONE
from tradelake.execution.state import BAR, Rows
from tradelake.market.arrays import BarArrays


def merged(columns: Sequence[BarArrays]) -> Rows:
    """Return the bars of all symbols in the order in which they are known.

    Parameters
    ----------
    columns : sequence of BarArrays
        One for each symbol, in the order of symbols. Timeframes may differ.

    Returns
    -------
    Rows
        :data:`~tradelake.execution.state.BAR` rows sorted by close, then symbol.
    """
    if len(columns) == 1:
        rows = _rows(0, columns[0])
        rows["previous"] = np.arange(-1, len(rows) - 1)
        return rows
    rows = np.concatenate([_rows(number, bars) for number, bars in enumerate(columns)])
    order = np.lexsort((rows["symbol"], rows["close_ns"]))
    rows = rows[order]
    for number in range(len(columns)):
        places = np.flatnonzero(rows["symbol"] == number)
        rows["previous"][places] = np.concatenate(([NONE], places[:-1]))
    return rows


def _rows(number: int, bars: BarArrays) -> Rows:
    rows = np.empty(len(bars), BAR)
    rows["open_ns"], rows["close_ns"] = bars.ts_event_ns, bars.close_ns
    for name in ("open", "high", "low", "close", "volume"):
        rows[name] = getattr(bars, name)
    rows["symbol"], rows["row"] = number, np.arange(len(bars))
    return rows
