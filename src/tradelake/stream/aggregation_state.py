"""The aggregator's state as bytes: compressed MessagePack that fits into one DynamoDB item."""

from __future__ import annotations

import zlib
from itertools import groupby, pairwise
from typing import Final

import msgspec

from tradelake.decoding import msgpack_decoder
from tradelake.errors import InvalidData
from tradelake.market.timeframes import event_timeframe
from tradelake.stream.aggregation import Aggregator, Rules
from tradelake.stream.bar_series import BarSeries
from tradelake.stream.event_bars import EventBar, EventSeries
from tradelake.stream.identities import Identity, RecentTrades
from tradelake.stream.partial_bars import PartialBar, TradeKey
from tradelake.stream.positions import Positions

VERSION: Final = 2


class _StoredBar(msgspec.Struct, array_like=True, frozen=True):
    """A partial bar; its sums are decimal text, because MessagePack's integers end at 64 bits."""

    open_ns: int
    first: TradeKey
    last: TradeKey
    high: float
    low: float
    volume: str
    notional: str
    trades: int
    ts_ingest: int
    torn: bool


class _StoredSeries(msgspec.Struct, array_like=True, frozen=True):
    symbol: str
    timeframe: str
    floor_ns: int
    open: list[_StoredBar]
    closed: list[_StoredBar]


class _StoredEvents(msgspec.Struct, array_like=True, frozen=True):
    """An event series; sums as text, as above."""

    symbol: str
    timeframe: str
    last_ns: int
    uncertain: bool
    times: tuple[int, int, int] | None
    prices: tuple[float, float, float, float]
    volume: str
    notional: str
    trades: int
    torn: bool


class _StoredMinute(msgspec.Struct, array_like=True, frozen=True):
    """Midpoints of the quotes of one minute."""

    symbol: str
    open_ns: int
    first: TradeKey
    last: TradeKey
    high: float
    low: float
    ts_ingest: int


class _StoredIdentities(msgspec.Struct, array_like=True, frozen=True):
    """Identities of a symbol as columns; times as differences, which compress."""

    symbol: str
    first_ns: int
    steps_ns: list[int]
    trade_ids: list[int]


class _Stored(msgspec.Struct, array_like=True, frozen=True):
    positions: dict[int, int]
    forgotten_epoch: int
    watermark_ns: int
    heard_ns: int
    covered_from_ns: int | None
    timeframes: tuple[str, ...]
    since_ns: dict[str, int]
    horizon_ns: int
    identities: list[_StoredIdentities]
    series: list[_StoredSeries]
    events: list[_StoredEvents]
    minutes: list[_StoredMinute]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgpack_decoder(_Stored)


def encode_state(aggregator: Aggregator) -> bytes:
    """Return everything that later output depends on."""
    stored = _Stored(
        positions=aggregator.positions.last,
        forgotten_epoch=aggregator.positions.forgotten_epoch,
        watermark_ns=aggregator.watermark_ns,
        heard_ns=aggregator.heard_ns,
        covered_from_ns=aggregator.covered_from_ns,
        timeframes=aggregator.rules.timeframes,
        since_ns=aggregator.since_ns,
        horizon_ns=aggregator.recent.horizon_ns,
        identities=_store_identities(aggregator.recent.kept()),
        series=[
            _StoredSeries(
                symbol,
                timeframe,
                series.floor_ns,
                _store_bars(series.open, series.torn),
                _store_bars(series.closed, series.torn),
            )
            for (symbol, timeframe), series in sorted(aggregator.series.items())
        ],
        events=[_store_events(aggregator.events[key]) for key in sorted(aggregator.events)],
        minutes=[
            _StoredMinute(*key, part.first, part.last, part.high, part.low, part.ts_ingest)
            for key, part in aggregator.minutes.kept()
        ],
    )
    return bytes((VERSION,)) + zlib.compress(_ENCODER.encode(stored), 6)


