"""All kinds of bars at once equal those computed offline, whatever happens to the stream."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stream.offline_bars import DAY as DAY_LENGTH
from tests.stream.offline_bars import offline_event_bars, offline_time_bars
from tradelake.errors import InvalidData
from tradelake.market.records import Quote, Trade
from tradelake.market.timeframes import TIMEFRAMES, bar_over_ns, event_timeframe, plan_bars
from tradelake.stream.aggregation import Aggregator, Rules
from tradelake.stream.aggregation_state import decode_state, encode_state
from tradelake.stream.envelope import FINAL_WATERMARK, NO_WATERMARK, Batch
from tradelake.stream.positions import MOST_EPOCHS
from tradelake.stream.rebuilding import TimeBars, event_bars_of_day

S = 1_000_000_000
DAY = 1_723_075_200 * S
TIMES = tuple(TIMEFRAMES)
EVENTS = ("tick:3", "volume:0.5", "dollar:100")
RULES = Rules((*TIMES, *EVENTS), 2 * S)
SYMBOLS = ("BTC/USD", "ETH/USD")


def trade(at_s, trade_id, price=100.0, size=1.0, symbol="BTC/USD", ahead_s=0.0):
    at = DAY + round(at_s * S)
    return Trade(symbol, at, at + 5_000_000 - round(ahead_s * S), trade_id, price, size)


def quote(at_s, bid, ask, occurrence=0, symbol="BTC/USD"):
    at = DAY + round(at_s * S)
    return Quote(symbol, at, at + 7_000_000, bid, 1.0, ask, 1.0, occurrence)


def batch(seq, *records, watermark_s=None, epoch=1):
    watermark = NO_WATERMARK if watermark_s is None else DAY + round(watermark_s * S)
    return Batch("live", "us", epoch, 0, seq, watermark, list(records))


def final(seq, epoch=1):
    return msgspec.structs.replace(batch(seq, epoch=epoch), watermark_ns=FINAL_WATERMARK)


def started(rules=RULES):
    aggregator = Aggregator(rules)
    aggregator.apply(batch(0, watermark_s=-DAY / S))
    return aggregator


def newest(bars):
    """The newest revision of each time bar, by (symbol, timeframe, open)."""
    found = {}
    for bar in bars:
        if bar.timeframe in TIMEFRAMES:
            key = (bar.symbol, bar.timeframe, bar.ts_event)
            assert key not in found or found[key].revision < bar.revision
            found[key] = bar
    return found


def event_bars(bars, symbol, timeframe):
    return [bar for bar in bars if (bar.symbol, bar.timeframe) == (symbol, timeframe)]


SIZES = st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.7])
SECONDS = st.integers(0, 200_000).map(lambda ms: ms / 1000)
TRADES = st.lists(
    st.builds(
        trade,
        SECONDS,
        st.integers(0, 5),
        st.sampled_from([99.9, 100.0, 100.1]),
        SIZES,
        st.sampled_from(SYMBOLS),
        st.sampled_from([0.0, 0.0, 3.0]),
    ),
    max_size=40,
    unique_by=lambda one: (one.symbol, one.ts_event, one.trade_id),
)
QUOTES = st.lists(
    st.builds(
        quote,
        SECONDS,
        st.sampled_from([0.0, 99.0, 99.5]),
        st.sampled_from([100.0, 100.25]),
        st.integers(0, 2),
        st.sampled_from(SYMBOLS),
    ),
    max_size=20,
)


@st.composite
def deliveries(draw):
    """Records in one order of receipt, cut, with repeats and batches of an older epoch between."""
    records = draw(st.permutations(draw(TRADES) + draw(QUOTES)))
    new, old, made = [], [], []
    for record in records:
        if draw(st.integers(0, 5)) == 0:
            old.append(record)
            made.append(batch(len(old) - 1, record, epoch=0, watermark_s=10**6))
        elif new and draw(st.booleans()):
            new[-1].records.append(record)
        else:
            new.append(batch(len(new) + 1, record))
            made.append(new[-1])
        if draw(st.integers(0, 3)) == 0:
            made.append(draw(st.sampled_from(made)))
    return [*made, final(len(new) + 1)]


def in_order(batches):
    """Records in the order of their first receipt."""
    seen, records = set(), []
    for one in batches:
        if one.position not in seen:
            seen.add(one.position)
            records += one.records
    return records


@given(deliveries(), st.data())
def test_bars_equal_those_computed_offline_however_the_stream_was_cut_and_repeated(batches, data):
    aggregator, bars = started(), []
    for one in batches:
        bars += aggregator.apply(one)
        if data.draw(st.booleans()):
            aggregator = decode_state(encode_state(aggregator), RULES)
    records = in_order(batches)
    trades = [record for record in records if isinstance(record, Trade)]
    quotes = [record for record in records if isinstance(record, Quote)]
    found = {
        key: msgspec.structs.replace(bar, status="complete") for key, bar in newest(bars).items()
    }
    assert found == offline_time_bars(trades, quotes, TIMES)
    for symbol in SYMBOLS:
        of_symbol = [one for one in trades if one.symbol == symbol]
        for timeframe in EVENTS:
            expected = offline_event_bars(of_symbol, timeframe)
            assert event_bars(bars, symbol, timeframe) == expected


@given(TRADES, QUOTES, st.data())
def test_rebuilt_time_bars_equal_those_of_the_stream(trades, quotes, data):
    offline = offline_time_bars(trades, quotes, TIMES)
    for symbol in SYMBOLS:
        made = TimeBars(symbol, TIMEFRAMES, TIMEFRAMES["1m"])
        made.add_trades(data.draw(st.permutations([t for t in trades if t.symbol == symbol])))
        if made.lacks_trades(DAY, DAY + DAY_LENGTH):
            made.add_quotes(data.draw(st.permutations([q for q in quotes if q.symbol == symbol])))
        found = {
            (bar.symbol, name, bar.ts_event): bar
            for name in TIMES
            for bar in made.bars(name, (DAY, DAY + DAY_LENGTH))
        }
        assert found == {
            key: msgspec.structs.replace(bar, status="backfilled", revision=bar.revision + 1)
            for key, bar in offline.items()
            if key[0] == symbol
        }


def test_a_minute_of_quotes_alone_has_a_bar_of_midpoints_without_volume():
    bars = started(Rules(("1s", "1m"), 2 * S))
    quotes = [quote(1, 99, 101), quote(5, 101, 103), quote(50, 97, 99, 1), quote(50, 98, 100, 0)]
    (bar,) = bars.apply(batch(1, *quotes, watermark_s=62))
    assert (bar.open, bar.high, bar.low, bar.close) == (100.0, 102.0, 98.0, 98.0)
    assert (bar.timeframe, bar.volume, bar.vwap, bar.trades, bar.revision) == ("1m", 0, 0, 0, 0)
    assert bar.status == "complete"


def test_a_quote_with_an_empty_side_makes_no_bar():
    bars = started(Rules(("1m",), 2 * S))
    assert bars.apply(batch(1, quote(1, 0.0, 101), watermark_s=62)) == []


def test_a_late_quote_never_revises_and_a_late_trade_takes_the_place_of_midpoints():
    bars = started(Rules(("1m",), 2 * S))
    bars.apply(batch(1, quote(1, 99, 101), watermark_s=62))
    assert bars.apply(batch(2, quote(2, 199, 201), watermark_s=63)) == []
    (revised,) = bars.apply(batch(3, trade(3, 1, 50.0), watermark_s=63))
    assert (revised.open, revised.high, revised.trades, revised.revision) == (50.0, 50.0, 1, 2)


def test_no_bar_is_made_of_quotes_when_the_rules_say_none():
    bars = started(Rules(("1m",), 2 * S, quotes_from_ns=None))
    assert bars.apply(batch(1, quote(1, 99, 101), watermark_s=90)) == []


def test_a_quoted_minute_is_partial_when_the_epoch_rose_in_it_and_not_when_it_was_over():
    bars = started(Rules(("1m",), 2 * S))
    bars.apply(batch(1, quote(1, 99, 101), quote(61, 99, 101), watermark_s=61))
    made = bars.apply(batch(0, watermark_s=300, epoch=2))
    assert [(bar.ts_event - DAY, bar.status) for bar in made] == [
        (0, "complete"),
        (60 * S, "partial"),
    ]


def test_an_older_epoch_adds_trades_but_moves_no_watermark_and_tears_nothing():
    bars = started(Rules(("1m",), 2 * S))
    bars.apply(batch(0, trade(70, 1), watermark_s=70, epoch=2))
    stale = batch(1, trade(80, 2), watermark_s=10**6, epoch=1)
    assert bars.apply(stale) == []
    assert bars.apply(stale) == []
    (bar,) = bars.apply(batch(1, watermark_s=200, epoch=2))
    assert (bar.trades, bars.counts.stale, bars.counts.repeats) == (2, 1, 1)


def test_a_final_watermark_of_an_older_epoch_closes_nothing():
    bars = started(Rules(("1m",), 2 * S))
    bars.apply(batch(0, trade(70, 1), watermark_s=70, epoch=2))
    assert bars.apply(final(5, epoch=1)) == []


def test_epochs_beyond_the_newest_are_forgotten_and_counted():
    bars = started(Rules(("1m",), 2 * S))
    for epoch in range(2, MOST_EPOCHS + 3):
        bars.apply(batch(0, epoch=epoch))
    assert bars.apply(batch(9, trade(1, 1), epoch=1)) == []
    assert bars.apply(batch(9, trade(1, 1), epoch=3)) == []
    assert (bars.counts.forgotten, bars.counts.trades) == (1, 1)


def test_trades_that_could_be_duplicates_are_left_out_and_counted():
    bars = started(Rules(("1m",), 2 * S))
    bars.apply(batch(1, trade(1, 1), watermark_s=1000))
    bars.apply(batch(2, trade(1, 1), trade(2, 2), watermark_s=1000))
    assert (bars.counts.trades, bars.counts.too_late) == (1, 2)


def test_event_bars_end_with_the_trade_that_reaches_the_threshold():
    bars = started(Rules(("volume:10",), 2 * S))
    made = bars.apply(batch(1, trade(1, 1, size=6), trade(2, 2, size=7), trade(3, 3, size=9)))
    (bar,) = made
    assert (bar.ts_event, bar.volume, bar.trades, bar.revision) == (DAY + S, 13.0, 2, 4)
    assert bars.apply(batch(2, trade(4, 4, size=1)))[0].ts_event == DAY + 3 * S


def test_event_bars_times_grow_strictly_when_trades_are_late_or_at_one_instant():
    bars = started(Rules(("tick:1",), 2 * S))
    made = bars.apply(batch(1, trade(5, 1), trade(5, 2), trade(4, 3)))
    assert [bar.ts_event - DAY for bar in made] == [5 * S, 5 * S + 1, 5 * S + 2]


def test_every_day_begins_new_event_bars():
    bars = started(Rules(("tick:2",), 2 * S))
    made = bars.apply(batch(1, trade(86_399, 1), trade(86_400, 2), trade(86_401, 3)))
    assert [(bar.ts_event - DAY, bar.trades) for bar in made] == [(86_399 * S, 1), (86_400 * S, 2)]


def test_an_event_bar_is_partial_when_the_epoch_rose_while_it_was_open():
    bars = started(Rules(("tick:2",), 2 * S))
    bars.apply(batch(1, trade(1, 1), watermark_s=1))
    made = bars.apply(batch(0, *(trade(n, n) for n in range(2, 7)), watermark_s=9, epoch=2))
    assert [bar.status for bar in made] == ["partial", "complete", "complete"]


def test_a_symbols_own_threshold_replaces_the_general_one():
    bars = started(Rules(("tick:2", "tick:ETH/USD=1"), 2 * S))
    made = bars.apply(batch(1, trade(1, 1), trade(2, 2, symbol="ETH/USD"), trade(3, 3)))
    assert [(bar.symbol, bar.timeframe) for bar in made] == [
        ("ETH/USD", "tick:1"),
        ("BTC/USD", "tick:2"),
    ]


def test_a_rebuilt_day_of_event_bars_has_one_revision_and_every_trade():
    trades = [trade(n, n, size=0.3) for n in range(7)]
    bars = event_bars_of_day("BTC/USD", event_timeframe("volume:0.5"), trades[::-1], DAY)
    assert [bar.trades for bar in bars] == [2, 2, 2, 1]
    assert {(bar.revision, bar.status) for bar in bars} == {(15, "backfilled")}


@pytest.mark.parametrize(
    "entry", ["2m", "tick:0", "tick:1.5", "volume:1e3", "volume:01", "dollar:"]
)
def test_a_timeframe_that_is_none_is_refused(entry):
    with pytest.raises(InvalidData, match="timeframe"):
        plan_bars(["1m", entry])


def test_an_event_bar_is_over_when_its_last_trade_was_seen():
    assert bar_over_ns("dollar:5", DAY, DAY + 9) == DAY + 9


def test_the_state_of_sixteen_busy_symbols_with_every_kind_of_bar_fits_a_dynamodb_item():
    aggregator = started(Rules((*TIMES, "tick:100", "volume:1000", "dollar:9999999"), 2 * S))
    for seq in range(1, 400):
        trades = [
            trade(
                seq + n / 100, hash((seq, n)) & (2**62 - 1), 1 / (seq + n), n / 7, f"S{n % 16}/USD"
            )
            for n in range(100)
        ]
        quotes = [quote(seq, seq, seq + n / 7, symbol=f"Q{n}/USD") for n in range(1, 17)]
        aggregator.apply(batch(seq, *trades, *quotes, watermark_s=seq))
    assert len(encode_state(aggregator)) < 350_000
