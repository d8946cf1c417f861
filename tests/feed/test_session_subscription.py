"""What a session subscribes to: limits, symbols refused, changes while it streams."""

from __future__ import annotations

from typing import Any

import pytest

from tests.feed.sessions import (
    ACKNOWLEDGED,
    AUTHENTICATED,
    CONNECTED,
    TRADE,
    WANTED,
    LimitedVenue,
    S,
    error,
    new_session,
    only,
    sent,
    streaming,
)
from tradelake.errors import ConfigError
from tradelake.feed.events import Close, Fail, GapClosed, GapOpened, Send, Subscribed, VenueError
from tradelake.feed.session import Session
from tradelake.feed.state import State
from tradelake.feed.subscription import Change, Subscription


def test_acknowledgement_is_partial_when_a_symbol_is_lacking():
    session = new_session()
    session.connected(S)
    session.received(CONNECTED, S)
    session.received(AUTHENTICATED, S)
    ack = '[{"T":"subscription","trades":["BTC/USD","ETH/USD"],"quotes":["BTC/USD"]}]'
    events = session.received(ack, 2 * S)
    gap = GapOpened(2 * S, ("quotes",), ("ETH/USD",), "partial acknowledgement")
    assert events == [Subscribed({"quotes": ("ETH/USD",)}), gap]
    assert session.received(ACKNOWLEDGED, 3 * S) == [Subscribed({}), GapClosed(gap, 3 * S)]


def subscribing(wanted: Subscription = WANTED, **policy: Any) -> tuple[Session, Send]:
    session = new_session(wanted, **policy)
    session.connected(S)
    session.received(CONNECTED, S)
    [ask] = session.received(AUTHENTICATED, S)
    return session, ask


SIX = Subscription(("trades", "quotes"), ("A/USD", "B/USD", "C/USD"))


@pytest.mark.parametrize("limit", range(1, 7))
def test_session_keeps_what_the_venue_accepts_when_the_symbol_limit_is_exceeded(limit):
    session, ask = subscribing(SIX)
    venue = LimitedVenue(limit)
    events = venue.converse(session, [ask], 2 * S)
    assert session.state is State.STREAMING
    assert sum(map(len, venue.given.values())) == limit
    gaps = only(events, GapOpened)
    lost = {(c, symbol) for gap in gaps for c in gap.channels for symbol in gap.symbols}
    kept = {(c, symbol) for c, symbols in venue.given.items() for symbol in symbols}
    assert lost | kept == {(c, symbol) for c in SIX.channels for symbol in SIX.symbols}
    assert not lost & kept
    assert {gap.cause for gap in gaps} <= {"partial acknowledgement"}
    assert venue.requests <= 8


def test_session_leaves_out_a_symbol_when_the_venue_says_it_is_invalid():
    session, ask = subscribing(SIX)
    venue = LimitedVenue(6, invalid=("B/USD",))
    events = venue.converse(session, [ask], 2 * S)
    assert only(events, GapOpened) == [
        GapOpened(2 * S, ("trades", "quotes"), ("B/USD",), "partial acknowledgement")
    ]


def test_session_fails_with_the_venues_words_when_not_one_symbol_is_accepted():
    session, ask = subscribing()
    events = LimitedVenue(0).converse(session, [ask], 2 * S)
    [fail] = only(events, Fail)
    assert fail.message.endswith("none of the channels and symbols wanted: 405 said so")


def test_symbol_limit_is_reported_when_nothing_was_asked():
    assert streaming().received(error(405), S) == [VenueError(405, "said so")]


def test_session_asks_again_for_what_is_lacking_when_time_has_passed():
    session, ask = subscribing(SIX, partial_retry_s=60.0)
    venue = LimitedVenue(4)
    [gap] = only(venue.converse(session, [ask], 2 * S), GapOpened)
    venue.limit = 6
    session.received(TRADE, 61 * S)
    assert session.tick(61 * S) == []
    events = venue.converse(session, session.tick(62 * S), 62 * S)
    assert events == [Subscribed({}), GapClosed(gap, 62 * S)]