def decode_state(data: bytes, rules: Rules) -> Aggregator:
    """Return the aggregator that :func:`encode_state` stored, going on under ``rules``.

    Raises
    ------
    InvalidData
        Rule ``state``: unknown version or damaged bytes.
    """
    if data[:1] != bytes((VERSION,)):
        raise InvalidData("state", f"expected version {VERSION}, found {data[:1].hex()!r}")
    try:
        stored = _DECODER.decode(zlib.decompress(memoryview(data)[1:]))
    except (zlib.error, msgspec.DecodeError) as error:
        raise InvalidData("state", f"expected stored bars, {len(data)} bytes: {error}") from error
    aggregator = Aggregator(rules)
    aggregator.positions = Positions(stored.positions, stored.forgotten_epoch)
    aggregator.watermark_ns = stored.watermark_ns
    aggregator.heard_ns = stored.heard_ns
    aggregator.covered_from_ns = stored.covered_from_ns
    aggregator.since_ns = {
        name: stored.since_ns[name] if name in stored.since_ns else stored.heard_ns + 1
        for name in rules.timeframes
        if name in stored.since_ns or name not in stored.timeframes
    }
    aggregator.recent = RecentTrades(
        _load_identities(stored.identities), stored.horizon_ns, rules.most_identities
    )
    for saved in stored.series:
        if saved.timeframe in rules.timeframes:
            aggregator.series[saved.symbol, saved.timeframe] = _load_series(aggregator, saved)
    for events in stored.events:
        if aggregator.builds(events.symbol, events.timeframe):
            aggregator.events[events.symbol, events.timeframe] = _load_events(events)
    _load_minutes(aggregator, stored.minutes)
    aggregator.find_next_due()
    return aggregator


def _load_series(aggregator: Aggregator, saved: _StoredSeries) -> BarSeries:
    series = BarSeries(aggregator.length_ns(saved.timeframe))
    series.floor_ns = saved.floor_ns
    series.open = {bar.open_ns: _load_bar(bar) for bar in saved.open}
    series.closed = {bar.open_ns: _load_bar(bar) for bar in saved.closed}
    series.torn = {bar.open_ns for bar in (*saved.open, *saved.closed) if bar.torn}
    return series


def _store_events(series: EventSeries) -> _StoredEvents:
    bar = series.bar
    return _StoredEvents(
        series.symbol,
        series.timeframe.name,
        series.last_ns,
        series.uncertain,
        None if bar is None else (bar.ts_event, bar.day_ns, bar.ts_ingest),
        (0.0, 0.0, 0.0, 0.0) if bar is None else (bar.open, bar.high, bar.low, bar.close),
        "" if bar is None else str(bar.volume),
        "" if bar is None else str(bar.notional),
        0 if bar is None else bar.trades,
        bar is not None and bar.torn,
    )


def _load_events(saved: _StoredEvents) -> EventSeries:
    timeframe = event_timeframe(saved.timeframe)
    if timeframe is None:
        raise InvalidData("state", f"expected an event timeframe, found {saved.timeframe!r}")
    series = EventSeries(saved.symbol, timeframe)
    series.last_ns, series.uncertain = saved.last_ns, saved.uncertain
    if saved.times is not None:
        ts_event, day_ns, ts_ingest = saved.times
        sums = (int(saved.volume), int(saved.notional))
        series.bar = EventBar(
            ts_event, day_ns, *saved.prices, *sums, saved.trades, ts_ingest, saved.torn
        )
    return series


def _load_minutes(aggregator: Aggregator, minutes: list[_StoredMinute]) -> None:
    """Put the minutes of quotes back."""
    for saved in minutes:
        sums = (0, 0, 0, saved.ts_ingest)
        part = PartialBar(saved.first, saved.last, saved.high, saved.low, *sums)
        aggregator.restore_minute((saved.symbol, saved.open_ns), part)


def _store_bars(bars: dict[int, PartialBar], torn: set[int]) -> list[_StoredBar]:
    return [
        _StoredBar(
            open_ns,
            bar.first,
            bar.last,
            bar.high,
            bar.low,
            str(bar.volume),
            str(bar.notional),
            bar.trades,
            bar.ts_ingest,
            open_ns in torn,
        )
        for open_ns, bar in sorted(bars.items())
    ]


def _load_bar(bar: _StoredBar) -> PartialBar:
    return PartialBar(
        bar.first,
        bar.last,
        bar.high,
        bar.low,
        int(bar.volume),
        int(bar.notional),
        bar.trades,
        bar.ts_ingest,
    )


def _store_identities(identities: list[Identity]) -> list[_StoredIdentities]:
    stored = []
    for symbol, group in groupby(identities, key=lambda identity: identity[0]):
        members = list(group)
        times = [ts_ns for _, ts_ns, _ in members]
        steps = [late - early for early, late in pairwise(times)]
        stored.append(_StoredIdentities(symbol, times[0], steps, [tid for *_, tid in members]))
    return stored


def _load_identities(stored: list[_StoredIdentities]) -> set[Identity]:
    identities = set()
    for group in stored:
        ts_ns = group.first_ns
        for step, trade_id in zip([0, *group.steps_ns], group.trade_ids, strict=True):
            ts_ns += step
            identities.add((group.symbol, ts_ns, trade_id))
    return identities
