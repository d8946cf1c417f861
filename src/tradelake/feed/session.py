"""Alpaca's market-data session as a state machine without I/O: inputs in, events out.

The shell that owns the socket reports what happened (``connected``, ``received``, ``pong``,
``disconnected``, ``tick``, ``stop``) and carries out the returned events in order. It takes no
decision of its own, so every decision is here and can be tested without a socket or a clock. Times
are ns since 1970 UTC, passed in. :class:`tradelake.feed.state.State` shows the states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tradelake.feed.decode import FrameDecoder
from tradelake.feed.events import (
    STOP,
    Abort,
    Close,
    Event,
    Fail,
    ReconnectAfter,
    Records,
    Send,
    SendPing,
    Stopped,
    VenueError,
)
from tradelake.feed.gaps import OpenGaps, Renewed, interval, is_lost
from tradelake.feed.messages import Acknowledgement, Control, ErrorMessage, Success
from tradelake.feed.negotiation import Negotiation
from tradelake.feed.policy import SessionPolicy
from tradelake.feed.refusals import (
    ALREADY_AUTHENTICATED,
    CONNECTION_LIMIT,
    FATAL,
    HTTP_FATAL,
    HTTP_TOO_MANY,
    MALFORMED,
    SLOW_CLIENT,
    SYMBOL_LIMIT,
    hold_s,
)
from tradelake.feed.silence import Silence
from tradelake.feed.state import ENDED, HANDSHAKE, State
from tradelake.feed.subscription import (
    Change,
    Credentials,
    Encoding,
    Pair,
    Subscription,
    Wanted,
    authentication,
    subscription_request,
)
from tradelake.feed.timestamps import SECOND_NS
from tradelake.market.channels import UNKNOWN
from tradelake.market.records import Record, channel_of

ON_THE_WAY_NS: Final = 1_000_000_000
"""What is lost may have been published so long before the last frame that was received."""


class Session:
    """The state machine of one subscription, over as many connections as it takes.

    Parameters
    ----------
    credentials, subscription
        Who asks for what.
    backoff : callable
        Makes an iterator of waiting times in seconds, for instance
        :func:`tradelake.feed.backoff.full_jitter`.
    policy : SessionPolicy
        How patient it is.
    encoding : {"msgpack", "json"}
        How messages are sent; what is received says so itself.
    """

    def __init__(
        self,
        credentials: Credentials,
        subscription: Subscription,
        backoff: Callable[[], Iterator[float]],
        policy: SessionPolicy | None = None,
        encoding: Encoding = "msgpack",
    ) -> None:
        self.state = State.IDLE
        self._credentials = credentials
        self._wanted = Wanted.of(subscription)
        self._make_backoff = backoff
        self._waits = backoff()
        self._policy = policy or SessionPolicy()
        self._encoding: Encoding = encoding
        self._decoder = FrameDecoder()
        self._negotiation = Negotiation()
        self._gaps = OpenGaps()
        self._silence = Silence(self._policy.channel_silence_s)
        self._since_ns = 0
        self._heard_ns = 0
        self._asked_ns = 0
        self._refusal = ""
        self._streamed = False
        self._pinged_ns: int | None = None
        self._hold_s: float | None = None

    def renew_credentials(self, credentials: Credentials) -> None:
        """Authenticate with these from the next connection on: keys are rotated."""
        self._credentials = credentials

    def connected(self, now_ns: int) -> list[Event]:
        """Report that a connection is open."""
        if self.state is not State.IDLE:
            return [Close("the session was stopped")]
        self._decoder = FrameDecoder()
        self._negotiation = Negotiation()
        self._refusal = ""
        self._heard_ns = now_ns
        self._pinged_ns = None
        self._enter(State.GREETING, now_ns)
        return []

    def received(self, frame: bytes | str, now_ns: int) -> list[Event]:
        """Report a frame. Its records are returned in every state: nothing received is dropped."""
        before_ns = self._heard_ns
        self._heard_ns = now_ns
        self._pinged_ns = None
        records, controls = self._decoder.decode(frame, now_ns)
        events: list[Event] = []
        if records:
            # gaps end before the records that end them: those are the first that are whole again
            lost = is_lost(records, frame)
            events += [] if lost else self._gaps.close(UNKNOWN, now_ns)
            events += self._spoke(records, now_ns)
            events.append(Records(records))
            events += self._lose(before_ns, now_ns) if lost else []
        for control in controls:
            events += self._control(control, before_ns, now_ns)
        return events

    def _lose(self, before_ns: int, now_ns: int) -> list[Event]:
        """Open a gap at a frame that could not be read; the next one that can, closes it.

        A message that could not be read, of a known type or not, is in hand as an ``Unreadable``
        with its bytes, and its neighbours are whole: nothing is missing, so it opens no gap.
        """
        if self.state is not State.STREAMING:
            return []
        since_ns = min(before_ns, now_ns - 1) - ON_THE_WAY_NS
        return self._gaps.open(UNKNOWN, self._wanted.symbols, since_ns, "unreadable frame")

    def pong(self, now_ns: int) -> list[Event]:
        """Report a pong frame."""
        self._heard_ns = now_ns
        self._pinged_ns = None
        return []

    def resumed(self, now_ns: int) -> list[Event]:
        """Report that frames are read again after a pause of ours: it was not the venue's."""
        self._heard_ns = now_ns
        self._silence.resumed(now_ns)
        self._pinged_ns = None
        return []

    def disconnected(self, reason: str, now_ns: int) -> list[Event]:
        """Report that the connection is gone, or that it could not be made."""
        if self.state in ENDED:
            return []
        stable_ns = self._policy.stable_s * SECOND_NS
        if self.state is State.STREAMING and now_ns - self._since_ns >= stable_ns:
            self._waits = self._make_backoff()
        if self.state is State.STOPPING:
            events = self._interrupt(STOP)
            self._enter(State.STOPPED, now_ns)
            return [*events, Stopped()]
        events = self._interrupt(f"disconnect: {reason}")
        wait_s = next(self._waits) if self._hold_s is None else self._hold_s
        self._hold_s = None
        self._enter(State.IDLE, now_ns)
        return [*events, ReconnectAfter(wait_s, reason)]

    def refused(
        self, status: int, reason: str, now_ns: int, headers: Mapping[str, str] | None = None
    ) -> list[Event]:
        """Report that the venue answered the upgrade request with an HTTP status instead.

        The headers of a 429 say how long to wait; without them it is as after 406.
        """
        said = f"HTTP {status}: {reason}"
        if status in HTTP_FATAL:
            return self._fail(f"{said}: {HTTP_FATAL[status]}", now_ns)
        if status == HTTP_TOO_MANY:
            asked_s = hold_s(headers or {}, now_ns)
            self._hold_s = self._policy.connection_limit_hold_s if asked_s is None else asked_s
        return self.disconnected(said, now_ns)

    def tick(self, now_ns: int) -> list[Event]:
        """Report that time passed; call it about once a second while connected."""
        policy = self._policy
        in_state_s = (now_ns - self._since_ns) / SECOND_NS
        if self.state in (State.CLOSING, State.STOPPING):
            if in_state_s >= policy.close_timeout_s:
                return [Abort("the venue did not answer the close")]
            return []
        if self.state in HANDSHAKE and in_state_s >= policy.handshake_timeout_s:
            return self._close(f"no answer while {self.state.value}", now_ns)
        if self.state is not State.STREAMING:
            return []
        return [*self._watch(now_ns), *self._keep_alive(now_ns)]

    def change(self, change: Change, now_ns: int) -> list[Event]:
        """Ask for more, for less, or for some of it anew; in this order: drop, add, renew.

        At once when there is a subscription, else with the next one. The venue's acknowledgement
        is checked against all that is then wanted; what it refuses is a gap.
        """
        live = self.state in (State.SUBSCRIBING, State.STREAMING)
        events: list[Event] = []
        dropped = () if change.drop is None else self._wanted.named(change.drop)
        self._wanted = self._wanted.without(dropped)
        asked = () if change.add is None else Wanted.of(change.add).pairs()
        before = set(self._wanted.pairs())
        if self._negotiation.settled:
            before.difference_update(self._lacking())
        self._wanted = self._wanted.adding(asked)
        if not live:
            return events
        for channel in self._silence.watch(self._wanted.symbols, now_ns):
            events += self._gaps.close(channel, now_ns)
        self._negotiation.ask("unsubscribe", dropped)
        self._negotiation.ask("subscribe", (pair for pair in asked if pair not in before))
        if change.renew is not None:
            events += self._renew(self._wanted.served(change.renew), now_ns)
        return [*events, *self._ask(now_ns)]

    def stop(self, now_ns: int) -> list[Event]:
        """Ask for the end: close, take what still arrives, then ``Stopped``."""
        if self.state in (*ENDED, State.STOPPING):
            return []
        if self.state is State.IDLE:
            self._enter(State.STOPPED, now_ns)
            return [Stopped()]
        closing = self.state is State.CLOSING
        self._enter(State.STOPPING, now_ns)
        return [] if closing else [Close(STOP)]

    def _control(self, control: Control, before_ns: int, now_ns: int) -> list[Event]:
        match control:
            case Success(msg="connected") if self.state is State.GREETING:
                self._enter(State.AUTHENTICATING, now_ns)
                return [Send(authentication(self._credentials, self._encoding))]
            case Success(msg="authenticated") if self.state is State.AUTHENTICATING:
                self._enter(State.SUBSCRIBING, now_ns)
                self._negotiation.ask("subscribe", self._wanted.pairs())
                return self._ask(now_ns)
            case Acknowledgement() if self.state in (State.SUBSCRIBING, State.STREAMING):
                self._negotiation.accepted(control)
                return self._ask(now_ns)
            case ErrorMessage():
                reported = VenueError(control.code, control.msg)
                return [reported, *self._refused(control, before_ns, now_ns)]
            case _:
                return []

    def _ask(self, now_ns: int) -> list[Event]:
        """Send the next request; when all are answered, judge what is subscribed."""
        request = self._negotiation.next()
        if request is not None:
            self._asked_ns = now_ns
            if self.state is State.SUBSCRIBING:
                self._since_ns = now_ns
            return [Send(subscription_request(request.action, request.pairs, self._encoding))]
        if not self._negotiation.settled:
            return []
        return self._settled(now_ns)

    def _settled(self, now_ns: int) -> list[Event]:
        acknowledged = self._negotiation.acknowledged
        missing = self._wanted.missing(acknowledged)
        if missing and missing == self._wanted.symbols:
            nothing = f"the venue serves none of the channels and symbols wanted{self._refusal}"
            if self.state is State.STREAMING:
                return self._close(nothing, now_ns)
            return self._fail(nothing, now_ns)
        if self.state is State.SUBSCRIBING:
            self._enter(State.STREAMING, now_ns)
            self._silence.start(self._wanted.symbols, now_ns)
            self._streamed = True
        self._asked_ns = now_ns
        return self._gaps.subscribed(missing, self._wanted.unwanted(acknowledged), now_ns)

    def _lacking(self) -> tuple[Pair, ...]:
        return Wanted(self._wanted.missing(self._negotiation.acknowledged)).pairs()

    def _renew(self, pairs: tuple[Pair, ...], now_ns: int) -> list[Event]:
        if not pairs:
            return []
        self._negotiation.ask("unsubscribe", pairs)
        self._negotiation.ask("subscribe", pairs)
        renewed = Wanted({}).adding(pairs).symbols
        return self._gaps.open(Renewed(pairs), renewed, now_ns, "subscription renewed")

    def _spoke(self, records: list[Record], now_ns: int) -> list[Event]:
        again = self._silence.heard({channel_of(record) for record in records}, now_ns)
        return [event for channel in again for event in self._gaps.close(channel, now_ns)]

    def _keep_alive(self, now_ns: int) -> list[Event]:
        if self.state is not State.STREAMING:
            return []
        policy = self._policy
        if self._pinged_ns is not None:
            if (now_ns - self._pinged_ns) / SECOND_NS >= policy.pong_timeout_s:
                self._enter(State.CLOSING, now_ns)
                return [Abort(f"no pong for {policy.pong_timeout_s:g} s")]
        elif (now_ns - self._heard_ns) / SECOND_NS >= policy.ping_interval_s:
            self._pinged_ns = now_ns
            return [SendPing()]
        return []

    def _watch(self, now_ns: int) -> list[Event]:
        """Look for silence, an answer that does not come, and what may be asked for again."""
        policy = self._policy
        mute_s = (now_ns - self._silence.newest_ns) / SECOND_NS
        if mute_s >= policy.silence_s and self._wanted.symbols:
            # pongs say nothing about the data: it may be missing since the last of it
            cause = f"mute: no data for {policy.silence_s:g} s"
            return [*self._interrupt(cause, self._silence.newest_ns), *self._close(cause, now_ns)]
        asked_s = (now_ns - self._asked_ns) / SECOND_NS
        if not self._negotiation.settled:
            if asked_s >= policy.handshake_timeout_s:
                return self._close("no answer to a change of the subscription", now_ns)
            return []
        events: list[Event] = []
        renewed: list[Pair] = []
        for channel, since_ns, remedy in self._silence.silent():
            cause = f"mute: no {channel} while other channels talk"
            named = self._wanted.symbols[channel]
            events += self._gaps.open(channel, {channel: named}, since_ns, cause)
            if remedy == "reconnect":
                return [*events, *self._close(cause, now_ns)]
            renewed += [(channel, symbol) for symbol in named]
        lacking = self._lacking() if asked_s >= policy.partial_retry_s else ()
        if not renewed and not lacking:
            return []
        self._negotiation.ask("unsubscribe", renewed)
        self._negotiation.ask("subscribe", dict.fromkeys((*renewed, *lacking)))
        return [*events, *self._ask(now_ns)]

    def _refused(self, error: ErrorMessage, before_ns: int, now_ns: int) -> list[Event]:
        said = f"{error.code} {error.msg}"
        asking = self._negotiation.under_way is not None
        if asking and error.code in (MALFORMED, SYMBOL_LIMIT):
            self._negotiation.refused(limit=error.code == SYMBOL_LIMIT)
            self._refusal = f": {said}"
            return self._ask(now_ns)
        if error.code in FATAL:
            return self._fail(f"{said}: {FATAL[error.code]}", now_ns)
        if error.code == SYMBOL_LIMIT and self.state is State.STREAMING:
            return []
        if error.code == SLOW_CLIENT:
            since_ns = min(before_ns, now_ns - 1) - ON_THE_WAY_NS
            return interval(self._wanted.symbols, since_ns, now_ns, "slow client (407)")
        if error.code == ALREADY_AUTHENTICATED:
            return []
        if error.code == CONNECTION_LIMIT:
            self._hold_s = self._policy.connection_limit_hold_s
        return self._close(said, now_ns)

    def _close(self, reason: str, now_ns: int) -> list[Event]:
        if self.state in (*ENDED, State.CLOSING, State.STOPPING, State.IDLE):
            return []
        gap = self._interrupt(reason)
        self._enter(State.CLOSING, now_ns)
        return [*gap, Close(reason)]

    def _fail(self, message: str, now_ns: int) -> list[Event]:
        if self.state in (*ENDED, State.STOPPING):
            return []
        gap = self._interrupt(message)
        self._enter(State.FAILED, now_ns)
        return [*gap, Close(message), Fail(message)]

    def _interrupt(self, cause: str, since_ns: int | None = None) -> list[Event]:
        if not self._streamed:
            return []
        opened_ns = self._heard_ns - ON_THE_WAY_NS if since_ns is None else since_ns
        return self._gaps.interrupt(self._wanted.symbols, opened_ns, cause)

    def _enter(self, state: State, now_ns: int) -> None:
        self.state = state
        self._since_ns = now_ns
