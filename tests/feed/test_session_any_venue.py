"""A session with a venue that does anything, in any order: what always holds."""

from __future__ import annotations

import json

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.feed.sessions import (
    ACKNOWLEDGED,
    AUTHENTICATED,
    CONNECTED,
    QUOTE,
    TRADE,
    UNKNOWN_TYPE,
    LimitedVenue,
    S,
    error,
    new_session,
    only,
)
from tradelake.feed.events import Fail, GapClosed, GapOpened, ReconnectAfter, Records, Send, Stopped
from tradelake.feed.state import State
from tradelake.feed.subscription import Change, Subscription
from tradelake.market.channels import CHANNELS

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
