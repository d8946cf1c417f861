"""Plays a market to the connected clients, at a pace, losing nothing.

Every frame waits until its time has come and until every client's socket takes more, so a slow
client slows the playback rather than lose messages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tradelake.exchange.assets import Listing
from tradelake.exchange.connection import Connection, Connections
from tradelake.exchange.faults import Faults
from tradelake.exchange.journal import Kind, Outcome
from tradelake.exchange.ledger import Ledger
from tradelake.exchange.live import live
from tradelake.exchange.poison import poisoned
from tradelake.exchange.publication import Message, publish
from tradelake.exchange.source import MarketSource, Session
from tradelake.exchange.tape import Tape
from tradelake.market.channels import ORDERBOOKS
from tradelake.market.timeframes import SECOND_NS

State = Literal["waiting", "playing", "finished"]
_MILLISECOND_NS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast, and how messages are grouped.

    Parameters
    ----------
    speed : float or None
        Market seconds per second.
    duration_s : float or None
        Instead: how long the whole playback lasts, shared out over sessions by their ticks. With
        neither it goes as fast as the clients take it.
    frame_ms : float
        Playback time that shares a frame.
    frame_messages : int
        At most so many messages share a frame.
    live_s, skew_s : float or None, float
        The first session is played as if it happened now; see :func:`tradelake.exchange.live.live`.
    """

    speed: float | None
    duration_s: float | None
    frame_ms: float
    frame_messages: int
    live_s: float | None = None
    skew_s: float = 0.0


def session_speeds(sessions: Sequence[Session], pace: Pace) -> list[float | None]:
    """Market seconds per second of each session; None where clients set the pace."""
    if pace.live_s is not None:
        return [1.0] * len(sessions)
    if pace.duration_s is None:
        return [pace.speed] * len(sessions)
    total = sum(session.weight for session in sessions)
    lengths_s = [pace.duration_s * session.weight / total for session in sessions]
    return [
        max(session.end_ns - session.start_ns, SECOND_NS) / SECOND_NS / length_s
        for session, length_s in zip(sessions, lengths_s, strict=True)
    ]


def frames(messages: Iterator[Message], window_ns: float, most: int) -> Iterator[list[Message]]:
    """Group messages that lie within ``window_ns`` of the first, at most ``most`` together."""
    group: list[Message] = []
    closes_ns = 0.0
    for message in messages:
        if group and (len(group) >= most or message.at_ns > closes_ns):
            yield group
            group = []
        if not group:
            closes_ns = message.at_ns + window_ns
        group.append(message)
    if group:
        yield group


