"""Looks at data before a run uses it: gaps, double stamps, no volume, impossible ranges, crossings.

What is found is refused, masked (left out) or flagged, as configured, and stands in the result.
Nothing is filled in or repaired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tradelake.errors import ConfigError, InvalidData
from tradelake.market.arrays import PRICE_COLUMNS, BarArrays, IntArray
from tradelake.market.timeframes import event_timeframe, timeframe_ns

Action: TypeAlias = Literal["refuse", "mask", "flag"]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
Columns: TypeAlias = Mapping[str, npt.NDArray[np.generic]]

ACTIONS: Final = ("refuse", "mask", "flag")


@dataclass(frozen=True, slots=True)
class Screen:
    """What is done about data that is not as it should be.

    ``refuse`` fails the run, ``mask`` leaves the row out for strategy and venue alike, ``flag``
    uses it and says so.

    Parameters
    ----------
    gaps : {"flag", "refuse"}
        Bars that are missing between two; there is no row to mask.
    duplicates : {"refuse", "mask"}
        Rows whose stamp is not above that of the row before; masked, the first stays. Of ticks,
        which may share a stamp, rows that go back.
    zero_volume : {"flag", "refuse", "mask"}
        Bars in which nothing was traded.
    ranges : {"refuse", "mask", "flag"}
        Bars whose high or low does not span open and close; numbers that are none.
    crossed : {"refuse", "mask", "flag"}
        Quotes and books whose bid is above their ask.

    Raises
    ------
    ConfigError
        Another word.
    """

    gaps: Action = "flag"
    duplicates: Action = "refuse"
    zero_volume: Action = "flag"
    ranges: Action = "refuse"
    crossed: Action = "refuse"

    def __post_init__(self) -> None:
        for field in fields(self):
            offered = [one for one in ACTIONS if (field.name, one) not in _SENSELESS]
            if getattr(self, field.name) not in offered:
                raise ConfigError(
                    f"screen.{field.name}: expected one of {', '.join(offered)}; "
                    f"found {getattr(self, field.name)!r}"
                )


_SENSELESS: Final = {("gaps", "mask"), ("duplicates", "flag")}


@dataclass(frozen=True, slots=True)
class Finding:
    """Rows of one symbol that broke one rule, and what was done about them.

    Attributes
    ----------
    symbol, rule : str
        Rule as in :class:`Screen`.
    action : {"mask", "flag"}
        Refused data has no result to stand in.
    rows : int
        How many; of gaps, how many bars are missing.
    first_ns : int
        Stamp of the first one.
    """

    symbol: str
    rule: str
    action: str
    rows: int
    first_ns: int

    def __str__(self) -> str:
        done = {"mask": "masked", "flag": "flagged"}[self.action]
        what = {"gaps": "missing bars"}.get(self.rule, f"rows ({self.rule})")
        first = np.datetime64(self.first_ns, "ns").astype("datetime64[s]")
        return f"{self.symbol}: {self.rows} {what} {done}, the first at {first}Z"


class Inspection:
    """Applies a screen to the rows of one symbol and remembers what it found."""

    def __init__(self, symbol: str, ts_ns: IntArray, screen: Screen) -> None:
        self.symbol = symbol
        self.findings: list[Finding] = []
        self.kept: BoolArray = np.ones(len(ts_ns), np.bool_)
        self._ts_ns = ts_ns
        self._screen = screen

    def judge(self, rule: str, bad: BoolArray, rows: int | None = None) -> None:
        """Refuse, mask or flag the bad rows that are still there.

        Raises
        ------
        InvalidData
            Rule by its name, where it is to be refused; names symbol, stamp and count.
        """
        bad = bad & self.kept
        if not bad.any():
            return
        where = int(np.argmax(bad))
        first_ns, action = int(self._ts_ns[where]), getattr(self._screen, rule)
        count = int(np.count_nonzero(bad)) if rows is None else rows
        if action == "refuse":
            raise InvalidData(
                rule,
                f"{self.symbol}: expected {_EXPECTED[rule]}; found {count} that break it, "
                f"the first at row {where}, {first_ns} ns (screen.{rule} can allow it)",
            )
        if action == "mask":
            self.kept &= ~bad
        self.findings.append(Finding(self.symbol, rule, action, count, first_ns))


_EXPECTED: Final = {
    "gaps": "no bar to be missing",
    "duplicates": "every stamp to be later than the one before",
    "zero_volume": "a volume above 0",
    "ranges": "finite positive prices with low <= open, close <= high, and a volume of 0 or more",
    "crossed": "a bid that is not above its ask",
}


def backwards(ts_ns: IntArray, *, equal: bool) -> BoolArray:
    """Return which stamps are below the latest one before them; with ``equal``, or equal to it."""
    bad = np.zeros(len(ts_ns), np.bool_)
    if len(ts_ns):
        before = np.maximum.accumulate(ts_ns)[:-1]
        bad[1:] = ts_ns[1:] <= before if equal else ts_ns[1:] < before
    return bad


def screen_bars(
    symbol: str, timeframe: str, columns: Columns, screen: Screen, snapshot_id: str = ""
) -> tuple[BarArrays, tuple[Finding, ...]]:
    """Return the bars that may be used, and what was found.

    Parameters
    ----------
    symbol, timeframe : str
        Of the bars; of event bars gaps are not known.
    columns : mapping
        ``ts_ns`` (opens), ``open``, ``high``, ``low``, ``close``, ``volume`` of equal length; of
        event bars also ``over_ns``.
    screen : Screen
        What is done about what is found.
    snapshot_id : str
        Of the data.

    Raises
    ------
    InvalidData
        Data that is to be refused.
    """
    ts_ns = np.asarray(columns["ts_ns"], dtype=np.int64)
    numbers = {name: np.asarray(columns[name], np.float64) for name in (*PRICE_COLUMNS, "volume")}
    look = Inspection(symbol, ts_ns, screen)
    look.judge("duplicates", backwards(ts_ns, equal=True))
    look.judge("ranges", ~_spans(numbers))
    look.judge("zero_volume", numbers["volume"] == 0.0)
    over_ns = columns.get("over_ns")
    if event_timeframe(timeframe) is None:
        _gaps(look, ts_ns, timeframe_ns(timeframe))
    kept = look.kept
    bars = BarArrays(
        symbol=symbol,
        timeframe=timeframe,
        ts_event_ns=ts_ns[kept],
        snapshot_id=snapshot_id,
        over_ns=None if over_ns is None else np.asarray(over_ns, np.int64)[kept],
        **{name: column[kept] for name, column in numbers.items()},
    )
    return bars, tuple(look.findings)


def _spans(numbers: Mapping[str, npt.NDArray[np.float64]]) -> BoolArray:
    open_, high, low, close = (numbers[name] for name in PRICE_COLUMNS)
    with np.errstate(invalid="ignore"):
        whole: BoolArray = (
            (low > 0.0)
            & (low <= np.minimum(open_, close))
            & (high >= np.maximum(open_, close))
            & np.isfinite(high)
            & (numbers["volume"] >= 0.0)
            & np.isfinite(numbers["volume"])
        )
    return whole


def _gaps(look: Inspection, ts_ns: IntArray, length_ns: int) -> None:
    """Gaps between the rows that are kept; a bar that was masked does not count as missing."""
    present = np.flatnonzero(~backwards(ts_ns, equal=True))
    apart = np.diff(ts_ns[present]) // length_ns - 1
    bad = np.zeros(len(ts_ns), np.bool_)
    bad[present[1:][apart > 0]] = True
    look.judge("gaps", bad, int(apart[apart > 0].sum()))


def inspect_bars(bars: BarArrays, screen: Screen) -> tuple[BarArrays, tuple[Finding, ...]]:
    """Return :func:`screen_bars` of bars that are columns already."""
    columns: dict[str, npt.NDArray[np.generic]] = {
        "ts_ns": bars.ts_event_ns,
        **{name: getattr(bars, name) for name in (*PRICE_COLUMNS, "volume")},
    }
    if bars.over_ns is not None:
        columns["over_ns"] = bars.over_ns
    return screen_bars(bars.symbol, bars.timeframe, columns, screen, bars.snapshot_id)


def screen_all(
    columns: Sequence[BarArrays], screen: Screen
) -> tuple[list[BarArrays], tuple[Finding, ...]]:
    """Return :func:`inspect_bars` of several symbols."""
    looked = [inspect_bars(bars, screen) for bars in columns]
    return [bars for bars, _ in looked], tuple(one for _, found in looked for one in found)
