"""The door to Alpaca's market data over REST: alpaca-py's client, paced, timed out, repeated."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec
import requests
from alpaca.common.exceptions import APIError
from alpaca.data.historical import CryptoHistoricalDataClient

from tradelake.decoding import convert
from tradelake.errors import Fatal, InvalidData, Throttled, TradelakeError, Transient
from tradelake.feed.backoff import full_jitter
from tradelake.ports import Clock

REQUESTS_A_MINUTE: Final = 200
ATTEMPTS: Final = 8
TIMEOUTS_S: Final = (5.0, 30.0)
_REMAINING: Final = "X-RateLimit-Remaining"
_RESET: Final = "X-RateLimit-Reset"
_RETRY_AFTER: Final = "Retry-After"
_LONGEST_RESET_S: Final = 120.0
"""Alpaca counts by the minute: a reset further away is a clock that is wrong."""
_Answer = TypeVar("_Answer")


class _Client(CryptoHistoricalDataClient):  # type: ignore[misc]  # alpaca-py is not type-checked here
    """The SDK's client with time-outs, which it lacks, and without its own silent sleeps."""

    timeouts_s = TIMEOUTS_S
    exhausted_until_s = 0.0
    """Seconds since 1970 before which the account has no request left."""

    def watch_limit(self) -> None:
        """Note of every answer when the account may ask again."""
        self._session.hooks["response"].append(self._note_limit)

    def _note_limit(self, response: requests.Response, **_: object) -> None:
        if response.headers.get(_REMAINING) == "0":
            self.exhausted_until_s = _number(response.headers.get(_RESET)) or 0.0

    def _one_request(self, method: str, url: str, opts: dict[str, Any], retry: int) -> Any:  # noqa: ANN401, ARG002
        return super()._one_request(method, url, opts | {"timeout": self.timeouts_s}, 0)


class AlpacaRest:
    """Asks for JSON, at most so often a minute; repeats what may succeed later.

    Parameters
    ----------
    clock : Clock
        Paces requests.
    key, secret : str or None
        Credentials; without them the rate limit is lower.
    url : str or None
        Another host, for instance of a simulator.
    requests_a_minute : int
        The account's limit.
    timeouts_s : tuple of float
        To connect, and between two pieces of an answer.
    patience_s : float
        Longest pause taken at once; where the account must pause longer, the caller is told.
    rng, sleep
        Jitter, and how to wait so many seconds.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        key: str | None = None,
        secret: str | None = None,
        url: str | None = None,
        requests_a_minute: int = REQUESTS_A_MINUTE,
        timeouts_s: tuple[float, float] = TIMEOUTS_S,
        patience_s: float = _LONGEST_RESET_S,
        rng: random.Random | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._client = _Client(key or None, secret or None, raw_data=True, url_override=url)
        self._client.timeouts_s = timeouts_s
        self._client.watch_limit()
        self._patience_s = patience_s
        self._rng = rng or random.Random()
        self._sleep = sleep
        self._interval_ns = 60 * 10**9 // requests_a_minute
        self._free_ns = 0

    def get(
        self,
        path: str,
        query: Mapping[str, object],
        kind: type[_Answer],
        *,
        attempts: int = ATTEMPTS,
    ) -> _Answer:
        """Return the answer to a request, as ``kind``.

        Raises
        ------
        Throttled
            The account must pause for longer than ``patience_s``.
        Transient
            The venue could not be reached, kept failing or asking for less.
        Fatal
            It refuses the request.
        InvalidData
            Rule ``history``: the answer is not what the API documents.
        """
        waits = full_jitter(self._rng, first_s=1.0, cap_s=30.0)
        for attempt in range(1, attempts + 1):
            self._pace()
            try:
                answer = self._client.get(path, dict(query))
            except (APIError, requests.RequestException) as error:
                translated = self._translate(error, path)
                if not isinstance(translated, Transient) or attempt == attempts:
                    raise translated from error
                self._wait(translated, next(waits))
                continue
            try:
                return convert(answer, kind)
            except msgspec.ValidationError as error:
                raise InvalidData("history", f"{path}: {error}") from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _pace(self) -> None:
        now_ns = self._clock.now_ns()
        exhausted_ns = round(self._client.exhausted_until_s * 1e9)
        if 0 < exhausted_ns - now_ns < _LONGEST_RESET_S * 1e9:
            pause_s = (exhausted_ns - now_ns) / 1e9
            self._wait(Throttled("Alpaca: no request is left in this minute", pause_s), 0.0)
            now_ns = self._clock.now_ns()
        if now_ns < self._free_ns:
            self._sleep((self._free_ns - now_ns) / 1e9)
        self._free_ns = max(now_ns, self._free_ns) + self._interval_ns

    def _wait(self, error: Transient, jitter_s: float) -> None:
        """Wait as long as the venue asks, or a jittered while; raise where that is too long."""
        asked_s = error.retry_after_s if isinstance(error, Throttled) else None
        if asked_s is not None and asked_s > self._patience_s:
            raise error
        self._sleep(jitter_s if asked_s is None else asked_s)

    def _translate(self, error: APIError | requests.RequestException, what: str) -> TradelakeError:
        if not isinstance(error, APIError):
            return Transient(f"{what}: {type(error).__name__}: {error}")
        status = error.status_code
        text = f"{what}: HTTP {status}: {str(error)[:300]}"
        if status == 429:
            headers = {} if error.response is None else error.response.headers
            return Throttled(text, self._asked_s(headers))
        return Transient(text) if status is None or status >= 500 else Fatal(text)

    def _asked_s(self, headers: Mapping[str, str]) -> float | None:
        """Seconds the venue asks to wait, by its headers; None where it does not say."""
        after_s = _number(headers.get(_RETRY_AFTER))
        reset_s = _number(headers.get(_RESET))
        if after_s is None and reset_s is not None:
            after_s = reset_s - self._clock.now_ns() / 1e9
        if after_s is None or not 0 <= after_s <= _LONGEST_RESET_S:
            return None
        return after_s


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
