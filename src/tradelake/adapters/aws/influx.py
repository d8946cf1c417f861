"""The hot store on Timestream for InfluxDB (v2): line protocol in, InfluxQL out.

A point is replaced by one of the same measurement, tags and time, whichever came last. So that a
late copy of an earlier revision never wins, a write first reads the stored revisions and leaves out
what they outrank. Two writers of the SAME bar at the same moment could still cross; the stream
hands one bucket's bars to one writer at a time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import urllib3

from tradelake.decoding import json_decoder
from tradelake.errors import Fatal, InvalidData, Throttled, Transient
from tradelake.market.records import Bar

MEASUREMENT: Final = "bars"
TAGS: Final = ("venue", "source", "channel", "symbol", "timeframe")
FLOATS: Final = ("open", "high", "low", "close", "volume", "vwap")
INTEGERS: Final = ("trades", "revision", "ts_ingest")
POINTS_A_WRITE: Final = 5_000
"""InfluxData's own recommendation for the size of a write."""
_TIMES_A_QUERY: Final = 500
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f]")

_Key = tuple[str, str, str, str, str, int]


def escape_tag(value: str) -> str:
    r"""Return a tag value as line protocol wants it.

    Commas, equals signs and spaces are escaped; a backslash before one of them, or at the end,
    would escape what follows, and control characters end the line, so both are refused.

    Raises
    ------
    InvalidData
        Rule ``tag``.

    >>> escape_tag("BTC/USD"), escape_tag("a b,c=d")
    ('BTC/USD', 'a\\ b\\,c\\=d')
    """
    if not value or "\\" in value or _UNSAFE.search(value):
        raise InvalidData("tag", f"expected text without backslash or control, found {value!r}")
    return value.replace(",", r"\,").replace("=", r"\=").replace(" ", r"\ ")


def line_of(venue: str, bar: Bar) -> str:
    """Return a bar as one line, without fields that are not finite: the protocol has no NaN."""
    tags = ",".join(
        f"{name}={escape_tag(value)}" for name, value in zip(TAGS, _tags(venue, bar), strict=True)
    )
    floats = {name: getattr(bar, name) for name in FLOATS}
    fields = [f"{name}={value!r}" for name, value in floats.items() if math.isfinite(value)]
    fields += [f"{name}={getattr(bar, name)}i" for name in INTEGERS]
    return f'{MEASUREMENT},{tags} {",".join(fields)},status="{bar.status}" {bar.ts_event}'


def _tags(venue: str, bar: Bar) -> tuple[str, ...]:
    return (venue, bar.source, bar.channel, bar.symbol, bar.timeframe)


