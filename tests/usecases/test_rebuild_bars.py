"""Filled gaps give rebuilt bars, once the lake is whole; minutes that the venue counts more of."""

from dataclasses import replace

import msgspec
import pytest

from tests.functions.kinesis import StreamInMemory
from tests.functions.stores import StateInMemory
from tests.stream.offline_bars import offline_time_bars
from tradelake.errors import Conflict, Transient
from tradelake.market.records import Bar, Quote, Trade
from tradelake.market.symbols import bucket_of
from tradelake.ports import OPEN, ChannelFill, Fill, Gap
from tradelake.stream.aggregation import Rules
from tradelake.usecases.cross_check import CROSS_SOURCE, cross_check
from tradelake.usecases.rebuild_bars import RebuildParts, maintain_bars, rebuild, rebuild_gaps

S = 1_000_000_000
DAY = 1_723_075_200 * S
NOON = DAY + 12 * 3600 * S
RULES = Rules(("1s", "1m", "1h", "1d", "tick:2"), 2 * S)
FILLED = ChannelFill(status="filled")


class ManualClock:
    def __init__(self, now_ns):
        self.now = now_ns

    def now_ns(self):
        return self.now


class LedgerInMemory:
    def __init__(self, *gaps):
        self.kept = {gap.key: gap for gap in gaps}

    def record(self, gap):
        self.kept[gap.key] = gap

    def note_fill(self, gap, fill):
        key = gap.key
        if self.kept[key].fill != gap.fill:
            raise Conflict("somebody else")
        self.kept[key] = replace(gap, fill=fill)

    def gaps(self):
        return sorted(self.kept.values(), key=lambda gap: gap.opened_ns)


class TicksInMemory:
    def __init__(self, *records):
        self.records = list(records)

    def _of(self, kind, start_ns, end_ns):
        found = [one for one in self.records if isinstance(one, kind)]
        return [one for one in found if start_ns <= one.ts_event < end_ns]

    def symbols(self, venue, start_ns, end_ns):
        return sorted({one.symbol for one in self._of(Trade | Quote, start_ns, end_ns)})

    def trades(self, venue, symbol, start_ns, end_ns):
        return [one for one in self._of(Trade, start_ns, end_ns) if one.symbol == symbol]

    def quotes(self, venue, symbol, start_ns, end_ns):
        return [one for one in self._of(Quote, start_ns, end_ns) if one.symbol == symbol]

    def bars(self, venue, timeframe, start_ns, end_ns):
        return [one for one in self._of(Bar, start_ns, end_ns) if one.timeframe == timeframe]


def trade(at_s, trade_id, symbol="BTC/USD", size=0.5):
    at = NOON + round(at_s * S)
    return Trade(symbol, at, at + 5_000_000, trade_id, 100.0 + trade_id, size)


def quote(at_s, symbol="BTC/USD"):
    at = NOON + round(at_s * S)
    return Quote(symbol, at, at + 5_000_000, 99.0, 1.0, 101.0, 1.0)


def minute(at_s, trades, volume, source="alpaca", status="complete", revision=0):
    channel = "bars" if source == "alpaca" else "aggregate"
    prices = (100.0, 100.0, 100.0, 100.0)
    at = NOON + at_s * S
    rest = (volume, 100.0, trades, "1m", source, channel, revision, status)
    return Bar("BTC/USD", at, at + 60 * S, *prices, *rest)


def gap(opened_s=70, closed_s=100, symbols=("BTC/USD",), channels=("trades", "quotes"), **fills):
    filled = dict.fromkeys(channels, FILLED) | fills
    opened, closed = NOON + opened_s * S, NOON + closed_s * S
    return Gap(
        "us", opened, closed, channels, symbols, "disconnect", Fill(channels=filled, epoch=3)
    )


def parts(*records, gaps=(), now_s=86_400, reached_s=None, delivered=True, rules=RULES):
    now = NOON + now_s * S
    return RebuildParts(
        venue="us",
        ledger=LedgerInMemory(*gaps),
        ticks=TicksInMemory(*records),
        bars=StreamInMemory(),
        states=StateInMemory(),
        clock=ManualClock(now),
        rules=rules,
        is_delivered=lambda gap: delivered,
        whole_until_ns=lambda venue: now if reached_s is None else NOON + reached_s * S,
        buckets=16,
    )


def put(given):
    return [bar for batch in given.bars.batches() for bar in batch.records]


