"""What Alpaca's channels carried, over REST, record for record as the stream would have had it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from tradelake.adapters.alpaca.rest import AlpacaRest
from tradelake.adapters.alpaca.rest_bars import RestBar
from tradelake.errors import ConfigError, InvalidData
from tradelake.feed.messages import Int64
from tradelake.feed.occurrence import Occurrences
from tradelake.feed.timestamps import TimeReader, rfc3339
from tradelake.market.channels import BARS, DAILY_BARS, QUOTES, TRADES, UPDATED_BARS
from tradelake.market.records import Bar, Quote, Record, TakerSide, Trade
from tradelake.market.venues import VENUES
from tradelake.ports import Clock

PAGE_RECORDS: Final = 10_000
ATTEMPTS: Final = 2
TIMEOUTS_S: Final = (3.0, 8.0)
PATIENCE_S: Final = 4.0
"""With the time-outs: a page that fails is given up within about half a minute."""
_SIDES: Final[Mapping[str, TakerSide]] = {"B": "buy", "S": "sell", "": ""}
_BARS: Final = {BARS: ("1m", "1Min"), UPDATED_BARS: ("1m", "1Min"), DAILY_BARS: ("1d", "1Day")}
_RULE: Final = "history"


class _RawTrade(msgspec.Struct, gc=False):
    t: str
    i: Int64
    p: float
    s: float
    tks: str = ""


class _RawQuote(msgspec.Struct, gc=False):
    t: str
    bp: float
    bs: float
    ap: float
    as_: float = msgspec.field(name="as")


class _Page(msgspec.Struct):
    next_page_token: str | None = None
    trades: dict[str, list[_RawTrade] | None] = {}
    quotes: dict[str, list[_RawQuote] | None] = {}
    bars: dict[str, list[RestBar] | None] = {}


class AlpacaChannels:
    """A ``ChannelHistory`` on Alpaca's REST API.

    Parameters
    ----------
    venue : str
        Alpaca's location code.
    clock : Clock
        Gives ``ts_ingest``.
    rest : AlpacaRest
        Asks.
    page_records : int
        Records of all symbols in a page at most.
    """

    def __init__(
        self, venue: str, clock: Clock, rest: AlpacaRest, *, page_records: int = PAGE_RECORDS
    ) -> None:
        if venue not in VENUES:
            raise ConfigError(f"expected a venue among {', '.join(VENUES)}; found {venue!r}")
        self._prefix = f"/crypto/{venue}/"
        self._clock = clock
        self._rest = rest
        self._page_records = page_records

    def pages(
        self, channel: str, symbols: Sequence[str], start_ns: int, end_ns: int
    ) -> Iterator[list[Record]]:
        """Yield pages of records with ``start_ns <= ts_event < end_ns``, by symbol, then time.

        Raises
        ------
        ConfigError
            The channel has no history.
        Transient
            The venue kept failing or asking for less.
        Fatal
            It refuses the request.
        InvalidData
            Rule ``history``: a page is not what the API documents.
        """
        if channel not in (TRADES, QUOTES, *_BARS):
            raise ConfigError(f"expected a channel with history, found {channel!r}")
        if not symbols or start_ns >= end_ns:
            return
        query: dict[str, Any] = {
            "symbols": ",".join(sorted(symbols)),
            "start": rfc3339(max(0, start_ns)),
            "end": rfc3339(end_ns - 1),
            "limit": self._page_records,
            "sort": "asc",
        }
        path = f"{self._prefix}{channel}"
        if channel in _BARS:
            path = f"{self._prefix}{BARS}"
            query["timeframe"] = _BARS[channel][1]
        read = self._reader(channel)
        while True:
            page = self._rest.get(path, query, _Page, attempts=ATTEMPTS)
            records = read(page)
            if records:
                yield records
            if page.next_page_token is None:
                return
            if page.next_page_token == query.get("page_token"):
                raise InvalidData(_RULE, f"{path}: the same page token came twice")
            query["page_token"] = page.next_page_token

    def _reader(self, channel: str) -> Callable[[_Page], list[Record]]:
        times = TimeReader()
        seen: Occurrences[Quote] = Occurrences()

        def trade(symbol: str, raw: _RawTrade, now_ns: int) -> Trade:
            if raw.tks not in _SIDES:
                raise InvalidData(_RULE, f"{symbol} trade {raw.i}: taker side {raw.tks!r}")
            return Trade(symbol, times.ns(raw.t), now_ns, raw.i, raw.p, raw.s, _SIDES[raw.tks])

        def quote(symbol: str, raw: _RawQuote, now_ns: int) -> Quote:
            ts_event = times.ns(raw.t)
            return seen.numbered(Quote(symbol, ts_event, now_ns, raw.bp, raw.bs, raw.ap, raw.as_))

        def bar(symbol: str, raw: RestBar, now_ns: int) -> Bar:
            return raw.record(symbol, times.ns(raw.t), now_ns, _BARS[channel][0], channel)

        def rows(page: _Page) -> list[Record]:
            now_ns = self._clock.now_ns()
            if channel == TRADES:
                return [trade(s, raw, now_ns) for s, raws in _sorted(page.trades) for raw in raws]
            if channel == QUOTES:
                return [quote(s, raw, now_ns) for s, raws in _sorted(page.quotes) for raw in raws]
            return [bar(s, raw, now_ns) for s, raws in _sorted(page.bars) for raw in raws]

        return rows


def _sorted(page: Mapping[str, list[Any] | None]) -> Iterator[tuple[str, list[Any]]]:
    for symbol in sorted(page):
        yield symbol, page[symbol] or []
