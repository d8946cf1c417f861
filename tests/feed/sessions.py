"""Sessions as far as a test needs them, and what venues say."""

from __future__ import annotations

import itertools
import json
from typing import Any

from tradelake.feed.events import Send
from tradelake.feed.policy import SessionPolicy
from tradelake.feed.session import Session
from tradelake.feed.state import State
from tradelake.feed.subscription import Credentials, Subscription

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


UNKNOWN_TYPE = '{"T":"zz","S":"BTC/USD","x":1}'


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


QUOTE = '[{"T":"q","S":"BTC/USD","bp":1.0,"bs":1.0,"ap":2.0,"as":1.0,"t":"2024-03-12T10:27:48Z"}]'


def sent(events: list) -> list:
    return [json.loads(event.data) for event in only(events, Send)]