TAPE = [trade(n * 7.3, n) for n in range(40)] + [quote(130), quote(400), quote(4000)]


def test_every_time_bar_that_overlaps_a_filled_gap_is_rebuilt_and_the_gap_is_settled():
    given = parts(*TAPE, gaps=[gap()])
    outcome = rebuild_gaps(given)
    assert (outcome.settled, outcome.event_bars_due, outcome.waiting) == (1, 1, 0)
    assert given.ledger.gaps()[0].fill.settled
    trades = [one for one in TAPE if isinstance(one, Trade)]
    quotes = [one for one in TAPE if isinstance(one, Quote)]
    offline = offline_time_bars(trades, quotes, ("1s", "1m", "1h", "1d"))
    lengths = {"1s": S, "1m": 60 * S, "1h": 3600 * S, "1d": 86_400 * S}
    expected = {
        key: msgspec.structs.replace(bar, status="backfilled", revision=bar.revision + 1)
        for key, bar in offline.items()
        if key[2] + lengths[key[1]] > NOON + 40 * S and key[2] <= NOON + 102 * S
    }
    assert {(bar.symbol, bar.timeframe, bar.ts_event): bar for bar in put(given)} == expected


def test_every_part_of_an_interruption_is_rebuilt():
    tape = [*TAPE, trade(80, 99, symbol="ETH/USD")]
    both = (gap(), gap(channels=("trades",), symbols=("ETH/USD",)))
    given = parts(*tape, gaps=both)
    assert rebuild_gaps(given).settled == 2
    assert {bar.symbol for bar in put(given)} == {"BTC/USD", "ETH/USD"}


def test_rebuilt_bars_have_a_source_of_their_own_and_close_nothing():
    given = parts(*TAPE, gaps=[gap()])
    rebuild_gaps(given)
    (batch,) = given.bars.batches()
    bucket = bucket_of("BTC/USD", 16)
    assert (batch.source_key, batch.seq, batch.watermark_ns) == (
        f"backfill/us~rebuild/{bucket}",
        0,
        -(2**63),
    )


def test_bars_that_are_not_over_wait_and_no_bar_is_put_twice():
    given = parts(*TAPE, gaps=[gap()], now_s=300)
    assert rebuild_gaps(given).waiting == 1
    early = put(given)
    assert {bar.timeframe for bar in early} == {"1s", "1m"}
    assert rebuild_gaps(given).bars == 0
    given.clock.now = NOON + 86_400 * S
    later = replace(given, whole_until_ns=lambda venue: NOON + 86_400 * S)
    assert rebuild_gaps(later).settled == 1
    assert [bar.timeframe for bar in put(given)[len(early) :]] == ["1h", "1d"]


def test_bars_wait_for_the_lakes_watermark_but_not_for_ever():
    given = parts(*TAPE, gaps=[gap()], now_s=300, reached_s=10)
    assert rebuild_gaps(given).bars == 0
    given.clock.now = NOON + 2000 * S
    assert rebuild_gaps(given).bars > 0


@pytest.mark.parametrize("status", ["waiting", "filling"])
def test_a_gap_waits_for_its_backfill(status):
    given = parts(*TAPE, gaps=[gap(quotes=ChannelFill(status=status))])
    assert (rebuild_gaps(given).unfilled, put(given)) == (1, [])


def test_a_gap_waits_until_what_was_fetched_is_in_the_lake():
    given = parts(*TAPE, gaps=[gap()], delivered=False)
    assert (rebuild_gaps(given).unfilled, put(given)) == (1, [])


def test_an_open_gap_and_other_venues_gaps_are_left_alone():
    other = replace(gap(), venue="eu-1")
    given = parts(*TAPE, gaps=[replace(gap(), closed_ns=OPEN), other])
    assert rebuild_gaps(given).gaps == 0


def test_a_gap_without_trades_and_quotes_is_settled_at_once():
    given = parts(gaps=[gap(channels=("orderbooks",))])
    assert (rebuild_gaps(given).settled, put(given)) == (1, [])


def test_a_gap_of_every_symbol_rebuilds_those_the_lake_has():
    given = parts(trade(80, 1), trade(81, 2, "ETH/USD"), gaps=[gap(symbols=("*",))])
    rebuild_gaps(given)
    assert {bar.symbol for bar in put(given)} == {"BTC/USD", "ETH/USD"}


