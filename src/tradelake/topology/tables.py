"""Lake tables: columns, types, identity and partitioning. Every schema is rendered from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

ColumnType = Literal[
    "string", "int32", "int64", "float64", "bool", "binary", "timestamptz", "levels"
]
"""``timestamptz``: microseconds UTC; ``levels``: list<struct<price: float64, size: float64>>."""

Transform = Literal["identity", "hour", "day", "month"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: name, type, whether it may be null, and its meaning with unit."""

    name: str
    type: ColumnType
    doc: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A lake table.

    Parameters
    ----------
    name : str
        Name inside the environment's namespace.
    columns : tuple of Column
        In order; the position is the stable Iceberg field id.
    identity : tuple of str
        Columns that together say "the same datum"; a second row with equal values is a duplicate.
    time : str
        Column by which rows are sorted and expired.
    lookup : str
        Column by which a possible duplicate is looked up: rows of equal identity are equal here.
    partition : tuple of (str, Transform)
        Iceberg partition fields.
    doc : str
        What a row is.
    """

    name: str
    columns: tuple[Column, ...]
    identity: tuple[str, ...]
    time: str
    lookup: str
    partition: tuple[tuple[str, Transform], ...]
    doc: str

    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)


_VENUE = Column("venue", "string", "Alpaca location code: us, us-1, eu-1, or the recorded venue")
_SYMBOL = Column("symbol", "string", "pair, base/quote, for instance BTC/USD")
_TIME = (
    Column("ts_event", "timestamptz", "venue time, UTC, microseconds"),
    Column("ts_event_ns", "int64", "venue time, ns since 1970 UTC, exact"),
)
_INGEST = Column("ts_ingest_ns", "int64", "first seen by us, ns since 1970 UTC")
_TRANSPORT = (
    Column("lane", "string", "live, backfill or history: which way the row came"),
    Column("origin", "string", "ingester or process of the venue; empty for the only ingester"),
    Column("epoch", "int64", "fence of the ingester's lease"),
    Column("bucket", "int32", "symbol bucket"),
    Column("seq", "int64", "sequence of the micro-batch in (lane, epoch, bucket)"),
)

_FLAGS = Column(
    "flags",
    "string",
    "quality rules that found it odd, sorted, joined by commas; null where none did",
    required=False,
)

TRADES: Final = Table(
    "trades",
    (
        _VENUE,
        _SYMBOL,
        *_TIME,
        _INGEST,
        Column("trade_id", "int64", "the venue's trade id"),
        Column("price", "float64", "quote units per base unit"),
        Column("size", "float64", "base units"),
        Column(
            "taker_side", "string", "buy or sell; null where the venue does not say", required=False
        ),
        *_TRANSPORT,
        _FLAGS,
    ),
    ("venue", "symbol", "trade_id", "ts_event_ns"),
    "ts_event",
    "ts_event",
    (("ts_event", "day"),),
    "one executed trade",
)

QUOTES: Final = Table(
    "quotes",
    (
        _VENUE,
        _SYMBOL,
        *_TIME,
        _INGEST,
        Column("bid", "float64", "best bid, quote units"),
        Column("bid_size", "float64", "base units"),
        Column("ask", "float64", "best ask, quote units"),
        Column("ask_size", "float64", "base units"),
        Column(
            "occurrence", "int32", "0 for the first of equal quotes at one instant, then 1, 2, ..."
        ),
        *_TRANSPORT,
        _FLAGS,
    ),
    ("venue", "symbol", "ts_event_ns", "bid", "bid_size", "ask", "ask_size", "occurrence"),
    "ts_event",
    "ts_event",
    (("ts_event", "day"),),
    "one change of the best bid or ask",
)

BOOKS: Final = Table(
    "books",
    (
        _VENUE,
        _SYMBOL,
        *_TIME,
        _INGEST,
        Column("bids", "levels", "changed bid levels; size 0 removes the level"),
        Column("asks", "levels", "changed ask levels; size 0 removes the level"),
        Column("reset", "bool", "true: the levels are the whole book"),
        Column("content", "int64", "hash of the levels, part of the identity"),
        Column(
            "occurrence", "int32", "0 for the first of equal updates at one instant, then 1, 2, ..."
        ),
        *_TRANSPORT,
        _FLAGS,
    ),
    ("venue", "symbol", "ts_event_ns", "content", "occurrence"),
    "ts_event",
    "ts_event",
    (("ts_event", "day"),),
    "one order-book update: a reset or a delta",
)

BARS: Final = Table(
    "bars",
    (
        _VENUE,
        _SYMBOL,
        Column("source", "string", "whose bar it is: alpaca or tradelake"),
        Column("channel", "string", "bars, updatedBars, dailyBars, history or aggregate"),
        Column("timeframe", "string", "1s 1m 5m 15m 1h 4h 1d, or tick:100 volume:0.5 dollar:1000"),
        *_TIME,
        Column("ts_available_ns", "int64", "from when a decision may use it, ns since 1970 UTC"),
        Column("open", "float64", "quote units"),
        Column("high", "float64", "quote units"),
        Column("low", "float64", "quote units"),
        Column("close", "float64", "quote units"),
        Column("volume", "float64", "base units"),
        Column("vwap", "float64", "quote units; null where nothing traded", required=False),
        Column(
            "trades",
            "int64",
            "number of trades; null where the source does not say",
            required=False,
        ),
        Column(
            "revision",
            "int64",
            "follows from content: twice our trades, one more when rebuilt; Alpaca's content hash",
        ),
        Column("status", "string", "complete, partial or backfilled"),
        *_TRANSPORT,
        _FLAGS,
    ),
    ("venue", "symbol", "source", "channel", "timeframe", "ts_event_ns", "revision"),
    "ts_event",
    "ts_event",
    (("timeframe", "identity"), ("ts_event", "month")),
    "one revision of one bar; ts_event is the bar's open",
)

BOOK_SNAPSHOTS: Final = Table(
    "book_snapshots",
    (
        _VENUE,
        _SYMBOL,
        *_TIME,
        _INGEST,
        Column("bids", "levels", "best bid levels of the book we built, best first"),
        Column("asks", "levels", "best ask levels of the book we built, best first"),
        Column("updates", "int64", "updates of this book since its last reset"),
        *_TRANSPORT,
        _FLAGS,
    ),
    ("venue", "symbol", "ts_event_ns", "updates", "origin", "epoch"),
    "ts_event",
    "ts_event",
    (("ts_event", "day"),),
    "the top of an order book at an instant",
)

INSTRUMENTS: Final = Table(
    "instruments",
    (
        _VENUE,
        _SYMBOL,
        *_TIME,
        _INGEST,
        Column("event", "string", "listed, changed, halted, resumed, delisted or renamed"),
        Column("status", "string", "the venue's status of the asset: active or inactive"),
        Column("tradable", "bool", "whether orders are accepted"),
        Column("min_order_size", "string", "base units, decimal as the venue wrote it"),
        Column("min_trade_increment", "string", "base units, decimal as the venue wrote it"),
        Column("price_increment", "string", "quote units, decimal as the venue wrote it"),
        Column("renamed_to", "string", "the symbol that follows this one", required=False),
        *_TRANSPORT,
        _FLAGS,
    ),
    ("venue", "symbol", "ts_event_ns", "event"),
    "ts_event",
    "ts_event",
    (("ts_event", "month"),),
    "a change of an asset: holds from ts_event until the symbol's next row",
)

DERIVED: Final = Table(
    "derived",
    (
        _VENUE,
        _SYMBOL,
        *_TIME,
        _INGEST,
        Column("transform", "string", "name of the transform that made it"),
        Column("fields", "string", "JSON object"),
        Column("ordinal", "int32", "tells records of one transform, symbol and instant apart"),
        *_TRANSPORT,
        _FLAGS,
    ),
    (
        *("venue", "symbol", "transform", "ts_event_ns", "ordinal"),
        *("lane", "origin", "epoch", "bucket", "seq"),
    ),
    "ts_event",
    "ts_event",
    (("ts_event", "day"),),
    "what a user's transform made of one record",
)

QUARANTINE: Final = Table(
    "quarantine",
    (
        _VENUE,
        _SYMBOL,
        Column("channel", "string", "channel of the record, or unknown"),
        *_TIME,
        _INGEST,
        Column("rule", "string", "name of the broken rule"),
        Column("reason", "string", "what was expected and what was found"),
        Column("raw", "binary", "the record as it came, replayable"),
        Column("position", "int32", "index of the record in its micro-batch"),
        *_TRANSPORT,
    ),
    ("venue", "lane", "origin", "epoch", "bucket", "seq", "position"),
    "ts_event",
    "ts_event",
    (("ts_event", "day"),),
    "one record that broke a rule; ts_event is the receipt where the record has no believable time",
)

TRIALS: Final = Table(
    "trials",
    (
        Column("run_id", "string", "hash of the manifest: the same run has the same id"),
        Column("sweep_id", "string", "which fan-out it belongs to"),
        Column("strategy", "string", "name of the strategy"),
        Column("symbol", "string", "pair, base/quote; several of one run with commas"),
        Column("timeframe", "string", "bar timeframe"),
        Column("params", "string", "JSON object of the parameters"),
        Column("start_ns", "int64", "first bar's open, ns since 1970 UTC"),
        Column("end_ns", "int64", "last bar's close, ns since 1970 UTC"),
        Column("bars", "int64", "bars seen, of all symbols"),
        Column("status", "string", "succeeded or failed"),
        Column("error", "string", "what failed, with strategy, time and order", required=False),
        Column("total_return", "float64", "fraction", required=False),
        Column("cagr", "float64", "fraction a year", required=False),
        Column("volatility", "float64", "fraction a year", required=False),
        Column("sharpe", "float64", "annualised, 365 days", required=False),
        Column("sortino", "float64", "annualised, 365 days", required=False),
        Column("max_drawdown", "float64", "fraction, negative", required=False),
        Column("turnover", "float64", "traded notional over mean equity", required=False),
        Column("fees", "float64", "quote units", required=False),
        Column("trades", "int64", "closed round trips", required=False),
        Column("manifest", "string", "JSON: data snapshot, code, specification with all terms"),
        Column("result_uri", "string", "object with equity and trades"),
        Column("recorded", "timestamptz", "when the collector appended it"),
    ),
    ("run_id", "sweep_id"),
    "recorded",
    "sweep_id",
    (("recorded", "month"),),
    "one backtest that was run, good or bad: the number of trials is true",
)

TABLES: Final = (
    TRADES,
    QUOTES,
    BOOKS,
    BARS,
    BOOK_SNAPSHOTS,
    INSTRUMENTS,
    DERIVED,
    QUARANTINE,
    TRIALS,
)
