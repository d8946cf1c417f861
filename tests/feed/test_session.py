"""The session decides; no socket, no clock."""

from __future__ import annotations

import itertools
import json
import random

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tradelake.errors import ConfigError
from tradelake.feed.backoff import full_jitter
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
from tradelake.feed.session import Session, SessionPolicy, State
from tradelake.feed.subscription import Credentials, Subscription

S = 1_000_000_000
CONNECTED = '[{"T":"success","msg":"connected"}]'
AUTHENTICATED = '[{"T":"success","msg":"authenticated"}]'
ACKNOWLEDGED = (
    '[{"T":"subscription","trades":["BTC/USD","ETH/USD"],"quotes":["BTC/USD","ETH/USD"]}]'
)
TRADE = '[{"T":"t","S":"BTC/USD","p":1.0,"s":1.0,"t":"2024-03-12T10:27:48Z","i":1}]'
WANTED = Subscription(("trades", "quotes"), ("BTC/USD", "ETH/USD"))


def new_session(**policy: float) -> Session:
    return Session(
        Credentials("the-key", "the-secret"),
        WANTED,
        lambda: itertools.chain([1.0, 2.0], itertools.repeat(4.0)),
        SessionPolicy(**policy),
        "json",
    )


def error(code: int) -> str:
    return json.dumps([{"T": "error", "code": code, "msg": "said so"}])


def streaming(now_ns: int = S, **policy: float) -> Session:
    session = new_session(**policy)
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
    gap = GapOpened(2 * S, WANTED.channels, WANTED.symbols, "slow client (407)")
    assert events == [VenueError(407, "said so"), gap, GapClosed(gap, 3 * S)]
    assert session.state is State.STREAMING


def test_symbol_limit_fails_when_nothing_streams_and_is_reported_when_something_does():
    session = new_session()
    session.connected(S)
    session.received(CONNECTED, S)
    session.received(AUTHENTICATED, S)
    assert only(session.received(error(405), S), Fail)
    assert streaming().received(error(405), S) == [VenueError(405, "said so")]


def test_gap_spans_from_the_last_frame_to_the_acknowledgement_when_the_line_drops():
    session = streaming(S)
    session.received(TRADE, 5 * S)
    opened, interrupted, again = session.disconnected("reset by peer", 7 * S)
    assert opened == GapOpened(5 * S, WANTED.channels, WANTED.symbols, "disconnect: reset by peer")
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


class AnyVenue(RuleBasedStateMachine):
    """Whatever the venue does: gaps pair up, nothing received is dropped, the end is the end."""

    def __init__(self) -> None:
        super().__init__()
        self.now = S
        self.session = new_session()
        self.open = False
        self.gaps: list[GapOpened] = []
        self.ended = False

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
            [CONNECTED, AUTHENTICATED, ACKNOWLEDGED, TRADE, "garbage"]
            + [error(code) for code in (400, 402, 403, 404, 405, 406, 407, 500)]
            + ['[{"T":"subscription","trades":["BTC/USD"]}]', '[{"T":"subscription"}]']
        )
    )
    def receive(self, frame: str) -> None:
        events = self.session.received(frame, self.now)
        if frame in (TRADE, "garbage"):
            assert len(only(events, Records)) == 1
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

    @rule()
    def stop(self) -> None:
        self.take(self.session.stop(self.now))

    @invariant()
    def a_stream_without_gaps_is_streaming(self) -> None:
        if self.session.state is State.STREAMING:
            assert all(gap.cause == "partial acknowledgement" for gap in self.gaps)


TestAnyVenue = AnyVenue.TestCase
