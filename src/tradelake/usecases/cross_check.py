"""Compare our minute bars with the venue's: where it counts more, something escaped us unnoticed.

The venue publishes bars of its own beside the trades. A minute in which its bar has more trades or
volume than ours is a gap that nobody saw open: it is written into the ledger, the backfill fetches
the minute again, and our bar is rebuilt. A rebuilt bar that still differs carries the flag
``cross_source``. Where ours counts more there is nothing to fetch.

Bars that we know to be partial are not compared: a gap of theirs is in the ledger already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from tradelake.market.channels import TRADES
from tradelake.market.records import Bar
from tradelake.market.timeframes import SECOND_NS, TIMEFRAMES, bar_open_ns
from tradelake.ports import Clock, Gap, GapLedger, TickSource

MINUTE: Final = "1m"
CROSS_SOURCE: Final = "cross_source"
CAUSE: Final = "cross-source"
WINDOW_S: Final = 3_600.0
DELAY_S: Final = 300.0
"""Of the newest minutes our trades and the venue's updates are still on their way to the lake."""
MOST_GAPS: Final = 100
"""Opened in one run at most: a difference everywhere is a mistake of ours, not so many gaps."""
_TOLERANCE: Final = 1e-9
_MINUTE_NS: Final = TIMEFRAMES[MINUTE]

MinuteKey = tuple[str, int]
"""(symbol, open of the minute in ns)."""


class Checked(msgspec.Struct, kw_only=True):
    """What one run found.

    Parameters
    ----------
    minutes : int
        Minute bars of the venue that were compared.
    equal : int
        Ours counts as much, or more.
    partial : int
        Not compared: ours is partial.
    opened : int
        Gaps opened.
    known : int
        Minutes that differ and have a gap in the ledger that is being worked on.
    unexplained : int
        Minutes that differ although such a gap was filled and settled.
    postponed : int
        Gaps left to a later run, because ``MOST_GAPS`` were opened.
    """

    minutes: int = 0
    equal: int = 0
    partial: int = 0
    opened: int = 0
    known: int = 0
    unexplained: int = 0
    postponed: int = 0


def cross_check(
    venue: str,
    ticks: TickSource,
    ledger: GapLedger,
    clock: Clock,
    *,
    window_s: float = WINDOW_S,
    delay_s: float = DELAY_S,
) -> Checked:
    """Compare the minutes that ended up to ``delay_s`` ago, and open gaps where ours lacks trades.

    A minute in which we have no bar at all is compared where we have an earlier one of the symbol
    in the window: we listened.

    Parameters
    ----------
    venue : str
        Whose bars.
    ticks, ledger, clock
        The ports.
    window_s : float
        How long an interval is compared.
    delay_s : float
        How long ago it ends.
    """
    end_ns = bar_open_ns(clock.now_ns() - round(delay_s * SECOND_NS), _MINUTE_NS)
    start_ns = bar_open_ns(end_ns - round(window_s * SECOND_NS), _MINUTE_NS)
    bars = ticks.bars(venue, MINUTE, start_ns, end_ns)
    ours, first_ns = _our_minutes(bars)
    gaps = [gap for gap in ledger.gaps() if gap.venue == venue]
    outcome = Checked()
    for key, theirs in sorted(venue_minutes(bars).items()):
        own = ours.get(key)
        if key[1] < first_ns.get(key[0], end_ns):
            continue
        if own is not None and own.status == "partial":
            outcome.partial += 1
            continue
        outcome.minutes += 1
        if counts_more(theirs, own):
            _open_gap(Gap(*_gap_of(venue, key)), gaps, ledger, outcome)
        else:
            outcome.equal += 1
    return outcome


def counts_more(theirs: Bar, ours: Bar | None) -> bool:
    """Whether the venue's bar has trades or volume that ours lacks."""
    if ours is None:
        return theirs.trades > 0 or theirs.volume > 0
    slack = _TOLERANCE * max(theirs.volume, ours.volume)
    return theirs.trades > ours.trades or theirs.volume > ours.volume + slack


def venue_minutes(bars: Iterable[Bar]) -> dict[MinuteKey, Bar]:
    """Return the venue's own minute bars; of several versions the one that counts most."""
    minutes: dict[MinuteKey, Bar] = {}
    for bar in bars:
        if bar.source == "tradelake" or bar.timeframe != MINUTE:
            continue
        key = (bar.symbol, bar.ts_event)
        known = minutes.get(key)
        if known is None or (bar.trades, bar.volume) > (known.trades, known.volume):
            minutes[key] = bar
    return minutes


def flagged(bar: Bar, minutes: Mapping[MinuteKey, Bar]) -> Bar:
    """Return our rebuilt bar, flagged when the venue's bar of that minute counts more."""
    theirs = minutes.get((bar.symbol, bar.ts_event)) if bar.timeframe == MINUTE else None
    if theirs is None or not counts_more(theirs, bar):
        return bar
    return msgspec.structs.replace(bar, flags=CROSS_SOURCE)


def _our_minutes(bars: Iterable[Bar]) -> tuple[dict[MinuteKey, Bar], dict[str, int]]:
    """Return our bars in their newest revision, and the first open of each symbol."""
    ours: dict[MinuteKey, Bar] = {}
    first_ns: dict[str, int] = {}
    for bar in bars:
        if bar.source != "tradelake":
            continue
        key = (bar.symbol, bar.ts_event)
        known = ours.get(key)
        if known is None or bar.revision > known.revision:
            ours[key] = bar
        first_ns[bar.symbol] = min(first_ns.get(bar.symbol, bar.ts_event), bar.ts_event)
    return ours, first_ns


def _gap_of(venue: str, key: MinuteKey) -> tuple[str, int, int, tuple[str], tuple[str], str]:
    """Return a gap's fields. Its cause holds no counts: it is the same in every run."""
    symbol, open_ns = key
    cause = f"{CAUSE}: the venue's bar of {symbol} counts more"
    return venue, open_ns, open_ns + _MINUTE_NS, (TRADES,), (symbol,), cause


def _open_gap(gap: Gap, gaps: list[Gap], ledger: GapLedger, outcome: Checked) -> None:
    same = [one for one in gaps if one.key == gap.key]
    if same:
        outcome.unexplained += same[0].fill.settled
        outcome.known += not same[0].fill.settled
    elif any(_covers(one, gap) for one in gaps):
        outcome.known += 1
    elif outcome.opened >= MOST_GAPS:
        outcome.postponed += 1
    else:
        ledger.record(gap)
        outcome.opened += 1


def _covers(one: Gap, gap: Gap) -> bool:
    """Whether a gap that is being worked on holds all of another."""
    return (
        not one.fill.settled
        and TRADES in one.channels
        and ("*" in one.symbols or gap.symbols[0] in one.symbols)
        and one.opened_ns <= gap.opened_ns
        and (not one.closed_ns or one.closed_ns >= gap.closed_ns)
    )
