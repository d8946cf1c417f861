"""Bar columns are checked once, at the door."""

from __future__ import annotations

import numpy as np
import pytest

from tradelake.errors import InvalidData
from tradelake.market.arrays import BarArrays

MINUTE_NS = 60_000_000_000


def make(**changes) -> BarArrays:
    columns = {
        name: np.array([1.0, 2.0, 3.0]) for name in ("open", "high", "low", "close", "volume")
    }
    columns["ts_event_ns"] = np.arange(3) * MINUTE_NS
    return BarArrays("BTC/USD", **({"timeframe": "1m"} | columns | changes))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"close": np.array([1.0, 2.0])}, "shape"),
        ({"close": np.array([1.0, np.nan, 2.0])}, "price"),
        ({"low": np.array([1.0, 0.0, 2.0])}, "price"),
        ({"high": np.array([1.0, np.inf, 2.0])}, "price"),
        ({"volume": np.array([1.0, -1.0, 2.0])}, "volume"),
        ({"volume": np.array([1.0, np.nan, 2.0])}, "volume"),
        ({"ts_event_ns": np.array([0, 5, 5])}, "order"),
        ({"ts_event_ns": np.array([0.0, 5.0, 6.0])}, "order"),
        ({"timeframe": "7m"}, "timeframe"),
    ],
)
def test_bars_are_refused_when_a_column_breaks_a_rule(changes, rule: str) -> None:
    with pytest.raises(InvalidData) as caught:
        make(**changes)
    assert caught.value.rule == rule


def test_bars_close_one_timeframe_after_their_open() -> None:
    assert make().close_ns.tolist() == [MINUTE_NS, 2 * MINUTE_NS, 3 * MINUTE_NS]


def test_slice_keeps_bars_whose_open_lies_in_the_half_open_interval() -> None:
    bars = make()
    assert bars.slice(1, 2 * MINUTE_NS).ts_event_ns.tolist() == [MINUTE_NS]
    assert len(bars.slice(0, 0)) == 0
    assert len(bars.slice(9 * MINUTE_NS, 0)) == 0


def test_columns_cannot_be_written_and_the_callers_array_still_can() -> None:
    mine = np.array([1.0, 2.0, 3.0])
    bars = make(close=mine)
    with pytest.raises(ValueError, match="read-only"):
        bars.close[0] = 9.0
    mine[0] = 5.0
