"""The aggregator: event time, late trades, duplicates, epochs; saving changes nothing."""

import random
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.errors import InvalidData
from tradelake.market.records import BookUpdate, Trade
from tradelake.stream import identities
from tradelake.stream.aggregation import Aggregator, Rules
from tradelake.stream.aggregation_state import decode_state, encode_state
from tradelake.stream.envelope import FINAL_WATERMARK, NO_WATERMARK, Batch

S = 1_000_000_000
DAY = 1_723_075_200 * S
RULES = Rules(("1s", "1m", "5m"), 2 * S)
MINUTE = Rules(("1m",), 2 * S)


def trade(at_s, trade_id, price=100.0, size=1.0, symbol="BTC/USD"):
    at = DAY + round(at_s * S)
    return Trade(symbol, at, at + 5_000_000, trade_id, price, size)


def batch(seq, *trades, watermark_s=None, epoch=1, lane="live"):
    watermark = NO_WATERMARK if watermark_s is None else DAY + round(watermark_s * S)
    return Batch(lane, "us", epoch, 0, seq, watermark, list(trades))


def feed(aggregator, *batches):
    return [bar for given_ in batches for bar in aggregator.apply(given_)]


def seconds(bars):
    return [((bar.ts_event - DAY) / S, bar.trades, bar.status) for bar in bars]


def started(rules=MINUTE):
    """An aggregator that has listened since one second before the day."""
    aggregator = Aggregator(rules)
    aggregator.apply(batch(0, watermark_s=-1))
    return aggregator


def test_a_bar_closes_when_the_watermark_passes_its_end_and_the_lateness():
    bars = started()
    assert feed(bars, batch(1, trade(1, 1), trade(59, 2), watermark_s=59)) == []
    assert feed(bars, batch(2, watermark_s=61.999)) == []
    (closed,) = feed(bars, batch(3, watermark_s=62))
    assert (closed.ts_event, closed.trades, closed.status) == (DAY, 2, "complete")
    assert (closed.source, closed.channel, closed.timeframe) == ("tradelake", "aggregate", "1m")
    assert closed.ts_ingest == DAY + 59 * S + 5_000_000


def test_a_trade_on_the_boundary_belongs_to_the_later_bar():
    assert seconds(feed(started(), batch(1, trade(60, 1), watermark_s=200))) == [
        (60, 1, "complete")
    ]


def test_every_timeframe_is_closed_in_order_of_end_then_length():
    bars = feed(started(RULES), batch(1, trade(299.5, 1), watermark_s=400))
    assert [bar.timeframe for bar in bars] == ["1s", "1m", "5m"]


def test_a_minute_without_trades_has_no_bar():
    bars = feed(started(), batch(1, trade(1, 1), trade(121, 2), watermark_s=400))
    assert seconds(bars) == [(0, 1, "complete"), (120, 1, "complete")]


def test_order_books_make_no_bars():
    book = BookUpdate("BTC/USD", DAY + S, DAY + S, [(1.0, 1.0)], [(2.0, 1.0)])
    assert feed(started(), batch(1, book, watermark_s=400)) == []


def test_a_late_trade_within_the_lateness_is_part_of_the_first_revision():
    bars = started()
    feed(bars, batch(1, trade(1, 1), watermark_s=61.5))
    assert seconds(feed(bars, batch(2, trade(30, 2), watermark_s=70))) == [(0, 2, "complete")]


def test_a_late_trade_makes_a_revision_when_its_bar_is_closed_and_retained():
    bars = started()
    feed(bars, batch(1, trade(1, 1, price=100.0), watermark_s=100))
    (revised,) = feed(bars, batch(2, trade(0.5, 2, price=90.0), watermark_s=100))
    assert (revised.open, revised.close, revised.revision, revised.trades) == (90.0, 100.0, 4, 2)
    assert bars.counts.revisions == 1


def test_a_late_trade_makes_a_bar_of_its_own_when_its_minute_had_none():
    bars = started()
    feed(bars, batch(1, trade(1, 1), watermark_s=300))
    assert seconds(feed(bars, batch(2, trade(90, 2), watermark_s=300))) == [(60, 1, "complete")]


def test_a_late_trade_is_counted_and_left_out_when_its_bar_is_forgotten():
    bars = started()
    feed(bars, *[batch(n, trade(60 * n + 1, n), watermark_s=60 * n + 70) for n in range(1, 8)])
    assert feed(bars, batch(8, trade(61, 99), watermark_s=600)) == []
    assert bars.counts.too_late == 1


