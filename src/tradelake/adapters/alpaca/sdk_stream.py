"""alpaca-py's crypto stream, told to report what it otherwise keeps to itself or only logs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from alpaca.data.live import CryptoDataStream
from alpaca.data.live.websocket import websockets

from tradelake.feed.events import STOP
from tradelake.feed.policy import SessionPolicy
from tradelake.feed.refusals import CONNECTION_LIMIT, FATAL, HTTP_FATAL, HTTP_TOO_MANY, hold_s
from tradelake.feed.subscription import Credentials, Pair
from tradelake.ports import Clock

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
_QUEUED_FRAMES: Final = 1024
_CODES: Final = {
    "auth failed": 402,
    "auth timeout": 404,
    "connection limit exceeded": CONNECTION_LIMIT,
    "insufficient subscription": 409,
    "insufficient scope": 411,
}
"""The SDK keeps the text of a refusal and drops its code; these texts are documented."""

Message = dict[str, Any]


class Observer(Protocol):
    """Who is told what the SDK does."""

    async def take(self, message: Message) -> None:
        """Take a data message."""
        ...

    def control(self, message: Message) -> None:
        """Take a control message."""
        ...

    def asked(self) -> None:
        """Note that one more acknowledgement is due."""
        ...

    def lost(self, reason: str) -> None:
        """Note that a frame, or the rest of one, went missing inside the SDK."""
        ...

    def closed(self, reason: str) -> None:
        """Note that there is no connection, or soon none."""
        ...

    def fail(self, message: str) -> None:
        """Note that the venue refuses for good."""
        ...


class SdkStream(CryptoDataStream):  # type: ignore[misc]  # alpaca-py is not type-checked here
    """The SDK's client in the caller's loop, with our waits and with its turns reported.

    Parameters
    ----------
    url, credentials
        Where, and as whom.
    observer : Observer
        Told what happens.
    clock : Clock
        Reads when a rate limit ends.
    waits : callable
        Makes an iterator of waiting times, seconds.
    policy : SessionPolicy
        How patient it is.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        observer: Observer,
        clock: Clock,
        waits: Callable[[], Iterator[float]],
        policy: SessionPolicy,
    ) -> None:
        super().__init__(
            credentials.key,
            credentials.secret,
            raw_data=True,
            url_override=url,
            websocket_params={
                "ping_interval": policy.ping_interval_s,
                "ping_timeout": policy.pong_timeout_s,
                "close_timeout": policy.close_timeout_s,
                "max_queue": _QUEUED_FRAMES,
                "max_size": MAX_FRAME_BYTES,
            },
            data_timeout=policy.silence_s,
        )
        self._observer = observer
        self._clock = clock
        self._waits = waits()
        self._policy = policy
        self._hold_s: float | None = None
        self._reason = ""
        self._given_up = False

    async def serve(self) -> None:
        """Run until :meth:`end`, or until the venue refuses for good."""
        await self._run_forever()

    async def end(self) -> None:
        """Close, let what arrived be delivered, and let :meth:`serve` return."""
        self._reason = STOP
        if not self._running or self._ws is None:
            await self.stop_ws()
            return
        # An entry in the SDK's stop queue would drop the frames that are still in its buffer.
        self._should_run = False
        if self._stop_stream_event is not None:
            self._stop_stream_event.set()
        await self._ws.close()

    async def reconnect(self, reason: str) -> None:
        """Give the connection up and make another."""
        self._reason = reason
        if self._ws is not None:
            await self._ws.close()

    def want(self, pairs: Iterable[Pair]) -> None:
        """Set what the next subscription asks for."""
        for named in self._handlers.values():
            named.clear()
        for channel, symbol in pairs:
            self._handlers[channel][symbol] = self._observer.take

    async def tell(self, dropped: Mapping[str, list[str]], *, subscribe: bool) -> None:
        """Unsubscribe from some, then subscribe to all that is wanted; nothing without connection.

        The SDK's own methods for this wait for the loop that they block.
        """
        if not self._running:
            return
        try:
            for channel, symbols in dropped.items():
                self._observer.asked()
                await self._send_unsubscribe_msg(channel, symbols)
            if subscribe:
                await self._send_subscribe_msg()
        except websockets.WebSocketException as error:
            self._reason = f"{type(error).__name__}: {error}"

    async def close(self) -> None:
        """Close the connection, after telling the observer."""
        self._observer.closed(self._reason)
        self._reason = ""
        await super().close()

    async def _send_subscribe_msg(self) -> None:
        self._observer.asked()
        await super()._send_subscribe_msg()

    async def _start_ws(self) -> None:
        try:
            await super()._start_ws()
        except Exception as error:
            self._refused(error)
            if self._given_up:
                await self.stop_ws()
            raise

    def _refused(self, error: Exception) -> None:
        self._reason = f"{type(error).__name__}: {error}"
        status = getattr(error, "status_code", None)
        if status in HTTP_FATAL:
            self._give_up(f"HTTP {status}: {HTTP_FATAL[status]}")
        elif status == HTTP_TOO_MANY:
            asked_s = hold_s(getattr(error, "headers", {}), self._clock.now_ns())
            self._hold_s = self._policy.connection_limit_hold_s if asked_s is None else asked_s
        else:
            code = _CODES.get(str(error))
            if code is not None:
                self._observer.control({"T": "error", "code": code, "msg": str(error)})

    def refused(self, code: int, text: str) -> None:
        """Do what a code asks for: hold off, or give up."""
        if code == CONNECTION_LIMIT:
            self._hold_s = self._policy.connection_limit_hold_s
        elif code in FATAL:
            self._give_up(f"{code} {text}: {FATAL[code]}")

    def _give_up(self, message: str) -> None:
        self._given_up = True
        self._observer.fail(message)

    def _reconnect_delay(self, retries: int) -> float:  # noqa: ARG002 -- the SDK's signature
        hold, self._hold_s = self._hold_s, None
        return next(self._waits) if hold is None else hold

    async def _consume(self) -> bool:
        try:
            stale: bool = await super()._consume()
        except Exception as error:
            self._reason = self._reason or f"{type(error).__name__}: {error}"
            if not isinstance(error, websockets.WebSocketException):
                self._observer.lost(self._reason)
                self._reason = ""
            raise
        return stale

    async def _dispatch(self, msg: Message) -> None:
        if msg.get("T") in ("subscription", "error", "success"):
            self._observer.control(msg)
        dispatch: Awaitable[None] = super()._dispatch(msg)
        await dispatch
