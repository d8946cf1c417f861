"""What the venue's refusals mean: which are for good, and how long the others want us to wait."""

from __future__ import annotations

import email.utils
import math
from collections.abc import Mapping
from typing import Final

from tradelake.feed.timestamps import SECOND_NS

MALFORMED: Final = 400
SYMBOL_LIMIT: Final = 405
CONNECTION_LIMIT: Final = 406
SLOW_CLIENT: Final = 407
ALREADY_AUTHENTICATED: Final = 403
FATAL: Final = {
    MALFORMED: "the request is malformed or names an invalid symbol",
    402: "authentication failed: check the key and secret of this account and environment",
    409: "the account's plan does not include this feed",
    410: "a channel is not available in this feed",
    411: "the key's scope does not allow this feed",
}
"""Codes after which trying again would be wrong, with what they mean to a reader of the log."""

HTTP_TOO_MANY: Final = 429
HTTP_FATAL: Final = {
    400: "the address or a header is not understood",
    401: "authentication failed: check the key and secret of this account and environment",
    403: "the account may not use this feed",
    404: "there is no feed at this address",
}
"""Answers to the upgrade request after which trying again would be wrong."""

LONGEST_HOLD_S: Final = 3600.0
_RESET: Final = "x-ratelimit-reset"
_RETRY_AFTER: Final = "retry-after"


def hold_s(headers: Mapping[str, str], now_ns: int) -> float | None:
    """Return how many seconds the headers of a 429 ask to wait; None when they do not say.

    ``X-RateLimit-Reset`` (seconds since 1970 UTC) and ``Retry-After`` (seconds or an HTTP date)
    are read, whatever their case; the longer wins. The answer is between 0 s and an hour.

    >>> hold_s({"X-RateLimit-Reset": "1700000030"}, 1_700_000_000 * 10**9)
    30.0
    >>> hold_s({"Retry-After": "7"}, 0)
    7.0
    """
    said = {name.lower(): value.strip() for name, value in headers.items()}
    now_s = now_ns / SECOND_NS
    waits = []
    reset = _number(said.get(_RESET))
    if reset is not None:
        waits.append(reset - now_s)
    after = said.get(_RETRY_AFTER)
    seconds = _number(after)
    if seconds is not None:
        waits.append(seconds)
    elif after is not None and (date_s := _http_date_s(after)) is not None:
        waits.append(date_s - now_s)
    if not waits:
        return None
    return min(max(0.0, *waits), LONGEST_HOLD_S)


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _http_date_s(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