class Player:
    """Plays the sessions of a source once.

    Parameters
    ----------
    source : MarketSource
        What to play.
    pace : Pace
        How fast.
    connections, ledger, tape, faults
        Who is sent what, where it is counted and kept, and what goes wrong.
    watcher : callable
        Called with what is published, before clients are sent it.
    """

    def __init__(
        self,
        source: MarketSource,
        pace: Pace,
        *,
        connections: Connections,
        ledger: Ledger,
        tape: Tape,
        faults: Faults,
        listing: Listing,
        watcher: Callable[[Sequence[Message]], None],
    ) -> None:
        self._watcher = watcher
        self._source = source
        self._pace = pace
        self._connections = connections
        self._ledger = ledger
        self._tape = tape
        self._faults = faults
        self._listing = listing
        self._started = asyncio.Event()
        self._total = sum(session.weight for session in source.sessions)
        self._played = 0
        self._current: Session | None = None
        self.state: State = "waiting"
        self.event_ns = 0
        self.published = 0

    @property
    def progress(self) -> float:
        """Share of the playback that is done, 0 to 1."""
        if self.state != "playing" or self._current is None:
            return float(self.state == "finished")
        session = self._current
        span_ns = max(1, session.end_ns - session.start_ns)
        share = min(1.0, max(0.0, (self.event_ns - session.start_ns) / span_ns))
        return (self._played + share * session.weight) / self._total

    @property
    def now_ns(self) -> int:
        """The market's time: of what was published last, or of the first session's start."""
        return max(self.event_ns, min((one.start_ns for one in self._source.sessions), default=0))

    def start(self) -> None:
        """Begin; a second call changes nothing."""
        self._started.set()

    async def run(self) -> None:
        """Wait for the start, then play every session."""
        await self._started.wait()
        self.state = "playing"
        sessions = self._sessions()
        for session, speed in zip(sessions, session_speeds(sessions, self._pace), strict=True):
            self._current, self.event_ns = session, session.start_ns
            await self._play(session, speed)
            self._played += session.weight
        self.state = "finished"

    def _sessions(self) -> Sequence[Session]:
        sessions, pace = self._source.sessions, self._pace
        if pace.live_s is None:
            return sessions
        return [live(sessions[0], pace.live_s, time.time_ns(), pace.skew_s)]

    async def _play(self, session: Session, speed: float | None) -> None:
        pace = self._pace
        messages = publish(session, self._faults.lateness)
        if speed is None:
            for frame in frames(messages, float("inf"), pace.frame_messages):
                await self._connections.subscribed()
                await self._publish(frame)
                await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        window_ns = pace.frame_ms * _MILLISECOND_NS * speed
        for frame in frames(messages, window_ns, pace.frame_messages):
            due = began + (frame[-1].at_ns - session.start_ns) / (SECOND_NS * speed)
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._publish(frame)

    async def _publish(self, frame: Sequence[Message]) -> None:
        self.event_ns = frame[-1].at_ns
        frame = self._listing.publishable(frame)
        self.published += len(frame)
        self._ledger.published(frame, time.time_ns())
        for message in frame:
            self._tape.add(message.key, message.record)
        if frame:
            self._watcher(frame)
        live = self._connections.live()
        if len(live) == 1:
            await self._send(live[0], frame)
        elif live:
            await asyncio.gather(*(self._send(connection, frame) for connection in live))

    async def _send(self, connection: Connection, frame: Sequence[Message]) -> None:
        async with connection.lock:
            if connection.muted:
                self._ledger.became(connection.select(frame), connection.number, Outcome.MUTED)
                return
            if self._faults.resets:
                self._faults.resets = False
                await send_books(connection, self._tape, self._listing.symbols, self._ledger)
            chosen = connection.select(frame)
            if chosen:
                await self._write(connection, chosen)

    async def _write(self, connection: Connection, messages: Sequence[Message]) -> None:
        fault, number = self._faults.next_frame(), connection.number
        became = self._ledger.became
        if fault == "poison":
            poison = poisoned(messages[-1])
            self._ledger.published(poison, time.time_ns(), Kind.POISON)
            messages = [*poison, *messages]
        elif fault == "reorder":
            messages = messages[::-1]
        data = connection.frame(messages)
        if fault == "cut_mid_frame":
            became(messages, number, Outcome.CUT)
            connection.drop_inside(data)
        elif fault == "truncate":
            became(messages, number, Outcome.TRUNCATED)
            await connection.write(data[: len(data) * 2 // 3])
        elif not await connection.write(data):
            became(messages, number, Outcome.GONE)
        else:
            became(messages, number, Outcome.DELIVERED)
            if fault == "duplicate" and await connection.write(data):
                became(messages, number, Outcome.REPEATED)


async def send_books(
    connection: Connection, tape: Tape, symbols: Sequence[str], ledger: Ledger
) -> None:
    """Send the standing books the client subscribed to, whole; the caller holds the lock."""
    messages = []
    for symbol in symbols:
        key = (ORDERBOOKS, symbol)
        book = tape.book(symbol) if connection.subscriptions.wants(key) else None
        if book is not None:
            messages.append(Message(book.ts_event, key, book))
    if not messages:
        return
    ledger.published(messages, time.time_ns(), Kind.STANDING)
    written = await connection.write(connection.frame(messages))
    ledger.became(messages, connection.number, Outcome.DELIVERED if written else Outcome.GONE)
