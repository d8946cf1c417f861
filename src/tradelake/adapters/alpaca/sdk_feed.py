"""A feed over alpaca-py's own stream client, for who wants the SDK on the wire.

What it cannot do is told in ``docs/adr/0010-feed-session.md``; what goes missing inside the SDK and
can be seen from outside is a gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec.msgpack import Ext

from tradelake.adapters.alpaca.sdk_stream import Message, SdkStream
from tradelake.decoding import convert
from tradelake.errors import Fatal
from tradelake.feed.decode import FrameDecoder
from tradelake.feed.events import STOP, Event, Records, VenueError
from tradelake.feed.gaps import OpenGaps, Renewed, interval
from tradelake.feed.messages import Acknowledgement
from tradelake.feed.policy import SessionPolicy
from tradelake.feed.refusals import MALFORMED, SLOW_CLIENT, SYMBOL_LIMIT
from tradelake.feed.silence import Silence
from tradelake.feed.subscription import Change, Credentials, Pair, Subscription, Wanted
from tradelake.feed.timestamps import SECOND_NS
from tradelake.market.records import channel_of
from tradelake.ports import Clock
from tradelake.usecases.intake import Intake

TICK_S: Final = 0.5
_MOST_MESSAGES: Final = 1000
_TIMESTAMP: Final = -1


class AlpacaSdkFeed:
    """The SDK's ``CryptoDataStream`` with raw data, as a feed.

    Parameters
    ----------
    url : str
        The stream's address.
    credentials, subscription
        Who asks for what.
    clock : Clock
        Stamps what is received.
    backoff : callable
        Makes an iterator of waiting times in seconds.
    policy : SessionPolicy
        How patient it is.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        subscription: Subscription,
        clock: Clock,
        backoff: Callable[[], Iterator[float]],
        policy: SessionPolicy | None = None,
    ) -> None:
        self._url, self._clock = url, clock
        self._policy = policy or SessionPolicy()
        self._wanted = Wanted.of(subscription)
        self._stream = SdkStream(url, credentials, self, clock, backoff, self._policy)
        self._stream.want(self._wanted.pairs())
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_extension)
        self._decoder = FrameDecoder()
        self._gaps = OpenGaps()
        self._silence = Silence(self._policy.channel_silence_s)
        self._intake: Intake | None = None
        self._messages: list[Message] = []
        self._flushing: asyncio.Handle | None = None
        self._received_ns = self._heard_ns = self._asked_ns = 0
        self._due = 0
        self._acknowledged: Acknowledgement | None = None
        self._streaming = self._streamed = False
        self._failure: str | None = None
        self._given_up = asyncio.Event()
        self._orders: asyncio.Queue[tuple[dict[str, list[str]], bool]] = asyncio.Queue()

    def request(self, change: Change) -> None:
        """Change the subscription: at once when there is a connection, else with the next.

        Does not block. Called in the loop that runs the feed, or before it runs.
        """
        now_ns = self._clock.now_ns()
        dropped = () if change.drop is None else self._wanted.named(change.drop)
        added = () if change.add is None else Wanted.of(change.add).pairs()
        self._wanted = self._wanted.without(dropped).adding(added)
        renewed = () if change.renew is None else self._wanted.served(change.renew)
        if self._streaming:
            for channel in self._silence.watch(self._wanted.symbols, now_ns):
                self._tell(self._gaps.close(channel, now_ns))
            named = Wanted({}).adding(renewed).symbols
            key = Renewed(renewed)
            self._tell(self._gaps.open(key, named, now_ns, "subscription renewed"))
        self._order((*dropped, *renewed), renewed, subscribe=bool(added or renewed))

    async def run(self, intake: Intake, stop: asyncio.Event) -> None:
        """Feed ``intake`` until ``stop`` is set and what the SDK had received is handed over.

        Raises
        ------
        Fatal
            The venue refuses for good.
        """
        self._intake = intake
        serving = asyncio.create_task(self._stream.serve())
        attending = [
            asyncio.create_task(self._attend()),
            asyncio.create_task(self._carry_out_orders()),
        ]
        ending = [asyncio.create_task(stop.wait()), asyncio.create_task(self._given_up.wait())]
        tasks = {serving, *attending, *ending}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                async with asyncio.timeout(self._policy.close_timeout_s):
                    await self._stream.end()
                    await asyncio.wait({serving})
        except TimeoutError:
            pass
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        self._flush()
        self._interrupt(STOP if stop.is_set() else "the SDK's client ended")
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        if self._failure is not None or not stop.is_set():
            raise Fatal(f"{self._url}: {self._failure or 'the SDK ended without saying why'}")

    async def take(self, message: Message) -> None:
        """Take a data message of the SDK; it is handed over with its neighbours."""
        if not self._messages:
            self._received_ns = self._clock.now_ns()
        self._messages.append(message)
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_soon(self._flush)
        if len(self._messages) >= _MOST_MESSAGES:
            self._flush()
        assert self._intake is not None
        if self._intake.full:
            self._flush()
            await self._intake.room()
            self._silence.resumed(self._clock.now_ns())

    def control(self, message: Message) -> None:
        """Take a control message of the venue."""
        self._flush()
        now_ns = self._clock.now_ns()
        before_ns, self._heard_ns = self._heard_ns, now_ns
        if message.get("T") == "error":
            error = VenueError(int(message.get("code", 0)), str(message.get("msg", "")))
            self._tell([error])
            self._refused(error, before_ns, now_ns)
        elif message.get("T") == "subscription":
            self._acknowledged = convert(message, Acknowledgement)
            self._due = max(0, self._due - 1)
            self._settle(now_ns)

    def asked(self) -> None:
        """Expect one more acknowledgement."""
        self._due += 1
        self._asked_ns = self._clock.now_ns()

    def lost(self, reason: str) -> None:
        """Record the gap of a frame that the SDK dropped."""
        self._flush()
        since_ns, self._heard_ns = self._heard_ns, self._clock.now_ns()
        self._interval(since_ns, f"lost in the SDK: {reason}")

    def closed(self, reason: str) -> None:
        """Record that the connection is gone: the gap begins with the last that was received."""
        self._flush()
        mute_s = (self._clock.now_ns() - self._silence.newest_ns) / SECOND_NS
        if not reason and mute_s >= self._policy.silence_s:
            self._heard_ns = min(self._heard_ns, self._silence.newest_ns)
            reason = f"mute: no data for {self._policy.silence_s:g} s"
        self._interrupt(STOP if reason == STOP else f"disconnect: {reason or 'by the SDK'}")
        self._streaming, self._due, self._acknowledged = False, 0, None
        self._decoder = FrameDecoder()

    def fail(self, message: str) -> None:
        """Stop for good."""
        self._failure = self._failure or message

    def _order(
        self, dropped: tuple[Pair, ...], renewed: tuple[Pair, ...], *, subscribe: bool
    ) -> None:
        self._stream.want(dict.fromkeys((*self._wanted.pairs(), *renewed)))
        if self._streaming:
            named = Wanted({}).adding(dropped).symbols
            order = {channel: list(symbols) for channel, symbols in named.items()}
            self._orders.put_nowait((order, subscribe))

    async def _carry_out_orders(self) -> None:
        while True:
            dropped, subscribe = await self._orders.get()
            await self._stream.tell(dropped, subscribe=subscribe)

    def _refused(self, error: VenueError, before_ns: int, now_ns: int) -> None:
        asking = self._due > 0
        if asking and error.code in (SYMBOL_LIMIT, MALFORMED):
            self._due -= 1
            if self._acknowledged is not None:
                self._settle(now_ns)
                return
            said = f"{error.code} {error.message}"
            self._fail_now(f"{said}: nothing is subscribed; ask for fewer, valid symbols")
        elif error.code == SLOW_CLIENT:
            self._interval(min(before_ns, now_ns - 1), "slow client (407)")
        else:
            self._stream.refused(error.code, error.message)
            if self._failure is not None:
                self._fail_now(self._failure)

    def _fail_now(self, message: str) -> None:
        self.fail(message)
        self._given_up.set()

    def _settle(self, now_ns: int) -> None:
        acknowledged = self._acknowledged
        if acknowledged is None or self._due:
            return
        missing = self._wanted.missing(acknowledged)
        if missing and missing == self._wanted.symbols:
            self._fail_now("the venue serves none of the channels and symbols wanted")
            return
        if not self._streaming:
            self._silence.start(self._wanted.symbols, now_ns)
            self._streaming = self._streamed = True
        self._asked_ns = now_ns
        unwanted = self._wanted.unwanted(acknowledged)
        self._tell(self._gaps.subscribed(missing, unwanted, now_ns))

    async def _attend(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now_ns = self._clock.now_ns()
            asked_s = (now_ns - self._asked_ns) / SECOND_NS
            if self._due and asked_s >= self._policy.handshake_timeout_s:
                await self._stream.reconnect("no answer to a subscription")
            elif self._streaming and not self._due:
                await self._watch(asked_s)

    async def _watch(self, asked_s: float) -> None:
        for channel, since_ns, remedy in self._silence.silent():
            cause = f"mute: no {channel} while other channels talk"
            named = self._wanted.symbols[channel]
            self._tell(self._gaps.open(channel, {channel: named}, since_ns, cause))
            if remedy == "reconnect":
                await self._stream.reconnect(cause)
                return
            pairs = tuple((channel, symbol) for symbol in named)
            self._order(pairs, (), subscribe=True)
        acknowledged = self._acknowledged
        lacking = acknowledged is not None and self._wanted.missing(acknowledged)
        if lacking and asked_s >= self._policy.partial_retry_s:
            self._order((), (), subscribe=True)

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if not self._messages:
            return
        messages, self._messages = self._messages, []
        self._heard_ns = self._received_ns
        frame = self._encoder.encode(messages)
        records, _ = self._decoder.decode(frame, self._received_ns)
        spoke = self._silence.heard({channel_of(record) for record in records}, self._received_ns)
        events: list[Event] = []
        for channel in spoke:
            events += self._gaps.close(channel, self._received_ns)
        self._tell([*events, Records(records)])  # the first records that are whole again

    def _interrupt(self, cause: str) -> None:
        if self._streamed:
            self._tell(self._gaps.interrupt(self._wanted.symbols, self._heard_ns, cause))

    def _interval(self, since_ns: int, cause: str) -> None:
        self._tell(interval(self._wanted.symbols, since_ns, self._clock.now_ns(), cause))

    def _tell(self, events: list[Event]) -> None:
        if self._intake is not None:
            for event in events:
                self._intake.take(event, self._clock.now_ns())


def _extension(value: Any) -> Ext:  # noqa: ANN401 -- what msgspec does not know
    # The SDK unpacks instants as objects of its MessagePack library; their bytes are what came.
    if hasattr(value, "to_bytes"):
        return Ext(_TIMESTAMP, value.to_bytes())
    raise NotImplementedError(f"expected a timestamp, found {type(value).__name__}")
