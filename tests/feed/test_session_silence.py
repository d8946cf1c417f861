"""A session whose venue falls silent: pings, channels, sockets, and when it tries again."""

from __future__ import annotations

import json
import random

import pytest

from tests.feed.sessions import (
    ACKNOWLEDGED,
    AUTHENTICATED,
    CONNECTED,
    QUOTE,
    TRADE,
    S,
    new_session,
    only,
    streaming,
)
from tradelake.feed.backoff import full_jitter
from tradelake.feed.events import (
    Abort,
    Close,
    GapClosed,
    GapOpened,
    Interrupted,
    ReconnectAfter,
    Records,
    Send,
    SendPing,
    Subscribed,
)
from tradelake.feed.session import ON_THE_WAY_NS, Session


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


def test_full_jitter_stays_under_a_growing_capped_bound_when_drawn():
    waits = full_jitter(random.Random(7), first_s=1.0, cap_s=8.0)
    for bound in (1.0, 2.0, 4.0, 8.0, 8.0, 8.0):
        assert 0.0 <= next(waits) <= bound
