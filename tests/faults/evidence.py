"""Reads from the lake what the account needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tests.faults.identities import Identity, quarantined_identity
from tests.faults.plain_bars import Key, PlainBar
from tests.faults.reconcile import LakeContent
from tradelake.lake.reader import LakeReader
from tradelake.market.channels import ORDERBOOKS, QUOTES, TRADES

_TRANSPORT = ("venue", "lane", "epoch", "bucket", "seq", "position")


def lake_content(reader: LakeReader) -> LakeContent:
    """Return what the lake holds of the venue's messages."""
    rows: Counter[Identity] = Counter()
    flags: dict[Identity, str] = {}
    for identity, found in _rows(reader):
        rows[identity] += 1
        if found:
            flags[identity] = found
    kept = _quarantine(reader)
    unidentified = [row["raw"] for row in kept if quarantined_identity(row["raw"]) is None]
    quarantined = Counter(filter(None, (quarantined_identity(row["raw"]) for row in kept)))
    transports = Counter(tuple(row[name] for name in _TRANSPORT) for row in kept)
    for raw in unidentified:
        quarantined["unknown", raw] += 1
    return LakeContent(
        rows,
        flags,
        _bar_states(reader),
        quarantined,
        sum(count - 1 for count in transports.values()),
    )


def our_bars(reader: LakeReader) -> dict[Key, PlainBar]:
    """Return the newest revision of every bar the pipeline built."""
    found: dict[Key, tuple[int, PlainBar]] = {}
    for row in _select(
        reader,
        "SELECT symbol, timeframe, ts_event_ns, revision, open, high, low, close, volume, vwap,"
        " trades FROM bars WHERE source = 'tradelake'",
    ):
        key = (row["symbol"], row["timeframe"], row["ts_event_ns"])
        bar = PlainBar(
            row["open"],
            row["high"],
            row["low"],
            row["close"],
            row["volume"],
            row["vwap"] or 0.0,
            row["trades"],
        )
        if key not in found or row["revision"] > found[key][0]:
            found[key] = (row["revision"], bar)
    return {key: bar for key, (_, bar) in found.items()}


def _rows(reader: LakeReader) -> Iterator[tuple[Identity, str]]:
    for row in _select(reader, "SELECT symbol, ts_event_ns, trade_id, flags FROM trades"):
        yield (TRADES, row["symbol"], row["ts_event_ns"], row["trade_id"]), row["flags"]
    for row in _select(
        reader,
        "SELECT symbol, ts_event_ns, bid, bid_size, ask, ask_size, occurrence, flags FROM quotes",
    ):
        yield (QUOTES, *list(row.values())[:-1]), row["flags"]
    for row in _select(reader, "SELECT symbol, ts_event_ns, content, occurrence, flags FROM books"):
        yield (ORDERBOOKS, *list(row.values())[:-1]), row["flags"]
    for row in _select(
        reader,
        "SELECT channel, symbol, timeframe, ts_event_ns, revision, flags FROM bars"
        # history has a running day as it is when asked, which may never have been published
        " WHERE source = 'alpaca' AND NOT (channel = 'dailyBars' AND lane = 'backfill')",
    ):
        yield tuple(list(row.values())[:-1]), row["flags"]


def _bar_states(reader: LakeReader) -> dict[tuple[str, str, int], int]:
    return {
        (row["symbol"], row["timeframe"], row["ts_event_ns"]): row["most"]
        for row in _select(
            reader,
            "SELECT symbol, timeframe, ts_event_ns, max(coalesce(trades, 0))::BIGINT AS most"
            " FROM bars WHERE source = 'alpaca' GROUP BY ALL",
        )
    }


def _quarantine(reader: LakeReader) -> list[Mapping[str, Any]]:
    return _select(reader, f"SELECT {', '.join(_TRANSPORT)}, raw FROM quarantine")


def _select(reader: LakeReader, query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = reader.sql(query).to_pylist()
    return rows
