"""The session decides; no socket, no clock."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tradelake.errors import ConfigError
from tradelake.feed.backoff import full_jitter
from tradelake.feed.endpoints import check_location, stream_url
from tradelake.feed.events import (
    Abort,
    Close,
    Fail,
    GapClosed,
    GapOpened,
    Interrupted,
    ReconnectAfter,
    Records,
    Send,
    SendPing,
    Stopped,
    Subscribed,
    VenueError,
)
from tradelake.feed.session import ON_THE_WAY_NS, Session, SessionPolicy
from tradelake.feed.state import State
from tradelake.feed.subscription import Change, Credentials, Subscription
from tradelake.market.channels import CHANNELS
from tradelake.market.records import Unreadable

S = 1_000_000_000
CONNECTED = '[{"T":"success","msg":"connected"}]'
AUTHENTICATED = '[{"T":"success","msg":"authenticated"}]'
ACKNOWLEDGED = (
    '[{"T":"subscription","trades":["BTC/USD","ETH/USD"],"quotes":["BTC/USD","ETH/USD"]}]'
)
TRADE = '[{"T":"t","S":"BTC/USD","p":1.0,"s":1.0,"t":"2024-03-12T10:27:48Z","i":1}]'
WANTED = Subscription(("trades", "quotes"), ("BTC/USD", "ETH/USD"))


def new_session(wanted: Subscription = WANTED, **policy: Any) -> Session:
    return Session(
        Credentials("the-key", "the-secret"),
        wanted,
        lambda: itertools.chain([1.0, 2.0], itertools.repeat(4.0)),
        SessionPolicy(**policy),
        "json",
    )


def error(code: int) -> str:
    return json.dumps([{"T": "error", "code": code, "msg": "said so"}])


def streaming(now_ns: int = S, **policy: Any) -> Session:
    session = new_session(WANTED, **policy)
    session.connected(now_ns)
    for frame in (CONNECTED, AUTHENTICATED, ACKNOWLEDGED):
        session.received(frame, now_ns)
    assert session.state is State.STREAMING
    return session


def only(events: list, kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def test_session_authenticates_and_subscribes_when_the_venue_greets():
    session = new_session()
    assert session.connected(S) == []
    [auth] = session.received(CONNECTED, S)
    assert json.loads(auth.data) == {"action": "auth", "key": "the-key", "secret": "the-secret"}
    [ask] = session.received(AUTHENTICATED, S)
    assert json.loads(ask.data) == {
        "action": "subscribe",
        "trades": ["BTC/USD", "ETH/USD"],
        "quotes": ["BTC/USD", "ETH/USD"],
    }
    assert session.received(ACKNOWLEDGED, S) == [Subscribed({})]
    [records] = session.received(TRADE, S)
    assert [record.symbol for record in records.records] == ["BTC/USD"]


def test_messages_are_binary_when_the_encoding_is_msgpack():
    session = Session(Credentials("k", "s"), WANTED, lambda: iter([1.0]))
    session.connected(S)
    [auth] = session.received(CONNECTED, S)
    assert msgspec.msgpack.decode(auth.data) == {"action": "auth", "key": "k", "secret": "s"}


def test_secrets_are_not_shown_when_events_are_printed():
    session = new_session()
    session.connected(S)
    events = session.received(CONNECTED, S)
    assert "the-secret" not in repr(events) + repr(Credentials("the-key", "the-secret"))


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


def test_session_fails_when_nothing_is_acknowledged():
    session = new_session()
    session.connected(S)
    session.received(CONNECTED, S)
    session.received(AUTHENTICATED, S)
    events = session.received('[{"T":"subscription","bars":["BTC/USD"]}]', S)
    assert only(events, Fail)


@pytest.mark.parametrize("code", [400, 402, 409, 410, 411])
def test_session_fails_with_a_clear_message_when_the_refusal_is_for_good(code):
    session = new_session()
    session.connected(S)
    session.received(CONNECTED, S)
    events = session.received(error(code), S)
    [fail] = only(events, Fail)
    assert fail.message.startswith(f"{code} said so: ")
    assert only(events, Close)
    assert session.disconnected("closed", S) == []


@pytest.mark.parametrize("code", [401, 404, 500, 599])
def test_session_tries_again_when_the_refusal_may_pass(code):
    session = new_session()
    session.connected(S)
    session.received(CONNECTED, S)
    assert session.received(error(code), S) == [
        VenueError(code, "said so"),
        Close(f"{code} said so"),
    ]
    assert session.disconnected("closed", S) == [ReconnectAfter(1.0, "closed")]


def test_session_holds_off_when_the_connection_limit_is_reached():
    session = new_session(connection_limit_hold_s=42.0)
    session.connected(S)
    session.received(CONNECTED, S)
    session.received(error(406), S)
    assert session.disconnected("closed", S) == [ReconnectAfter(42.0, "closed")]
    assert session.disconnected("refused", S) == [ReconnectAfter(1.0, "refused")]


def test_slow_client_is_a_gap_when_the_venue_says_so():
    session = streaming(S)
    session.received(TRADE, 2 * S)
    events = session.received(error(407), 3 * S)
    gap = GapOpened(2 * S - ON_THE_WAY_NS, WANTED.channels, WANTED.symbols, "slow client (407)")
    assert events == [VenueError(407, "said so"), gap, GapClosed(gap, 3 * S)]


def test_session_opens_a_gap_at_an_unreadable_frame_and_closes_it_at_the_next():
    session = streaming(S)
    gap = GapOpened(S - ON_THE_WAY_NS, WANTED.channels, WANTED.symbols, "unreadable frame")
    assert gap in session.received("[{", 3 * S)
    assert gap not in session.received("[{", 4 * S)
    assert GapClosed(gap, 5 * S) in session.received(TRADE, 5 * S)
    assert session.state is State.STREAMING


UNKNOWN_TYPE = '{"T":"zz","S":"BTC/USD","x":1}'


@pytest.mark.parametrize("message", [UNKNOWN_TYPE, '{"no":"type"}', "17", '{"T":"t","p":"x"}'])
@pytest.mark.parametrize("first", [True, False])
def test_session_opens_no_gap_at_a_message_of_a_frame_that_it_cannot_read(message, first):
    session = streaming(S)
    good = TRADE.strip("[]")
    frame = f"[{message},{good}]" if first else f"[{good},{message}]"
    [records] = session.received(frame, 3 * S)
    assert isinstance(records, Records)
    unreadable = records.records[0 if first else 1]
    assert isinstance(unreadable, Unreadable)
    assert unreadable.raw == message.encode()
    assert session.received(f"[{message}]", 4 * S)[1:] == []


def test_session_opens_no_gap_at_an_unknown_message_when_it_comes_as_msgpack():
    session = streaming(S)
    [records] = session.received(msgspec.msgpack.encode([{"T": "zz"}]), 3 * S)
    assert isinstance(records, Records)
    assert records.records[0].raw == msgspec.msgpack.encode({"T": "zz"})


def test_session_ends_a_gap_before_the_records_that_end_it():
    session = streaming(S)
    session.received("[{", 3 * S)
    assert [type(event) for event in session.received(TRADE, 5 * S)] == [GapClosed, Records]


def subscribing(wanted: Subscription = WANTED, **policy: Any) -> tuple[Session, Send]:
    session = new_session(wanted, **policy)
    session.connected(S)
    session.received(CONNECTED, S)
    [ask] = session.received(AUTHENTICATED, S)
    return session, ask


class LimitedVenue:
    """Acknowledges as many pairs as it may, and refuses requests that would exceed them."""

    def __init__(self, limit: int, invalid: tuple[str, ...] = ()) -> None:
        self.limit = limit
        self.invalid = invalid
        self.given: dict[str, list[str]] = {}
        self.requests = 0

    def answer(self, sent: Send) -> str:
        self.requests += 1
        asked = json.loads(sent.data)
        action = asked.pop("action")
        if any(symbol in self.invalid for symbols in asked.values() for symbol in symbols):
            return error(400)
        after = {channel: list(symbols) for channel, symbols in self.given.items()}
        for channel, symbols in asked.items():
            had = after.setdefault(channel, [])
            after[channel] = (
                list(dict.fromkeys(had + symbols))
                if action == "subscribe"
                else [symbol for symbol in had if symbol not in symbols]
            )
        if sum(map(len, after.values())) > self.limit:
            return error(405)
        self.given = after
        return json.dumps([{"T": "subscription", **after}])

    def converse(self, session: Session, events: list, now_ns: int) -> list:
        """Answer what is sent until nothing is; returns everything else that came."""
        said = []
        while sends := only(events, Send):
            said += [event for event in events if not isinstance(event, Send)]
            [sent] = sends
            events = session.received(self.answer(sent), now_ns)
        return said + events


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


def test_gap_spans_from_the_last_frame_to_the_acknowledgement_when_the_line_drops():
    session = streaming(S)
    session.received(TRADE, 5 * S)
    opened, interrupted, again = session.disconnected("reset by peer", 7 * S)
    cause = "disconnect: reset by peer"
    assert opened == GapOpened(5 * S - ON_THE_WAY_NS, WANTED.channels, WANTED.symbols, cause)
    assert interrupted == Interrupted(opened.cause)
    assert again == ReconnectAfter(1.0, "reset by peer")
    assert session.disconnected("refused", 8 * S) == [ReconnectAfter(2.0, "refused")]
    session.connected(9 * S)
    session.received(CONNECTED, 9 * S)
    session.received(AUTHENTICATED, 9 * S)
    assert session.received(ACKNOWLEDGED, 10 * S) == [GapClosed(opened, 10 * S), Subscribed({})]


def test_no_gap_is_opened_when_nothing_was_ever_streamed():
    session = new_session()
    assert session.disconnected("refused", S) == [ReconnectAfter(1.0, "refused")]


def test_backoff_starts_anew_when_the_stream_was_stable():
    session = streaming(S, stable_s=30.0)
    assert only(session.disconnected("x", 2 * S), ReconnectAfter) == [ReconnectAfter(1.0, "x")]
    session.connected(2 * S)
    for frame in (CONNECTED, AUTHENTICATED, ACKNOWLEDGED):
        session.received(frame, 2 * S)
    assert only(session.disconnected("x", 3 * S), ReconnectAfter) == [ReconnectAfter(2.0, "x")]
    session.connected(3 * S)
    for frame in (CONNECTED, AUTHENTICATED, ACKNOWLEDGED):
        session.received(frame, 3 * S)
    assert only(session.disconnected("x", 40 * S), ReconnectAfter) == [ReconnectAfter(1.0, "x")]


def test_connection_is_given_up_when_a_ping_is_not_answered():
    session = streaming(S)
    assert session.tick(10 * S) == []
    assert session.tick(11 * S) == [SendPing()]
    assert session.tick(12 * S) == []
    assert only(session.tick(16 * S), Abort)


def test_connection_is_kept_when_a_pong_or_a_frame_comes():
    session = streaming(S)
    session.tick(11 * S)
    session.pong(12 * S)
    assert session.tick(16 * S) == []
    assert session.tick(22 * S) == [SendPing()]
    session.received(TRADE, 23 * S)
    assert session.tick(28 * S) == []


def test_socket_is_replaced_when_it_is_mute():
    session = streaming(S, silence_s=20.0)
    session.pong(20 * S)
    events = session.tick(21 * S)
    assert [type(event) for event in events] == [GapOpened, Interrupted, Close]
    assert events[0].opened_ns == S, "pongs say nothing about the data"


def test_silence_is_not_the_venues_when_we_paused_reading():
    session = streaming(S, silence_s=20.0)
    session.resumed(100 * S)
    assert session.tick(101 * S) == []


QUOTE = '[{"T":"q","S":"BTC/USD","bp":1.0,"bs":1.0,"ap":2.0,"as":1.0,"t":"2024-03-12T10:27:48Z"}]'


def quiet_trades() -> Session:
    return streaming(S, channel_silence_s={"trades": 20.0}, ping_interval_s=1000.0)


def test_a_silent_channel_is_a_gap_and_renewed_when_others_talk():
    session = quiet_trades()
    session.received(TRADE, 5 * S)
    session.received(QUOTE, 24 * S)
    assert session.tick(24 * S) == []
    session.received(QUOTE, 25 * S)
    gap, ask = session.tick(25 * S)
    cause = "mute: no trades while other channels talk"
    assert gap == GapOpened(5 * S, ("trades",), ("BTC/USD", "ETH/USD"), cause)
    assert json.loads(ask.data) == {"action": "unsubscribe", "trades": ["BTC/USD", "ETH/USD"]}
    lacking = '[{"T":"subscription","quotes":["BTC/USD","ETH/USD"]}]'
    [again] = session.received(lacking, 26 * S)
    assert json.loads(again.data) == {"action": "subscribe", "trades": ["BTC/USD", "ETH/USD"]}
    assert session.received(ACKNOWLEDGED, 26 * S) == [Subscribed({})]
    closed, records = session.received(TRADE, 27 * S)
    assert closed == GapClosed(gap, 27 * S)
    assert isinstance(records, Records)


def test_socket_is_replaced_when_renewing_a_silent_channel_did_not_help():
    session = quiet_trades()
    session.received(QUOTE, 21 * S)
    gap, _ = session.tick(21 * S)
    session.received(ACKNOWLEDGED, 21 * S)
    session.received(ACKNOWLEDGED, 21 * S)
    session.received(QUOTE, 41 * S)
    events = session.tick(41 * S)
    assert [type(event) for event in events] == [GapClosed, GapOpened, Interrupted, Close]
    assert events[0].gap == gap
    assert events[1].opened_ns == events[0].closed_ns == 41 * S - ON_THE_WAY_NS


def test_a_silent_channel_is_given_more_time_when_replacing_the_socket_did_not_help():
    session = quiet_trades()
    for ends in (21, 41):
        session.received(QUOTE, ends * S)
        session.tick(ends * S)
        session.received(ACKNOWLEDGED, ends * S)
        session.received(ACKNOWLEDGED, ends * S)
    session.disconnected("closed", 41 * S)
    session.connected(41 * S)
    for frame in (CONNECTED, AUTHENTICATED, ACKNOWLEDGED):
        session.received(frame, 41 * S)
    session.received(QUOTE, 80 * S)
    assert session.tick(80 * S) == []
    session.received(QUOTE, 81 * S)
    assert only(session.tick(81 * S), Send)


def test_no_channel_is_blamed_when_all_are_silent():
    session = quiet_trades()
    assert session.tick(100 * S) == []


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"X-RateLimit-Reset": "1700000030"}, 30.0),
        ({"x-ratelimit-reset": "1699999999"}, 0.0),
        ({"Retry-After": "12"}, 12.0),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:45 GMT"}, 25.0),
        ({"Retry-After": "5", "X-RateLimit-Reset": "1700000009"}, 9.0),
        ({"X-RateLimit-Reset": "1e300"}, 3600.0),
        ({"X-RateLimit-Reset": "nan", "Retry-After": "soon"}, 42.0),
        ({}, 42.0),
    ],
)
def test_session_waits_as_the_headers_say_when_the_upgrade_is_answered_429(headers, wait_s):
    session = new_session(connection_limit_hold_s=42.0)
    events = session.refused(429, "Too Many Requests", 1_700_000_000 * S, headers)
    assert events == [ReconnectAfter(wait_s, "HTTP 429: Too Many Requests")]


def sent(events: list) -> list:
    return [json.loads(event.data) for event in only(events, Send)]


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


@pytest.mark.parametrize("venue", ["us", "us-1", "eu-1"])
def test_stream_address_is_the_venues_when_it_is_known(venue):
    url = stream_url(venue)
    assert url == f"wss://stream.data.alpaca.markets/v1beta3/crypto/{venue}"
    check_location(url, venue)


def test_stream_address_is_refused_when_it_is_another_venues():
    with pytest.raises(ConfigError, match="venue us; expected that of eu-1"):
        check_location(stream_url("us"), "eu-1")
    with pytest.raises(ConfigError, match="'nyse'"):
        stream_url("nyse")
    check_location("ws://127.0.0.1:9/v1beta3/crypto/us", "coinbase")


def test_connection_is_closed_when_a_step_of_the_handshake_takes_too_long():
    session = new_session()
    session.connected(S)
    assert session.tick(10 * S) == []
    assert only(session.tick(11 * S), Close)
    assert only(session.tick(16 * S), Abort)


def test_stop_takes_what_still_arrives_when_streaming():
    session = streaming(S)
    assert session.stop(2 * S) == [Close("stop")]
    assert only(session.received(TRADE, 3 * S), Records)
    assert only(session.disconnected("closed", 4 * S), Stopped) == [Stopped()]
    assert session.state is State.STOPPED


def test_stop_is_immediate_when_waiting_to_reconnect():
    session = new_session()
    session.disconnected("refused", S)
    assert session.stop(S) == [Stopped()]
    assert session.connected(S) == [Close("the session was stopped")]


@pytest.mark.parametrize(
    ("channels", "symbols"),
    [((), ("BTC/USD",)), (("trades",), ()), (("news",), ("*",)), (("trades",), ("BTCUSD",))],
)
def test_subscription_is_refused_when_it_asks_for_nothing_or_nonsense(channels, symbols):
    with pytest.raises(ConfigError):
        Subscription(channels, symbols)


def test_full_jitter_stays_under_a_growing_capped_bound_when_drawn():
    waits = full_jitter(random.Random(7), first_s=1.0, cap_s=8.0)
    for bound in (1.0, 2.0, 4.0, 8.0, 8.0, 8.0):
        assert 0.0 <= next(waits) <= bound


PART_OF_THE_STREAM = (
    "partial acknowledgement",
    "mute: no ",
    "subscription renewed",
    "unreadable frame",
)


class AnyVenue(RuleBasedStateMachine):
    """Whatever the venue does: gaps pair up, nothing received is dropped, the end is the end."""

    def __init__(self) -> None:
        super().__init__()
        self.now = S
        self.session = new_session(channel_silence_s=dict.fromkeys(CHANNELS, 20.0))
        self.open = False
        self.gaps: list[GapOpened] = []
        self.ended = False
        self.asked: Send | None = None

    def take(self, events: list) -> None:
        for event in events:
            if isinstance(event, GapOpened):
                assert event not in self.gaps
                assert event.opened_ns <= self.now
                self.gaps.append(event)
            elif isinstance(event, GapClosed):
                self.gaps.remove(event.gap)
                assert event.gap.opened_ns <= event.closed_ns <= self.now
            elif isinstance(event, ReconnectAfter):
                assert not self.open
            elif isinstance(event, Fail | Stopped):
                assert not self.ended
                self.ended = True
            elif isinstance(event, Send):
                assert self.open
                assert event.data
                message = json.loads(event.data)
                if message["action"] != "auth":
                    assert self.session.state in (State.SUBSCRIBING, State.STREAMING)
                    self.asked = event

    @rule(seconds=st.floats(0.001, 400.0))
    def time_passes(self, seconds: float) -> None:
        self.now += int(seconds * S)
        self.take(self.session.tick(self.now))

    @precondition(lambda self: not self.open and not self.ended)
    @rule()
    def connect(self) -> None:
        self.open = True
        self.take(self.session.connected(self.now))

    @precondition(lambda self: self.open)
    @rule(
        frame=st.sampled_from(
            [CONNECTED, AUTHENTICATED, ACKNOWLEDGED, TRADE, QUOTE, "garbage"]
            + [f"[{UNKNOWN_TYPE}]"]
            + [error(code) for code in (400, 402, 403, 404, 405, 406, 407, 500)]
            + ['[{"T":"subscription","trades":["BTC/USD"]}]', '[{"T":"subscription"}]']
        )
    )
    def receive(self, frame: str) -> None:
        events = self.session.received(frame, self.now)
        if frame in (TRADE, QUOTE, "garbage", f"[{UNKNOWN_TYPE}]"):
            assert len(only(events, Records)) == 1
            assert not only(events[events.index(only(events, Records)[0]) :], GapClosed)
        self.take(events)

    @precondition(lambda self: self.open)
    @rule()
    def hand_shake(self) -> None:
        for frame in (CONNECTED, AUTHENTICATED, ACKNOWLEDGED):
            self.now += 1
            self.take(self.session.received(frame, self.now))

    @precondition(lambda self: self.open)
    @rule()
    def drop(self) -> None:
        self.open = False
        events = self.session.disconnected("dropped", self.now)
        assert len(only(events, ReconnectAfter)) + len(only(events, Stopped)) == (
            0 if self.ended else 1
        )
        self.take(events)

    @rule(
        kind=st.sampled_from(["add", "drop", "renew"]),
        channels=st.sets(st.sampled_from(["trades", "quotes", "orderbooks"]), min_size=1),
        symbols=st.sets(st.sampled_from(["BTC/USD", "ETH/USD", "SOL/USD", "*"]), min_size=1),
    )
    def change(self, kind: str, channels: set, symbols: set) -> None:
        named = Subscription(tuple(sorted(channels)), tuple(sorted(symbols)))
        streamed = self.session.state in (State.STREAMING, State.SUBSCRIBING)
        events = self.session.change(Change(**{kind: named}), self.now)
        assert streamed or not events
        self.take(events)

    @precondition(lambda self: self.open)
    @rule(limit=st.integers(0, 12))
    def subscriptions_are_answered(self, limit: int) -> None:
        events, venue = [Send("")], LimitedVenue(limit)
        while only(events, Send) and self.asked is not None:
            asked, self.asked = self.asked, None
            events = self.session.received(venue.answer(asked), self.now)
            self.take(events)

    @precondition(lambda self: not self.open and not self.ended)
    @rule(status=st.sampled_from([404, 429, 500, 503]))
    def refuse(self, status: int) -> None:
        self.take(self.session.refused(status, "no", self.now, {"Retry-After": "3"}))

    @rule()
    def stop(self) -> None:
        self.take(self.session.stop(self.now))

    @invariant()
    def a_stream_without_gaps_is_streaming(self) -> None:
        if self.session.state is State.STREAMING:
            causes = {gap.cause for gap in self.gaps}
            assert all(cause.startswith(PART_OF_THE_STREAM) for cause in causes)


TestAnyVenue = AnyVenue.TestCase
