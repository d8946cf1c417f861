"""A session that is fed frames one after another, whatever they are."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from tests.feed.mutants import Frame
from tradelake.feed.events import Close, Fail, GapClosed, GapOpened, Records, Send
from tradelake.feed.policy import SessionPolicy
from tradelake.feed.session import Session
from tradelake.feed.state import State
from tradelake.feed.subscription import Change, Credentials, Subscription
from tradelake.market.channels import CHANNELS
from tradelake.market.records import Unreadable

WANTED = Subscription(CHANNELS, ("BTC/USD", "ETH/USD"))
GREETING = '[{"T":"success","msg":"connected"}]'
WELCOME = '[{"T":"success","msg":"authenticated"}]'
GIVEN = (
    '[{"T":"subscription",'
    + ",".join(f'"{channel}":["BTC/USD","ETH/USD"]' for channel in CHANNELS)
    + "}]"
)
STATES = (State.GREETING, State.AUTHENTICATING, State.SUBSCRIBING, State.STREAMING)
PATIENCE = 20
"""Frames that a connection gets before it streams."""
MILLISECOND = 1_000_000


class Victim:
    """Keeps a session connected, in every step of the handshake, and checks what must hold."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000_000
        self.outcomes: Counter[str] = Counter()
        self.frames = 0
        self._renew = Change(renew=Subscription(("orderbooks",), ("BTC/USD",)))
        self._begin()

    def _begin(self) -> None:
        self.gaps: list[GapOpened] = []
        self.session = Session(
            Credentials("k", "s"), WANTED, lambda: itertools.repeat(1.0), SessionPolicy(), "json"
        )
        self._connect()

    def _connect(self) -> None:
        self._take(self.session.connected(self.now))
        self._patience = PATIENCE
        steps = self.frames % 5
        for frame in (GREETING, WELCOME, GIVEN)[:steps]:
            self._take(self.session.received(frame, self.now))
        assert self.session.state is STATES[min(steps, 3)], self.session.state

    def feed(self, frame: Frame) -> list[Any]:
        """Feed one frame; returns the records that came of it."""
        self.frames += 1
        self.now += MILLISECOND
        events = self.session.received(frame, self.now)
        self._take(events)
        if self.frames % 64 == 0:
            self._take(self.session.tick(self.now))
        if self.frames % 97 == 0:
            self._take(self.session.change(self._renew, self.now))
        self._restore()
        return [
            record for event in events if isinstance(event, Records) for record in event.records
        ]

    def _take(self, events: list[Any]) -> None:
        for event in events:
            self.outcomes[type(event).__name__] += 1
            match event:
                case GapOpened():
                    assert event.opened_ns <= self.now
                    self.gaps.append(event)
                case GapClosed():
                    self.gaps.remove(event.gap)
                    assert event.gap.opened_ns <= event.closed_ns <= self.now
                case Send():
                    assert event.data
                case Records():
                    assert event.records
                    lost = sum(isinstance(record, Unreadable) for record in event.records)
                    self.outcomes["record"] += len(event.records) - lost
                    self.outcomes["unreadable"] += lost
                case Fail():
                    assert self.session.state is State.FAILED
                case Close():
                    assert self.session.state in (State.CLOSING, State.FAILED)

    def _restore(self) -> None:
        if self.session.state is State.FAILED:
            self._begin()
            return
        if self.session.state is not State.STREAMING:
            self._patience -= 1
        if self.session.state is State.CLOSING or not self._patience:
            self._take(self.session.disconnected("closed", self.now))
            self._connect()