def test_nothing_is_noted_when_the_stream_refuses_and_the_next_run_does_it_all():
    given = parts(*TAPE, gaps=[gap()])
    given.bars.refuse_next()
    assert rebuild_gaps(given).stopped == "the stream refused"
    assert given.states.values == {}
    assert rebuild_gaps(given).settled == 1


def test_a_run_stops_at_its_time_and_the_next_goes_on():
    given = parts(*TAPE, gaps=[gap()])
    assert rebuild_gaps(given, stop_ns=given.clock.now).stopped
    assert rebuild_gaps(given).settled == 1


def test_a_gap_is_left_to_a_concurrent_run():
    given = parts(*TAPE, gaps=[gap()])
    given.states.before_save = lambda: rebuild_gaps(given)
    assert rebuild_gaps(given).lost == 1
    assert given.ledger.gaps()[0].fill.settled


def test_a_rebuild_on_demand_widens_to_whole_bars_and_gives_event_bars_by_the_day():
    given = parts(*TAPE)
    minutes = rebuild(given, "BTC/USD", "1m", NOON + 61 * S, NOON + 121 * S)
    assert [(bar.ts_event - NOON) // S for bar in minutes] == [60, 120]
    events = rebuild(given, "BTC/USD", "tick:2", NOON, NOON + 1)
    assert [bar.trades for bar in events] == [2] * 20
    assert put(given) == minutes + events


def test_a_rebuild_leaves_out_what_is_not_over():
    assert rebuild(parts(*TAPE, now_s=100), "BTC/USD", "1h", NOON, NOON + 1) == []


def test_minutes_in_which_the_venue_counts_more_open_a_gap_once():
    ours = [minute(0, 2, 1.0, "tradelake", revision=4), minute(60, 2, 1.0, "tradelake", revision=4)]
    given = parts(*ours, minute(0, 2, 1.0), minute(60, 3, 1.5), now_s=600)
    first = cross_check("us", given.ticks, given.ledger, given.clock)
    assert (first.minutes, first.equal, first.opened) == (2, 1, 1)
    (opened,) = given.ledger.gaps()
    assert (opened.opened_ns, opened.closed_ns) == (NOON + 60 * S, NOON + 120 * S)
    assert (opened.channels, opened.symbols) == (("trades",), ("BTC/USD",))
    again = cross_check("us", given.ticks, given.ledger, given.clock)
    assert (again.opened, again.known) == (0, 1)


def test_a_minute_that_we_lack_is_compared_where_we_listened_before():
    given = parts(
        minute(0, 9, 1.0), minute(60, 2, 1.0, "tradelake"), minute(120, 1, 0.5), now_s=600
    )
    assert cross_check("us", given.ticks, given.ledger, given.clock).opened == 1
    assert given.ledger.gaps()[0].opened_ns == NOON + 120 * S


def test_partial_bars_and_minutes_of_an_unsettled_gap_are_not_compared():
    partial = minute(0, 1, 0.1, "tradelake", status="partial")
    whole = minute(60, 1, 0.1, "tradelake")
    given = parts(
        partial, whole, minute(0, 5, 1.0), minute(60, 5, 1.0), gaps=[gap(0, 300)], now_s=600
    )
    outcome = cross_check("us", given.ticks, given.ledger, given.clock)
    assert (outcome.partial, outcome.known, outcome.opened) == (1, 1, 0)


def test_the_updated_bar_of_the_venue_and_our_newest_revision_are_compared():
    given = parts(
        minute(0, 2, 1.0), minute(0, 3, 1.5),
        minute(0, 2, 1.0, "tradelake", revision=4), minute(0, 3, 1.5, "tradelake", revision=6),
        now_s=600,
    )  # fmt: skip
    assert cross_check("us", given.ticks, given.ledger, given.clock).equal == 1


def test_a_rebuilt_minute_that_still_differs_is_flagged():
    given = parts(*TAPE, minute(60, 500, 999.0), gaps=[gap()])
    assert maintain_bars(given).rebuilt.flagged == 1
    found = [bar for bar in put(given) if bar.flags]
    assert [(bar.timeframe, bar.ts_event, bar.flags) for bar in found] == [
        ("1m", NOON + 60 * S, CROSS_SOURCE)
    ]


def test_a_transient_error_of_the_ledger_is_told():
    given = parts()
    given.ledger.gaps = lambda: (_ for _ in ()).throw(Transient("away"))
    with pytest.raises(Transient):
        rebuild_gaps(given)