def test_a_duplicate_trade_counts_once_also_under_another_epoch():
    bars = started()
    feed(bars, batch(1, trade(1, 7), trade(1, 7), watermark_s=1))
    feed(bars, batch(0, trade(1, 7), watermark_s=2, epoch=2))
    (closed,) = feed(bars, batch(1, watermark_s=100, epoch=2))
    assert closed.trades == 1
    assert bars.counts.duplicates == 2


def test_equal_ids_at_different_times_are_different_trades():
    (closed,) = feed(started(), batch(1, trade(1, 7), trade(2, 7), watermark_s=100))
    assert closed.trades == 2


def test_a_repeated_batch_is_ignored_and_a_replaced_leaders_is_counted():
    bars = started()
    feed(bars, batch(1, trade(1, 1), watermark_s=1), batch(1, trade(2, 2), watermark_s=99))
    feed(bars, batch(0, epoch=3, watermark_s=1), batch(2, trade(3, 3), watermark_s=99))
    assert (bars.counts.repeats, bars.counts.stale, bars.counts.trades) == (1, 1, 2)


def test_the_first_bar_is_partial_when_the_source_began_in_mid_bar():
    bars = feed(Aggregator(MINUTE), batch(0, trade(30, 1), trade(61, 2), watermark_s=200))
    assert seconds(bars) == [(0, 1, "partial"), (60, 1, "complete")]


def test_the_first_bar_is_complete_when_a_watermark_says_we_listened_before_it():
    assert seconds(feed(started(), batch(1, trade(30, 1), watermark_s=200))) == [(0, 1, "complete")]


def test_a_bar_is_partial_when_the_final_watermark_cuts_it_before_its_end():
    bars = started()
    feed(bars, batch(1, trade(30, 1), trade(61, 2), watermark_s=61))
    final = msgspec.structs.replace(batch(2), watermark_ns=FINAL_WATERMARK)
    assert seconds(feed(bars, final)) == [(0, 1, "complete"), (60, 1, "partial")]


def test_a_source_goes_on_after_a_final_watermark():
    bars = started()
    final = msgspec.structs.replace(batch(1, trade(30, 1)), watermark_ns=FINAL_WATERMARK)
    assert seconds(feed(bars, final)) == [(0, 1, "partial")]
    resumed = batch(0, trade(40, 2), trade(70, 3), epoch=2, watermark_s=70)
    assert seconds(feed(bars, resumed)) == [(0, 2, "partial")]
    closed = feed(bars, batch(1, trade(121, 4), epoch=2, watermark_s=190))
    assert seconds(closed) == [(60, 1, "complete"), (120, 1, "complete")]


def test_bars_open_while_the_epoch_changes_are_partial_and_others_are_not():
    bars = started()
    feed(bars, batch(1, trade(30, 1), trade(61, 2), watermark_s=61))
    after = feed(bars, batch(0, trade(130, 3), trade(185, 4), epoch=2, watermark_s=400))
    assert seconds(after) == [
        (0, 1, "complete"),
        (60, 1, "partial"),
        (120, 1, "partial"),
        (180, 1, "complete"),
    ]


def torn(batch_, until_s):
    return msgspec.structs.replace(batch_, torn_until_ns=DAY + until_s * S)


def test_bars_that_miss_what_came_before_a_torn_batch_are_partial_and_others_are_not():
    bars = started()
    feed(bars, batch(1, trade(30, 1), trade(61, 2), watermark_s=62.5))
    after = torn(batch(2, trade(181, 3), trade(245, 4), watermark_s=245), 190)
    assert seconds(feed(bars, after, batch(3, watermark_s=400))) == [
        (60, 1, "partial"),
        (180, 1, "partial"),
        (240, 1, "complete"),
    ]


def test_a_stale_leaders_torn_batch_tears_nothing():
    bars = started()
    feed(bars, batch(1, trade(61, 1), trade(121, 2), epoch=2, watermark_s=125))
    late = torn(batch(9, trade(122, 3), epoch=1), 150)
    assert seconds(feed(bars, late, batch(2, epoch=2, watermark_s=190))) == [(120, 2, "complete")]


def test_batches_of_other_lanes_are_counted_and_left_out():
    bars = started()
    before = encode_state(bars)
    assert feed(bars, batch(1, trade(30, 1), watermark_s=200, lane="backfill")) == []
    assert (bars.counts.other_lanes, encode_state(bars)) == (1, before)


