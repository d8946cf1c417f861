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

from tradelake.errors import Fatal, InvalidData, Throttled, TradelakeError, Transient
from tradelake.feed.backoff import full_jitter
from tradelake.ports import Clock

REQUESTS_A_MINUTE: Final = 200
ATTEMPTS: Final = 8
TIMEOUTS_S: Final = (5.0, 30.0)
_Answer = TypeVar("_Answer")


class _Client(CryptoHistoricalDataClient):  # type: ignore[misc]  # alpaca-py is not type-checked here
    """The SDK's client with time-outs, which it lacks, and without its own silent sleeps."""

    timeouts_s = TIMEOUTS_S

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
        rng: random.Random | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._client = _Client(key or None, secret or None, raw_data=True, url_override=url)
        self._client.timeouts_s = timeouts_s
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
                translated = _translate(error, path)
                if not isinstance(translated, Transient) or attempt == attempts:
                    raise translated from error
                self._sleep(next(waits))
                continue
            try:
                return msgspec.convert(answer, kind)
            except msgspec.ValidationError as error:
                raise InvalidData("history", f"{path}: {error}") from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _pace(self) -> None:
        now_ns = self._clock.now_ns()
        if now_ns < self._free_ns:
            self._sleep((self._free_ns - now_ns) / 1e9)
        self._free_ns = max(now_ns, self._free_ns) + self._interval_ns


def _translate(error: APIError | requests.RequestException, what: str) -> TradelakeError:
    if not isinstance(error, APIError):
        return Transient(f"{what}: {type(error).__name__}: {error}")
    status = error.status_code
    text = f"{what}: HTTP {status}: {str(error)[:300]}"
    if status == 429:
        return Throttled(text)
    return Transient(text) if status is None or status >= 500 else Fatal(text)
