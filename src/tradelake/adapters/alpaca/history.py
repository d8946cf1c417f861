"""Historical bars over REST, through alpaca-py's client."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from tradelake.adapters.alpaca.rest import REQUESTS_A_MINUTE, AlpacaRest
from tradelake.adapters.alpaca.rest_bars import RestBar
from tradelake.errors import ConfigError
from tradelake.feed.timestamps import TimeReader, rfc3339
from tradelake.market.channels import HISTORY
from tradelake.market.records import Bar
from tradelake.market.venues import VENUES
from tradelake.ports import Clock

PAGE_BARS: Final = 10_000
_TIMEFRAMES: Final = {
    "1m": "1Min",
    "5m": "5Min",
    "15m": "15Min",
    "1h": "1Hour",
    "4h": "4Hour",
    "1d": "1Day",
}


class _Page(msgspec.Struct):
    bars: dict[str, list[RestBar] | None]
    next_page_token: str | None = None


class AlpacaHistory:
    """A ``MarketHistory`` on Alpaca's REST API.

    Parameters
    ----------
    venue : str
        Alpaca's location code.
    clock : Clock
        Gives ``ts_ingest``.
    key, secret : str or None
        Credentials; without them the rate limit is lower.
    url : str or None
        Another host, for instance of a simulator.
    requests_a_minute : int
        The account's limit.
    rng, sleep
        Jitter, and how to wait so many seconds.
    """

    def __init__(
        self,
        venue: str,
        clock: Clock,
        *,
        key: str | None = None,
        secret: str | None = None,
        url: str | None = None,
        requests_a_minute: int = REQUESTS_A_MINUTE,
        rng: random.Random | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if venue not in VENUES:
            raise ConfigError(f"expected a venue among {', '.join(VENUES)}; found {venue!r}")
        self._path = f"/crypto/{venue}/bars"
        self._clock = clock
        self._rest = AlpacaRest(
            clock,
            key=key,
            secret=secret,
            url=url,
            requests_a_minute=requests_a_minute,
            rng=rng,
            sleep=sleep,
        )

    def bars(
        self, symbols: Sequence[str], timeframe: str, start_ns: int, end_ns: int
    ) -> Iterator[list[Bar]]:
        """Yield pages of bars with ``start_ns <= ts_event < end_ns``, sorted by symbol, then time.

        Raises
        ------
        ConfigError
            Alpaca has no such timeframe.
        Transient
            The venue kept failing or asking for less.
        Fatal
            It refuses the request.
        InvalidData
            Rule ``history``: a page is not what the API documents.
        """
        if timeframe not in _TIMEFRAMES:
            raise ConfigError(
                f"expected a timeframe among {', '.join(_TIMEFRAMES)}; found {timeframe!r}"
            )
        if not symbols or start_ns >= end_ns:
            return
        query: dict[str, Any] = {
            "symbols": ",".join(sorted(symbols)),
            "timeframe": _TIMEFRAMES[timeframe],
            "start": rfc3339(start_ns),
            "end": rfc3339(end_ns - 1),
            "limit": PAGE_BARS,
            "sort": "asc",
        }
        times = TimeReader()
        while True:
            page = self._rest.get(self._path, query, _Page)
            now_ns = self._clock.now_ns()
            bars = [
                raw.record(symbol, times.ns(raw.t), now_ns, timeframe, HISTORY)
                for symbol in sorted(page.bars)
                for raw in page.bars[symbol] or ()
            ]
            if bars:
                yield bars
            if page.next_page_token is None:
                return
            query["page_token"] = page.next_page_token