def test_a_timeframe_begins_partial_when_it_is_added_to_a_running_source():
    bars = started()
    feed(bars, batch(1, trade(301, 1), watermark_s=301))
    wider = decode_state(encode_state(bars), Rules(("1m", "5m"), 2 * S))
    wider = decode_state(encode_state(wider), Rules(("1m", "5m"), 2 * S))
    closed = feed(wider, batch(2, trade(330, 2), trade(601, 3), watermark_s=1000))
    found = [(bar.timeframe, *rest) for bar, rest in zip(closed, seconds(closed), strict=True)]
    assert found == [
        ("1m", 300, 2, "complete"),
        ("5m", 300, 1, "partial"),
        ("1m", 600, 1, "complete"),
        ("5m", 600, 1, "complete"),
    ]


def test_a_timeframe_is_dropped_when_the_rules_no_longer_name_it():
    bars = started(RULES)
    feed(bars, batch(1, trade(1, 1), watermark_s=1))
    assert {key[1] for key in decode_state(encode_state(bars), MINUTE).series} == {"1m"}


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02nonsense"])
def test_a_damaged_state_is_refused(data):
    with pytest.raises(InvalidData, match="state"):
        decode_state(data, MINUTE)


TRADES = st.lists(
    st.builds(
        trade,
        st.integers(0, 400_000).map(lambda ms: ms / 1000),
        st.integers(0, 20),
        st.sampled_from([99.9, 100.0, 100.1]),
        st.sampled_from([0.1, 0.2, 0.3]),
        st.sampled_from(["BTC/USD", "ETH/USD"]),
    ),
    max_size=25,
)


@st.composite
def streams(draw):
    """Batches of one source with epochs, late trades, duplicates and restless watermarks."""
    batches, epoch, seq = [], 1, -1
    for trades in draw(st.lists(TRADES, max_size=8)):
        if draw(st.booleans()) and draw(st.booleans()):
            epoch, seq = epoch + 1, -1
        seq += 1
        made = batch(seq, *trades, watermark_s=draw(st.integers(0, 400)), epoch=epoch)
        if draw(st.integers(0, 9)) == 0:
            made = msgspec.structs.replace(made, watermark_ns=FINAL_WATERMARK)
        batches.append(made)
    return batches


@given(streams(), st.lists(st.booleans(), min_size=8, max_size=8))
def test_every_batch_gives_the_same_bars_wherever_the_state_is_saved_and_loaded(batches, saves):
    straight, interrupted = Aggregator(RULES), Aggregator(RULES)
    for given_, save in zip(batches, saves, strict=False):
        assert interrupted.apply(given_) == straight.apply(given_)
        if save:
            interrupted = decode_state(encode_state(interrupted), RULES)
    assert encode_state(interrupted) == encode_state(straight)


@given(TRADES, st.data())
def test_final_bars_are_identical_however_trades_are_cut_and_ordered(trades, data):
    final = msgspec.structs.replace(batch(99), watermark_ns=FINAL_WATERMARK)

    def bars(order, cuts):
        aggregator = started(RULES)
        bounds = [0, *sorted(cuts), len(order)]
        for seq, (a, b) in enumerate(pairwise(bounds), 1):
            assert aggregator.apply(batch(seq, *order[a:b])) == []
        return aggregator.apply(final)

    unique = list({(t.symbol, t.ts_event, t.trade_id): t for t in trades}.values())
    cuts = data.draw(st.sets(st.integers(0, len(unique)), max_size=6))
    assert bars(data.draw(st.permutations(unique)), cuts) == bars(unique, ())


@given(streams(), st.lists(st.booleans(), min_size=8, max_size=8))
def test_too_many_identities_are_forgotten_the_same_way_wherever_the_state_is_saved(batches, saves):
    rules = msgspec.structs.replace(RULES, most_identities=6)
    straight, interrupted = Aggregator(rules), Aggregator(rules)
    for given_, save in zip(batches, saves, strict=False):
        assert interrupted.apply(given_) == straight.apply(given_)
        assert len(straight.recent.kept()) <= 6
        if save:
            interrupted = decode_state(encode_state(interrupted), rules)


def test_the_state_of_ten_busy_symbols_in_seven_timeframes_fits_a_dynamodb_item():
    rules = Rules(("1s", "1m", "5m", "15m", "1h", "4h", "1d"), 2 * S)
    aggregator, chance = Aggregator(rules), random.Random(7)
    for seq in range(200):
        at = [seq * 2 + chance.random() * 2 for _ in range(200)]
        trades = [
            trade(
                second,
                chance.getrandbits(62),
                chance.random() * 60_000,
                chance.random(),
                f"S{chance.randrange(10)}/USD",
            )
            for second in at
        ]
        aggregator.apply(batch(seq, *trades, watermark_s=seq * 2))
    size = len(encode_state(aggregator))
    assert size < 350_000
    assert len(aggregator.recent.kept()) <= identities.MOST_IDENTITIES
