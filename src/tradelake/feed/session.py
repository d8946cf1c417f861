"""Alpaca's market-data session as a state machine without I/O: inputs in, events out.

The shell that owns the socket reports what happened (``connected``, ``received``, ``pong``,
``disconnected``, ``tick``, ``stop``) and carries out the returned events in order. It takes no
decision of its own, so every decision is here and can be tested without a socket or a clock. Times
are ns since 1970 UTC, passed in.

::

    IDLE -> GREETING -> AUTHENTICATING -> SUBSCRIBING -> STREAMING
      ^         |             |                |             |
      |         v             v                v             v
      '---------+--------- CLOSING <-----------+-------------'
    stop: -> STOPPING -> STOPPED         fatal refusal: -> FAILED
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tradelake.feed.decode import FrameDecoder
from tradelake.feed.events import (
    STOP,
    Abort,
    Close,
    Event,
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
from tradelake.feed.messages import Acknowledgement, Control, ErrorMessage, Success
from tradelake.feed.subscription import (
    Credentials,
    Encoding,
    Subscription,
    authentication,
    subscription_request,
)

SECOND_NS: Final = 1_000_000_000
SYMBOL_LIMIT: Final = 405
CONNECTION_LIMIT: Final = 406
SLOW_CLIENT: Final = 407
ALREADY_AUTHENTICATED: Final = 403
FATAL: Final = {
    400: "the request is malformed or names an invalid symbol",
    402: "authentication failed: check the key and secret of this account and environment",
    409: "the account's plan does not include this feed",
    410: "a channel is not available in this feed",
    411: "the key's scope does not allow this feed",
}
"""Codes after which trying again would be wrong, with what they mean to a reader of the log."""

HTTP_TOO_MANY: Final = 429
HTTP_FATAL: Final = {
    400: "the address or a header is not understood",
    401: "authentication failed: check the key and secret of this account and environment",
    403: "the account may not use this feed",
    404: "there is no feed at this address",
}
"""Answers to the upgrade request after which trying again would be wrong."""


class State(enum.Enum):
    """Where a session stands."""

    IDLE = "idle"
    GREETING = "greeting"
    AUTHENTICATING = "authenticating"
    SUBSCRIBING = "subscribing"
    STREAMING = "streaming"
    CLOSING = "closing"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


_HANDSHAKE: Final = (State.GREETING, State.AUTHENTICATING, State.SUBSCRIBING)
_ENDED: Final = (State.STOPPED, State.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPolicy:
    """How patient a session is; everything in seconds.

    Parameters
    ----------
    connection_limit_hold_s : float
        Wait after 406: the venue holds an unclean connection for about 90 s.
    handshake_timeout_s : float
        Longest wait for each step of the handshake.
    ping_interval_s, pong_timeout_s : float
        A ping is sent when nothing came for the interval; the connection is given up when nothing
        came for the time-out after it.
    silence_s : float
        Without a data message for so long the socket counts as mute and is replaced.
    close_timeout_s : float
        Longest wait for the venue's close frame.
    stable_s : float
        A stream that lasted so long starts the back-off anew.
    """

    connection_limit_hold_s: float = 90.0
    handshake_timeout_s: float = 10.0
    ping_interval_s: float = 10.0
    pong_timeout_s: float = 5.0
    silence_s: float = 300.0
    close_timeout_s: float = 5.0
    stable_s: float = 30.0


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
        self._subscription = subscription
        self._make_backoff = backoff
        self._waits = backoff()
        self._policy = policy or SessionPolicy()
        self._encoding: Encoding = encoding
        self._decoder = FrameDecoder()
        self._since_ns = 0
        self._heard_ns = 0
        self._data_ns = 0
        self._streamed = False
        self._pinged_ns: int | None = None
        self._hold_s: float | None = None
        self._gap: GapOpened | None = None
        self._partial: GapOpened | None = None

    def connected(self, now_ns: int) -> list[Event]:
        """Report that a connection is open."""
        if self.state is not State.IDLE:
            return [Close("the session was stopped")]
        self._decoder = FrameDecoder()
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
            self._data_ns = now_ns
            events.append(Records(records))
        for control in controls:
            events += self._control(control, before_ns, now_ns)
        return events

    def pong(self, now_ns: int) -> list[Event]:
        """Report a pong frame."""
        self._heard_ns = now_ns
        self._pinged_ns = None
        return []

    def resumed(self, now_ns: int) -> list[Event]:
        """Report that frames are read again after a pause of ours: it was not the venue's."""
        self._heard_ns = self._data_ns = now_ns
        self._pinged_ns = None
        return []

    def disconnected(self, reason: str, now_ns: int) -> list[Event]:
        """Report that the connection is gone, or that it could not be made."""
        if self.state in _ENDED:
            return []
        stable_ns = self._policy.stable_s * SECOND_NS
        if self.state is State.STREAMING and now_ns - self._since_ns >= stable_ns:
            self._waits = self._make_backoff()
        if self.state is State.STOPPING:
            events = self._open_gap(STOP)
            self._enter(State.STOPPED, now_ns)
            return [*events, Stopped()]
        events = self._open_gap(f"disconnect: {reason}")
        wait_s = next(self._waits) if self._hold_s is None else self._hold_s
        self._hold_s = None
        self._enter(State.IDLE, now_ns)
        return [*events, ReconnectAfter(wait_s, reason)]

    def refused(self, status: int, reason: str, now_ns: int) -> list[Event]:
        """Report that the venue answered the upgrade request with an HTTP status instead."""
        said = f"HTTP {status}: {reason}"
        if status in HTTP_FATAL:
            return self._fail(f"{said}: {HTTP_FATAL[status]}", now_ns)
        if status == HTTP_TOO_MANY:
            self._hold_s = self._policy.connection_limit_hold_s
        return self.disconnected(said, now_ns)

    def tick(self, now_ns: int) -> list[Event]:
        """Report that time passed; call it about once a second while connected."""
        policy = self._policy
        in_state_s = (now_ns - self._since_ns) / SECOND_NS
        if self.state in (State.CLOSING, State.STOPPING):
            if in_state_s >= policy.close_timeout_s:
                return [Abort("the venue did not answer the close")]
            return []
        if self.state in _HANDSHAKE and in_state_s >= policy.handshake_timeout_s:
            return self._close(f"no answer while {self.state.value}", now_ns)
        if self.state is not State.STREAMING:
            return []
        if (now_ns - self._data_ns) / SECOND_NS >= policy.silence_s:
            # pongs say nothing about the data: it may be missing since the last of it
            cause = f"mute: no data for {policy.silence_s:g} s"
            return [*self._open_gap(cause, self._data_ns), *self._close(cause, now_ns)]
        if self._pinged_ns is not None:
            if (now_ns - self._pinged_ns) / SECOND_NS >= policy.pong_timeout_s:
                self._enter(State.CLOSING, now_ns)
                return [Abort(f"no pong for {policy.pong_timeout_s:g} s")]
            return []
        if (now_ns - self._heard_ns) / SECOND_NS >= policy.ping_interval_s:
            self._pinged_ns = now_ns
            return [SendPing()]
        return []

    def stop(self, now_ns: int) -> list[Event]:
        """Ask for the end: close, take what still arrives, then ``Stopped``."""
        if self.state in (*_ENDED, State.STOPPING):
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
                return [Send(subscription_request(self._subscription, self._encoding))]
            case Acknowledgement() if self.state in (State.SUBSCRIBING, State.STREAMING):
                return self._acknowledged(control, now_ns)
            case ErrorMessage():
                reported = VenueError(control.code, control.msg)
                return [reported, *self._refused(control, before_ns, now_ns)]
            case _:
                return []

    def _acknowledged(self, acknowledged: Acknowledgement, now_ns: int) -> list[Event]:
        if self._subscription.nothing_of(acknowledged):
            return self._fail("the venue acknowledged none of the channels asked for", now_ns)
        events: list[Event] = []
        if self.state is State.SUBSCRIBING:
            self._enter(State.STREAMING, now_ns)
            self._data_ns = now_ns
            self._streamed = True
        if self._gap is not None:
            events.append(GapClosed(self._gap, now_ns))
            self._gap = None
        missing = self._subscription.missing(acknowledged)
        events.append(Subscribed(missing))
        return [*events, *self._track_missing(missing, now_ns)]

    def _track_missing(self, missing: dict[str, tuple[str, ...]], now_ns: int) -> list[Event]:
        symbols = tuple(sorted({symbol for lacking in missing.values() for symbol in lacking}))
        channels = tuple(missing)
        partial = self._partial
        if partial is not None and (partial.channels, partial.symbols) == (channels, symbols):
            return []
        events: list[Event] = []
        if partial is not None:
            events.append(GapClosed(partial, now_ns))
        self._partial = None
        if missing:
            self._partial = GapOpened(now_ns, channels, symbols, "partial acknowledgement")
            events.append(self._partial)
        return events

    def _refused(self, error: ErrorMessage, before_ns: int, now_ns: int) -> list[Event]:
        said = f"{error.code} {error.msg}"
        if error.code in FATAL:
            return self._fail(f"{said}: {FATAL[error.code]}", now_ns)
        if error.code == SYMBOL_LIMIT:
            if self.state is State.STREAMING:
                return []
            return self._fail(f"{said}: nothing is subscribed; ask for fewer symbols", now_ns)
        if error.code == SLOW_CLIENT:
            gap = self._interval(min(before_ns, now_ns - 1), "slow client (407)")
            return [gap, GapClosed(gap, now_ns)]
        if error.code == ALREADY_AUTHENTICATED:
            return []
        if error.code == CONNECTION_LIMIT:
            self._hold_s = self._policy.connection_limit_hold_s
        return self._close(said, now_ns)

    def _close(self, reason: str, now_ns: int) -> list[Event]:
        if self.state in (*_ENDED, State.CLOSING, State.STOPPING, State.IDLE):
            return []
        gap = self._open_gap(reason)
        self._enter(State.CLOSING, now_ns)
        return [*gap, Close(reason)]

    def _fail(self, message: str, now_ns: int) -> list[Event]:
        if self.state in (*_ENDED, State.STOPPING):
            return []
        gap = self._open_gap(message)
        self._enter(State.FAILED, now_ns)
        return [*gap, Close(message), Fail(message)]

    def _open_gap(self, cause: str, since_ns: int | None = None) -> list[Event]:
        opened_ns = self._heard_ns if since_ns is None else since_ns
        if not self._streamed or self._gap is not None:
            return []
        events: list[Event] = []
        if self._partial is not None:
            events.append(GapClosed(self._partial, max(opened_ns, self._partial.opened_ns)))
            self._partial = None
        self._gap = self._interval(opened_ns, cause)
        return [*events, self._gap, Interrupted(cause)]

    def _interval(self, opened_ns: int, cause: str) -> GapOpened:
        return GapOpened(opened_ns, self._subscription.channels, self._subscription.symbols, cause)

    def _enter(self, state: State, now_ns: int) -> None:
        self.state = state
        self._since_ns = now_ns
