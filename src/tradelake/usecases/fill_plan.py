"""Which requests fill an interval, in which order, and where to go on after an interruption. Pure.

Long intervals are cut into hours, oldest first, so that progress shows and a resumed run repeats
little. A cursor names an instant of a symbol, not a venue's page token, which may have expired by
then: the symbol is fetched from that instant on, then the symbols after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from tradelake.decoding import json_decoder
from tradelake.market.channels import BARS, DAILY_BARS, TRADES, UPDATED_BARS
from tradelake.market.records import Record, Unreadable
from tradelake.market.timeframes import SECOND_NS, timeframe_ns

SLICE_NS: Final = 3_600 * SECOND_NS
_LENGTHS_NS: Final[Mapping[str, int]] = {
    BARS: timeframe_ns("1m"),
    UPDATED_BARS: timeframe_ns("1m"),
    DAILY_BARS: timeframe_ns("1d"),
}
Interval = tuple[int, int]
"""[start, end) of ``ts_event``, ns since 1970 UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """By how much intervals are widened, and how long history takes to settle; seconds.

    Parameters
    ----------
    before_s, after_s : float
        Clocks differ, and what a venue had sent may have been in flight.
    late_trades_s : float
        A trade is published so long after it happened at most: a gap may have lost one from
        before.
    updates_s : float
        A minute bar is published again so long after its minute at most.
    settle_s, settle_bars_s : float
        How long after a gap its history is not asked for.
    """

    before_s: float = 2.0
    after_s: float = 2.0
    late_trades_s: float = 30.0
    updates_s: float = 60.0
    settle_s: float = 5.0
    settle_bars_s: float = 60.0

    def settle_of(self, channel: str) -> int:
        """Return how long a channel's history takes to settle, ns."""
        return _ns(self.settle_bars_s if channel in _LENGTHS_NS else self.settle_s)

    def widened(self, channel: str, opened_ns: int, closed_ns: int) -> Interval:
        """Return the interval of ``ts_event`` that holds what was published between two times.

        A bar is published when it ends, so it opened one timeframe before; only those that end
        inside are asked for. A day's bar is published every minute of its day: every day that the
        interval touches is asked for, the one that goes on as well.

        >>> Margins().widened("bars", 600 * 10**9, 660 * 10**9)
        (538000000000, 602000000001)
        """
        before_s = self.before_s
        if channel == TRADES:
            before_s += self.late_trades_s
        if channel == UPDATED_BARS:
            before_s += self.updates_s
        length_ns = _LENGTHS_NS.get(channel, 0)
        start_ns, last_ns = opened_ns - _ns(before_s), closed_ns + _ns(self.after_s)
        if channel == DAILY_BARS:
            return start_ns - start_ns % length_ns, last_ns - last_ns % length_ns + 1
        return start_ns - length_ns, last_ns + 1 - length_ns


MARGINS: Final = Margins()


def _ns(seconds: float) -> int:
    return round(seconds * SECOND_NS)


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Everything before ``ts_ns`` of ``symbol``, in the slice that starts so, is done."""

    slice_ns: int
    symbol: str
    ts_ns: int

    def text(self) -> str:
        """Return it as kept in the ledger."""
        return msgspec.json.encode(self).decode()


@dataclass(frozen=True, slots=True)
class Request:
    """Symbols, sorted, and an interval to fetch; ``slice_ns`` names its slice in cursors."""

    symbols: tuple[str, ...]
    start_ns: int
    end_ns: int
    slice_ns: int

    def done(self) -> str:
        """Return the cursor after all of it."""
        return Cursor(self.slice_ns, self.symbols[-1], self.end_ns).text()


def requests(interval: Interval, symbols: Sequence[str], cursor: str) -> Iterator[Request]:
    """Yield the requests that are left after a cursor; an empty one means: all.

    >>> hour = 3_600 * 10**9
    >>> [(r.symbols, r.start_ns // hour) for r in requests((0, 2 * hour), ["B", "A"], "")]
    [(('A', 'B'), 0), (('A', 'B'), 1)]
    >>> left = requests((0, 2 * hour), ["B", "A"], Cursor(0, "A", 7).text())
    >>> [(r.symbols, r.start_ns) for r in left][:2]
    [(('A',), 7), (('B',), 0)]
    """
    done = json_decoder(Cursor).decode(cursor) if cursor else None
    ordered = tuple(sorted(set(symbols)))
    start_ns, end_ns = interval
    for slice_ns in range(start_ns, end_ns, SLICE_NS):
        until_ns = min(slice_ns + SLICE_NS, end_ns)
        if done is None or slice_ns > done.slice_ns:
            yield Request(ordered, slice_ns, until_ns, slice_ns)
        elif slice_ns == done.slice_ns:
            if done.symbol in ordered and done.ts_ns < until_ns:
                yield Request((done.symbol,), done.ts_ns, until_ns, slice_ns)
            after = tuple(symbol for symbol in ordered if symbol > done.symbol)
            if after:
                yield Request(after, slice_ns, until_ns, slice_ns)


def whole_instants(
    request: Request, pages: Iterable[Sequence[Record]]
) -> Iterator[tuple[list[Record], str]]:
    """Yield pages that never end inside an instant of a symbol, each with the cursor after it.

    The records of a page's last instant are held back for the next page: equal quotes of one
    instant are numbered from its start, so a resumed run must begin with the first of them.
    """
    held: list[Record] = []
    for page in pages:
        records = [*held, *page]
        if not records:
            continue
        last = _instant(records[-1])
        cut = len(records)
        while cut and _instant(records[cut - 1]) == last:
            cut -= 1
        held = records[cut:]
        if cut:
            yield records[:cut], Cursor(request.slice_ns, *last).text()
    if held:
        symbol, ts_ns = _instant(held[-1])
        yield held, Cursor(request.slice_ns, symbol, ts_ns + 1).text()


def _instant(record: Record) -> tuple[str, int]:
    assert not isinstance(record, Unreadable)
    return record.symbol, record.ts_event
