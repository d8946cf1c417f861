"""Historical bars over REST, through alpaca-py's client."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import requests
from alpaca.common.exceptions import APIError
from alpaca.data.historical import CryptoHistoricalDataClient

from tradelake.errors import ConfigError, Fatal, InvalidData, Throttled, TradelakeError, Transient
from tradelake.feed.backoff import full_jitter
from tradelake.feed.decode import bar_revision
from tradelake.feed.messages import Int64
from tradelake.feed.timestamps import TimeReader, rfc3339
from tradelake.market.channels import HISTORY
from tradelake.market.records import Bar
from tradelake.market.timeframes import timeframe_ns
from tradelake.market.venues import VENUES
from tradelake.ports import Clock

PAGE_BARS: Final = 10_000
REQUESTS_A_MINUTE: Final = 200
ATTEMPTS: Final = 8
_TIMEOUTS_S: Final = (5.0, 30.0)
_TIMEFRAMES: Final = {
    "1m": "1Min",
    "5m": "5Min",
    "15m": "15Min",
    "1h": "1Hour",
    "4h": "4Hour",
    "1d": "1Day",
}


class _RawBar(msgspec.Struct):
    t: str
    o: float
    h: float
    l: float  # noqa: E741 - the protocol's key
    c: float
    v: float
    n: Int64
    vw: float


class _Page(msgspec.Struct):
    bars: dict[str, list[_RawBar] | None]
    next_page_token: str | None = None


class _Client(CryptoHistoricalDataClient):  # type: ignore[misc]  # alpaca-py is not type-checked here
    """The SDK's client with time-outs, which it lacks, and without its own silent sleeps."""

    def _one_request(self, method: str, url: str, opts: dict[str, Any], retry: int) -> Any:  # noqa: ANN401, ARG002
        return super()._one_request(method, url, opts | {"timeout": _TIMEOUTS_S}, 0)


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
        self._client = _Client(key, secret, raw_data=True, url_override=url)
        self._rng = rng or random.Random()
        self._sleep = sleep
        self._interval_ns = 60 * 10**9 // requests_a_minute
        self._free_ns = 0

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
            page = self._page(query)
            now_ns = self._clock.now_ns()
            bars = [
                _bar(symbol, raw, times.ns(raw.t), now_ns, timeframe)
                for symbol in sorted(page.bars)
                for raw in page.bars[symbol] or ()
            ]
            if bars:
                yield bars
            if page.next_page_token is None:
                return
            query["page_token"] = page.next_page_token

    def _page(self, query: Mapping[str, Any]) -> _Page:
        waits = full_jitter(self._rng, first_s=1.0, cap_s=30.0)
        for attempt in range(1, ATTEMPTS + 1):
            self._pace()
            try:
                answer = self._client.get(self._path, dict(query))
            except (APIError, requests.RequestException) as error:
                translated = _translate(error, self._path)
                if not isinstance(translated, Transient) or attempt == ATTEMPTS:
                    raise translated from error
                self._sleep(next(waits))
                continue
            try:
                return msgspec.convert(answer, _Page)
            except msgspec.ValidationError as error:
                raise InvalidData("history", f"{self._path}: {error}") from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _pace(self) -> None:
        now_ns = self._clock.now_ns()
        if now_ns < self._free_ns:
            self._sleep((self._free_ns - now_ns) / 1e9)
        self._free_ns = max(now_ns, self._free_ns) + self._interval_ns


def _bar(symbol: str, raw: _RawBar, ts_event: int, now_ns: int, timeframe: str) -> Bar:
    unfinished = now_ns < ts_event + timeframe_ns(timeframe)
    return Bar(
        symbol,
        ts_event,
        now_ns,
        raw.o,
        raw.h,
        raw.l,
        raw.c,
        raw.v,
        raw.vw,
        raw.n,
        timeframe,
        "alpaca",
        HISTORY,
        bar_revision(raw.o, raw.h, raw.l, raw.c, raw.v, raw.vw, raw.n),
        "partial" if unfinished else "complete",
    )


def _translate(error: APIError | requests.RequestException, what: str) -> TradelakeError:
    if not isinstance(error, APIError):
        return Transient(f"{what}: {type(error).__name__}: {error}")
    status = error.status_code
    text = f"{what}: HTTP {status}: {str(error)[:300]}"
    if status == 429:
        return Throttled(text)
    return Transient(text) if status is None or status >= 500 else Fatal(text)