def test_session_subscribes_to_more_when_asked_while_streaming():
    session = streaming()
    add = Subscription(("trades", "bars"), ("BTC/USD", "SOL/USD"))
    events = session.change(Change(add=add), 2 * S)
    assert sent(events) == [
        {"action": "subscribe", "trades": ["SOL/USD"], "bars": ["BTC/USD", "SOL/USD"]}
    ]
    lacking = (
        '[{"T":"subscription","trades":["BTC/USD","ETH/USD","SOL/USD"],'
        '"quotes":["BTC/USD","ETH/USD"],"bars":["BTC/USD"]}]'
    )
    gap = GapOpened(3 * S, ("bars",), ("SOL/USD",), "partial acknowledgement")
    assert session.received(lacking, 3 * S) == [Subscribed({"bars": ("SOL/USD",)}), gap]


def test_session_drops_symbols_when_asked_and_says_what_the_venue_still_gives():
    session = streaming()
    events = session.change(Change(drop=Subscription(("trades", "bars"), ("ETH/USD",))), 2 * S)
    assert sent(events) == [{"action": "unsubscribe", "trades": ["ETH/USD"]}]
    [subscribed] = session.received(ACKNOWLEDGED, 3 * S)
    assert subscribed == Subscribed({}, {"trades": ("ETH/USD",)})
    [gap, *_] = only(session.disconnected("cut", 4 * S), GapOpened)
    assert (gap.channels, gap.symbols) == (("trades",), ("BTC/USD",))


def test_session_renews_books_when_asked_though_all_symbols_are_wanted():
    wanted = Subscription(("orderbooks",), ("*",))
    session, _ = subscribing(wanted)
    given = '[{"T":"subscription","orderbooks":["*"]}]'
    session.received(given, S)
    change = Change(renew=Subscription(("orderbooks", "trades"), ("BTC/USD",)))
    gap, drop = session.change(change, 2 * S)
    assert gap == GapOpened(2 * S, ("orderbooks",), ("BTC/USD",), "subscription renewed")
    assert sent([drop]) == [{"action": "unsubscribe", "orderbooks": ["BTC/USD"]}]
    again = session.received(given, 3 * S)
    assert sent(again) == [{"action": "subscribe", "orderbooks": ["BTC/USD"]}]
    both = '[{"T":"subscription","orderbooks":["*","BTC/USD"]}]'
    assert session.received(both, 4 * S) == [Subscribed({}), GapClosed(gap, 4 * S)]


def test_session_keeps_a_change_for_the_next_connection_when_there_is_none():
    session = streaming()
    session.disconnected("cut", 2 * S)
    add = Subscription(("bars",), ("SOL/USD",))
    drop = Subscription(("quotes",), ("*",))
    assert session.change(Change(add=add, drop=drop), 2 * S) == []
    session.connected(3 * S)
    session.received(CONNECTED, 3 * S)
    assert sent(session.received(AUTHENTICATED, 3 * S)) == [
        {"action": "subscribe", "trades": ["BTC/USD", "ETH/USD"], "bars": ["SOL/USD"]}
    ]


def test_connection_is_given_up_when_a_change_is_not_answered():
    session = streaming()
    session.change(Change(add=Subscription(("bars",), ("*",))), 2 * S)
    session.received(TRADE, 11 * S)
    assert session.tick(11 * S) == []
    assert only(session.tick(12 * S), Close)


def test_an_invalid_symbol_is_left_out_and_the_stream_goes_on_when_added():
    session = streaming()
    session.change(Change(add=Subscription(("bars",), ("NO/USD",))), 2 * S)
    events = session.received(error(400), 3 * S)
    gap = GapOpened(3 * S, ("bars",), ("NO/USD",), "partial acknowledgement")
    assert events == [VenueError(400, "said so"), Subscribed({"bars": ("NO/USD",)}), gap]
    assert session.state is State.STREAMING


@pytest.mark.parametrize(
    ("channels", "symbols"),
    [((), ("BTC/USD",)), (("trades",), ()), (("news",), ("*",)), (("trades",), ("BTCUSD",))],
)
def test_subscription_is_refused_when_it_asks_for_nothing_or_nonsense(channels, symbols):
    with pytest.raises(ConfigError):
        Subscription(channels, symbols)