def _quoted(text: str) -> str:
    """Return an InfluxQL string literal."""
    if _UNSAFE.search(text):
        raise InvalidData("tag", f"expected text without control characters, found {text!r}")
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class InfluxHotStore:
    """Bars on an InfluxDB v2 server.

    Parameters
    ----------
    url : str
        ``https://host:port``.
    org, bucket : str
        Where bars are kept. Reads use the database of the bucket's name, which v2 maps to it by
        itself.
    token : str
        Never logged.
    """

    def __init__(self, url: str, org: str, bucket: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._write_query = urlencode({"org": org, "bucket": bucket, "precision": "ns"})
        self._bucket = bucket
        self._headers = {"Authorization": f"Token {token}"}
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=3.0, read=10.0),
            retries=urllib3.Retry(2, allowed_methods=None, status_forcelist=(), backoff_factor=0.1),
        )

    def upsert_bars(self, venue: str, bars: Sequence[Bar]) -> None:
        """Write bars; of equal keys the latest revision, and none that a stored revision outranks.

        Raises
        ------
        Transient
            The server is busy or away.
        Fatal
            The server refuses: token, organisation, bucket or form.
        """
        latest: dict[_Key, Bar] = {}
        for bar in bars:
            key: _Key = (venue, bar.source, bar.channel, bar.symbol, bar.timeframe, bar.ts_event)
            if key not in latest or bar.revision >= latest[key].revision:
                latest[key] = bar
        stored = self._revisions(latest)
        lines = [
            line_of(venue, bar)
            for key, bar in latest.items()
            if bar.revision >= stored.get(key, bar.revision)
        ]
        for start in range(0, len(lines), POINTS_A_WRITE):
            body = "\n".join(lines[start : start + POINTS_A_WRITE]).encode()
            self._request("POST", f"/api/v2/write?{self._write_query}", body)

    def recent_bars(self, symbol: str, timeframe: str, limit: int) -> list[Bar]:
        """Return the latest ``limit`` bars of every venue, source and channel, oldest first."""
        rows = self._select(
            f"SELECT * FROM {MEASUREMENT} WHERE symbol = {_quoted(symbol)}"  # noqa: S608 - quoted
            f" AND timeframe = {_quoted(timeframe)} ORDER BY time DESC LIMIT {int(limit)}"
        )
        return [_bar_of(row) for row in reversed(rows)]

    def _revisions(self, wanted: Mapping[_Key, Bar]) -> dict[_Key, int]:
        """Stored revisions of the bars about to be written, read by series and time span."""
        spans: dict[tuple[str, ...], list[int]] = {}
        for key in wanted:
            spans.setdefault(key[:5], []).append(key[5])
        found: dict[_Key, int] = {}
        for tags, times in spans.items():
            for start in range(0, len(times), _TIMES_A_QUERY):
                chunk = sorted(times)[start : start + _TIMES_A_QUERY]
                where = " AND ".join(
                    f"{name} = {_quoted(value)}" for name, value in zip(TAGS, tags, strict=True)
                )
                rows = self._select(
                    f"SELECT revision FROM {MEASUREMENT} WHERE {where}"  # noqa: S608 - quoted
                    f" AND time >= {chunk[0]} AND time <= {chunk[-1]}"
                )
                for row in rows:
                    venue, source, channel, symbol, timeframe = tags
                    key = (venue, source, channel, symbol, timeframe, int(row["time"]))
                    found[key] = int(row["revision"])
        return found

    def _select(self, query: str) -> list[dict[str, Any]]:
        parameters = urlencode({"db": self._bucket, "epoch": "ns", "q": query})
        answer = json_decoder(dict[str, Any]).decode(self._request("GET", f"/query?{parameters}"))
        (result,) = answer["results"]
        if "error" in result:
            raise Fatal(f"InfluxDB refused {query!r}: {result['error']}")
        return [
            dict(zip(series["columns"], values, strict=True))
            for series in result.get("series", ())
            for values in series["values"]
        ]

    def _request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        what = f"{method} {path.partition('?')[0]} on {self._url}"
        try:
            answer = self._pool.request(method, self._url + path, body=body, headers=self._headers)
        except urllib3.exceptions.HTTPError as error:
            raise Transient(f"{what}: {error}") from error
        if answer.status == 429:
            retry_after = answer.headers.get("Retry-After", "")
            raise Throttled(f"{what}: busy", float(retry_after) if retry_after.isdigit() else None)
        if answer.status >= 500:
            raise Transient(f"{what}: {answer.status} {answer.data[:200]!r}")
        if answer.status >= 400:
            raise Fatal(f"{what}: {answer.status} {answer.data[:200]!r}")
        return answer.data


def _bar_of(row: Mapping[str, Any]) -> Bar:
    def number(name: str) -> float:
        return math.nan if row.get(name) is None else float(row[name])

    return Bar(
        symbol=row["symbol"],
        ts_event=int(row["time"]),
        ts_ingest=int(row["ts_ingest"]),
        open=number("open"),
        high=number("high"),
        low=number("low"),
        close=number("close"),
        volume=number("volume"),
        vwap=number("vwap"),
        trades=int(row["trades"]),
        timeframe=row["timeframe"],
        source=row["source"],
        channel=row["channel"],
        revision=int(row["revision"]),
        status=row["status"],
    )
