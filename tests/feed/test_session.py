"""A session with the venue: handshake, refusals, gaps, and its end."""

from __future__ import annotations

import json

import msgspec
import pytest

from tests.feed.sessions import (
    ACKNOWLEDGED,
    AUTHENTICATED,
    CONNECTED,
    TRADE,
    UNKNOWN_TYPE,
    WANTED,
    S,
    error,
    new_session,
    only,
    streaming,
)
from tradelake.errors import ConfigError
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
    Stopped,
    Subscribed,
    VenueError,
)
from tradelake.feed.session import ON_THE_WAY_NS, Session
from tradelake.feed.state import State
from tradelake.feed.subscription import Credentials
from tradelake.market.records import Unreadable


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
