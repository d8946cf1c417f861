"""The stage that keeps books: what it adds, what it asks for, what it leaves alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.market.records import BookSnapshot, BookUpdate, Instrument, Trade, Unreadable
from tradelake.usecases.keep_books import BookKeeper, RenewalPolicy

SECOND = 1_000_000_000
T0 = 1_700_000_000 * SECOND
BTC, ETH = "BTC/USD", "ETH/USD"


def update(bids=(), asks=(), *, reset=False, symbol=BTC, ts=T0) -> BookUpdate:
    return BookUpdate(symbol, ts, ts + 5, list(bids), list(asks), reset)


def whole(symbol=BTC, ts=T0) -> BookUpdate:
    return update([(9.0, 1.0), (8.0, 1.0)], [(10.0, 1.0)], reset=True, symbol=symbol, ts=ts)


def crossing(symbol=BTC) -> BookUpdate:
    return update([(11.0, 1.0)], symbol=symbol)


class Keeper(BookKeeper):
    """A keeper whose requests are kept."""

    def __init__(self, **options) -> None:
        self.asked: list[tuple[str, ...]] = []
        super().__init__(self.asked.append, **options)


def snapshots(records) -> list[BookSnapshot]:
    return [record for record in records if isinstance(record, BookSnapshot)]


levels = st.lists(
    st.tuples(st.integers(1, 12).map(float), st.sampled_from((0.0, 1.0, 2.0))), max_size=4
)
updates = st.builds(
    update, levels, levels, reset=st.booleans(), symbol=st.sampled_from((BTC, ETH)), ts=st.just(T0)
)
frames = st.lists(
    st.tuples(st.integers(0, 3 * SECOND), st.lists(updates, max_size=4)), min_size=1, max_size=20
)


@given(frames)
def test_every_record_passes_and_a_snapshot_is_the_book_of_the_updates_before_it(frames):
    keeper, now = Keeper(depth=3), T0
    naive: dict[str, tuple[dict, dict]] = {}
    for wait, frame in frames:
        now += wait
        out = keeper.process(frame, now)
        added = snapshots(out)
        assert out[len(added) :] == frame
        assert len({snapshot.symbol for snapshot in added}) == len(added)
        for snapshot in added:
            bids, asks = naive[snapshot.symbol]
            assert snapshot.bids == sorted(bids.items(), reverse=True)[:3]
            assert snapshot.asks == sorted(asks.items())[:3]
            if bids and asks and max(bids) >= min(asks):
                assert snapshot.flags == "crossed_book"
        for change in frame:
            if change.reset:
                naive[change.symbol] = ({}, {})
            for side, changed in zip(
                naive.get(change.symbol, ()), (change.bids, change.asks), strict=False
            ):
                for price, size in changed:
                    side.pop(price, None)
                    if size:
                        side[price] = size
    assert len(keeper.asked) <= 1 + (now - T0) // SECOND


@pytest.mark.parametrize(
    ("symbol", "channel", "lost"),
    [
        (BTC, "orderbooks", {BTC}),
        ("", "unknown", {BTC, ETH}),
        (BTC, "trades", set()),
        ("SOL/USD", "orderbooks", set()),
    ],
)
def test_book_ends_with_an_update_that_cannot_be_read_and_a_reset_is_asked_for(
    symbol, channel, lost
):
    keeper = Keeper()
    keeper.process([whole(), whole(ETH)], T0)
    bad = Unreadable(symbol, T0 + 1, channel, "expected a price", b"?")
    assert keeper.process([bad], T0 + 1) == [bad]
    assert {one for one in (BTC, ETH) if keeper.top(one, 1) is None} == lost
    frame = [update([(9.5, 1.0)]), update([(9.5, 1.0)], symbol=ETH)]
    keeper.process(frame, T0 + SECOND)
    keeper.process(frame, T0 + 10 * SECOND)
    assert {one for asked in keeper.asked for one in asked} == lost
    keeper.process([whole(), whole(ETH)], T0 + 11 * SECOND)
    assert None not in (keeper.top(BTC, 1), keeper.top(ETH, 1))


def test_records_pass_as_they_are_when_no_snapshot_is_due():
    keeper = Keeper()
    keeper.process([whole()], T0)
    frame = [update([(9.5, 1.0)]), Trade(BTC, T0, T0, 1, 9.9, 1.0)]
    assert keeper.process(frame, T0 + 1) is frame


def test_snapshot_holds_what_came_before_its_instant_when_an_interval_ends():
    keeper = Keeper(depth=1)
    keeper.process([whole()], T0)
    keeper.process([update([(9.5, 2.0)], ts=T0 + 7)], T0 + 10)
    late = update([(9.75, 3.0)], ts=T0 + SECOND)
    added, passed = keeper.process([late], T0 + SECOND)
    assert passed is late
    assert added == BookSnapshot(BTC, T0 + 7, T0 + SECOND, [(9.5, 2.0)], [(10.0, 1.0)], 1)


def test_book_has_no_snapshot_when_it_did_not_change():
    keeper = Keeper()
    keeper.process([whole(), whole(ETH)], T0)
    assert len(keeper.process([update([(9.5, 1.0)])], T0 + SECOND)) == 3
    assert [s.symbol for s in snapshots(keeper.process([], T0 + 2 * SECOND))] == [BTC]
    assert keeper.process([], T0 + 3 * SECOND) == []


def test_snapshots_go_on_when_the_clock_steps_back():
    keeper = Keeper()
    keeper.process([whole()], T0)
    back = T0 - 3600 * SECOND
    assert len(snapshots(keeper.process([whole()], back))) == 1
    assert len(snapshots(keeper.process([], back + SECOND))) == 1


def test_reset_is_asked_for_at_once_when_a_book_is_crossed():
    keeper = Keeper()
    keeper.process([whole(), whole(ETH), crossing()], T0)
    assert keeper.asked == [(BTC,)]
    (bad, good) = snapshots(keeper.process([], T0 + SECOND))
    assert (bad.symbol, bad.flags) == (BTC, "crossed_book")
    assert (good.symbol, good.flags) == (ETH, "")


def test_snapshots_stay_flagged_until_the_reset_when_deltas_uncross_the_book():
    keeper = Keeper()
    keeper.process([whole(), crossing(), update([(11.0, 0.0)])], T0)
    assert [s.flags for s in snapshots(keeper.process([whole()], T0 + SECOND))] == ["crossed_book"]
    assert [s.flags for s in snapshots(keeper.process([], T0 + 2 * SECOND))] == [""]
    assert keeper.counts().crossings == 1


def test_requests_grow_rarer_when_a_venue_stays_crossed():
    keeper = Keeper(policy=RenewalPolicy(first_s=30.0, longest_s=120.0))
    asked_s = []
    for second in range(1000):
        keeper.process([whole(), crossing()], T0 + second * SECOND)
        asked_s += [second] * (len(keeper.asked) - len(asked_s))
    assert asked_s == [0, 30, 90, 210, 330, 450, 570, 690, 810, 930]


def test_first_wait_holds_again_when_a_book_was_whole_for_long():
    keeper = Keeper(policy=RenewalPolicy(first_s=10.0))
    for second in (0, 10, 29, 30, 200, 209, 210):
        keeper.process([whole(), crossing()], T0 + second * SECOND)
    assert len(keeper.asked) == 5


def test_symbols_share_a_request_when_many_cross_at_once():
    keeper = Keeper()
    symbols = [f"A{number}/USD" for number in range(100)]
    for symbol in symbols:
        keeper.process([whole(symbol), crossing(symbol)], T0)
    keeper.process([], T0 + SECOND)
    assert [len(asked) for asked in keeper.asked] == [1, 99]


def test_reset_is_asked_for_when_deltas_come_without_one_for_long():
    keeper = Keeper(policy=RenewalPolicy(reset_s=5.0))
    for second in range(5):
        keeper.process([update([(9.0, 1.0)])], T0 + second * SECOND)
    assert keeper.asked == []
    keeper.process([update([(9.0, 1.0)])], T0 + 5 * SECOND)
    assert keeper.asked == [(BTC,)]
    assert keeper.counts().discarded == 6
    assert snapshots(keeper.process([], T0 + 9 * SECOND)) == []


def test_reset_is_asked_for_and_no_snapshot_made_when_an_update_is_impossible():
    keeper = Keeper()
    keeper.process([whole(), update([(9.0, -1.0)])], T0)
    assert keeper.asked == [(BTC,)]
    assert snapshots(keeper.process([], T0 + SECOND)) == []
    assert keeper.top(BTC, 1) is None
    keeper.process([whole()], T0 + SECOND)
    assert keeper.top(BTC, 1) == ([(9.0, 1.0)], [(10.0, 1.0)])


def test_books_wait_for_a_reset_when_the_feed_was_interrupted():
    keeper = Keeper()
    keeper.process([whole(), crossing()], T0)
    keeper.interrupted()
    assert keeper.process([], T0 + SECOND) == []
    keeper.process([update([(9.0, 1.0)])], T0 + 2 * SECOND)
    assert keeper.counts().whole == 0
    keeper.process([whole()], T0 + 3 * SECOND)
    assert keeper.counts().whole == 1
    assert keeper.asked == [(BTC,)]


def test_books_are_bounded_when_symbols_never_end():
    keeper = Keeper(max_books=3)
    for number in range(50):
        keeper.process([whole(f"A{number}/USD"), crossing(f"A{number}/USD")], T0)
    assert keeper.counts().books == 3
    assert len(snapshots(keeper.process([], T0 + SECOND))) == 3


@pytest.mark.parametrize("event", ["delisted", "renamed"])
def test_a_symbol_leaves_nothing_behind_when_it_is_gone(event):
    keeper = Keeper()
    keeper.process([whole(), crossing()], T0)
    gone = Instrument(BTC, T0, T0, event, "inactive", False, "", "", "")
    assert keeper.process([gone], T0 + 1) == [gone]
    assert keeper.process([], T0 + SECOND) == []
    assert keeper.counts().books == 0


@pytest.mark.parametrize("option", ["depth", "interval_ns", "max_books"])
def test_keeper_refuses_to_start_when_a_bound_is_zero(option):
    with pytest.raises(ValueError, match="above 0"):
        Keeper(**{option: 0})
