"""Watches what a venue trades: listings, halts, delistings and renames become records and requests.

The last known universe is kept, so a delisting during an outage is seen by the next run. It is
saved together with the records it made, before they are handed on, and a run that loads it hands
the recent ones on again: they are the same records, so a crash in between neither loses nor doubles
one.

Policy: a halted pair stays subscribed and is marked; a delisted one is unsubscribed; of a renamed
one the old symbol is unsubscribed and the new one subscribed; a listed one is subscribed where the
subscription is ``*`` or names it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from tradelake.decoding import json_decoder
from tradelake.errors import InvalidData, Throttled, TradelakeError
from tradelake.feed.subscription import EVERY_SYMBOL, Change, Subscription
from tradelake.feed.universe import Asset, diff, subscribable
from tradelake.market.records import Instrument
from tradelake.market.timeframes import SECOND_NS
from tradelake.ports import Assets, Clock, StateStore, Versioned

CONSUMER: Final = "universe"
REFRESH_S: Final = 300.0
KEPT_NS: Final = 3_600 * SECOND_NS
"""Records so young are handed on again after a restart; older ones are durable or ledgered."""
_DOUBTED_SHARE: Final = 0.5
_DOUBTED_LEAST: Final = 4

Say = Callable[[Sequence[Instrument], int], None]
Request = Callable[[Change], None]
_Answer = TypeVar("_Answer")


class KnownUniverse(msgspec.Struct, frozen=True):
    """The universe as it is kept: assets, recent records of how they came to be so, renames."""

    assets: list[Asset]
    recent: list[Instrument]
    renames: dict[str, str]


class UniverseStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the watch is; ``events`` counts what this run found, by kind."""

    assets: int
    active: int
    halted: list[str]
    refreshed_ns: int
    failures: int
    error: str
    events: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Look:
    """What one refresh found: records to hand on, those that are news, those to act upon."""

    now_ns: int
    records: list[Instrument]
    news: list[Instrument]
    acted: list[Instrument]


class UniverseWatch:
    """Compares the venue's assets with the last known ones, again and again.

    Parameters
    ----------
    venue : str
        Key of the kept universe.
    assets : Assets
        The venue's list.
    states : StateStore
        Where the last known universe is kept.
    clock : Clock
        Stamps records.
    subscription : Subscription
        What was configured: which listed symbols are wanted, on which channels.
    backoff : callable
        Makes the waiting times in seconds after a refresh failed; never longer than ``every_s``.
    every_s : float
        Between two refreshes.
    """

    def __init__(
        self,
        venue: str,
        assets: Assets,
        states: StateStore,
        clock: Clock,
        subscription: Subscription,
        backoff: Callable[[], Iterator[float]],
        *,
        every_s: float = REFRESH_S,
    ) -> None:
        if every_s <= 0:
            raise ValueError(f"expected more than 0 s between two refreshes; found {every_s:g}")
        self._venue, self._assets, self._states, self._clock = venue, assets, states, clock
        self._channels = subscription.channels
        self._symbols = set(subscription.symbols)
        self._backoff, self._every_s = backoff, every_s
        self._known: KnownUniverse | None = None
        self._version = 0
        self._loaded = False
        self._said: set[Instrument] | None = None
        self._doubted: list[Asset] | None = None
        self._events: Counter[str] = Counter()
        self._refreshed_ns, self._failures, self._error = 0, 0, ""

    async def run(self, say: Say, request: Request, stop: asyncio.Event) -> None:
        """Refresh now and every so often until ``stop`` is set; a failure changes nothing.

        Parameters
        ----------
        say : callable
            Takes records and the time, in this loop.
        request : callable
            Takes changes of the subscription, in this loop.
        stop : asyncio.Event
            Asks for the end; a refresh under way is left to itself.
        """
        waits = self._backoff()
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                looking = asyncio.create_task(asyncio.to_thread(self._look))
                await asyncio.wait((looking, stopping), return_when=asyncio.FIRST_COMPLETED)
                if not looking.done():
                    looking.cancel()
                    return
                try:
                    look = looking.result()
                except TradelakeError as error:
                    wait_s = min(self._every_s, self._failed(error, waits))
                else:
                    self._hand_on(look, say, request)
                    waits, wait_s = self._backoff(), self._every_s
                await asyncio.wait((stopping,), timeout=wait_s)
        finally:
            stopping.cancel()

    def admit(self, symbols: Sequence[str]) -> tuple[str, ...]:
        """Return those of the configured symbols that the venue has now; ``*`` stays.

        Call it before the first subscription: a venue refuses all because of one that is gone. A
        symbol that was renamed since is replaced by its follower. It asks the venue, or failing
        that the last known universe; where nothing is known, all are returned. What it learns is
        handed on by :meth:`run`.
        """
        known = self._attempt(self._stored) or KnownUniverse([], [], {})
        assets = self._attempt(self._fetch) or known.assets
        followed = tuple(dict.fromkeys(_follow(symbol, known.renames) for symbol in symbols))
        self._symbols.update(followed)
        if not assets:
            return followed
        kept = {EVERY_SYMBOL, *subscribable(followed, assets)}
        return tuple(symbol for symbol in followed if symbol in kept)

    def status(self) -> UniverseStatus:
        """How the watch is."""
        assets = self._known.assets if self._known is not None else []
        active = [asset for asset in assets if asset.active]
        return UniverseStatus(
            assets=len(assets),
            active=len(active),
            halted=sorted(asset.symbol for asset in active if not asset.tradable),
            refreshed_ns=self._refreshed_ns,
            failures=self._failures,
            error=self._error,
            events=dict(self._events),
        )

    def _look(self) -> _Look:
        """Fetch, compare and save, in a thread; only one runs at a time."""
        if not self._loaded:
            self._load()
        now_ns = self._clock.now_ns()
        found = self._fetch()
        known = self._known or KnownUniverse([], [], {})
        events = diff(known.assets, found, now_ns)
        self._doubt(known.assets, found, events)
        baseline = self._known is None
        recent = [record for record in known.recent if record.ts_event > now_ns - KEPT_NS]
        if found != known.assets:
            listed = {event.symbol for event in events if event.event == "listed"}
            renames = {old: new for old, new in known.renames.items() if old not in listed}
            renames |= {event.symbol: event.renamed_to for event in events if event.renamed_to}
            self._save(KnownUniverse(found, recent + events, renames))
        if self._said is None:
            return _Look(now_ns, recent + events, events, [] if baseline else events)
        news = [record for record in recent if record not in self._said] + events
        return _Look(now_ns, news, news, news)

    def _fetch(self) -> list[Asset]:
        found = self._assets.crypto_assets()
        if not any(asset.active for asset in found):
            raise InvalidData("assets", f"expected an active asset; found none of {len(found)}")
        return sorted(found, key=lambda asset: (asset.symbol, asset.asset_id))

    def _doubt(self, before: list[Asset], found: list[Asset], events: list[Instrument]) -> None:
        """Refuse an answer that most pairs are gone from until the next one says the same."""
        gone = sum(event.event == "delisted" for event in events)
        active = sum(asset.active for asset in before)
        if gone < max(_DOUBTED_LEAST, active * _DOUBTED_SHARE) or found == self._doubted:
            self._doubted = None
            return
        self._doubted = found
        raise InvalidData(
            "assets", f"{gone} of {active} active pairs are gone at once; asking again to be sure"
        )

    def _load(self) -> None:
        """Load what is kept; what nobody can read counts as a failure and is replaced."""
        stored = self._states.load(CONSUMER, self._venue)
        self._known, self._version = None, 0
        if stored is not None:
            self._known, self._version = self._attempt(lambda: _decode(stored)), stored.version
        self._loaded = True

    def _stored(self) -> KnownUniverse | None:
        stored = self._states.load(CONSUMER, self._venue)
        return None if stored is None else _decode(stored)

    def _save(self, universe: KnownUniverse) -> None:
        try:
            value = msgspec.json.encode(universe)
            self._states.save(CONSUMER, self._venue, value, self._version)
        except TradelakeError:
            self._loaded = False  # it may have been written all the same: look before the next
            raise
        self._known, self._version = universe, self._version + 1

    def _attempt(self, ask: Callable[[], _Answer]) -> _Answer | None:
        try:
            return ask()
        except TradelakeError as error:
            self._failures, self._error = self._failures + 1, str(error)
            return None

    def _failed(self, error: TradelakeError, waits: Iterator[float]) -> float:
        self._failures += 1
        self._error = str(error)
        if isinstance(error, Throttled) and error.retry_after_s is not None:
            return error.retry_after_s
        return next(waits)

    def _hand_on(self, look: _Look, say: Say, request: Request) -> None:
        self._refreshed_ns, self._error = look.now_ns, ""
        self._events.update(record.event for record in look.news)
        if look.records:
            say(look.records, look.now_ns)
        self._said = set(self._known.recent) if self._known is not None else set()
        change = self._change(look.acted)
        if change is not None:
            request(change)

    def _change(self, records: Iterable[Instrument]) -> Change | None:
        """What records ask of the subscription, together; nothing of symbols not wanted."""
        wanted: dict[str, bool] = {}
        for record in records:
            if EVERY_SYMBOL not in self._symbols and record.symbol not in self._symbols:
                continue
            match record.event:
                case "listed":
                    wanted[record.symbol] = True
                case "delisted":
                    wanted[record.symbol] = False
                case "renamed":
                    self._symbols.add(record.renamed_to)
                    wanted |= {record.symbol: False, record.renamed_to: True}
                case "changed" | "halted" | "resumed":
                    pass
        add, drop = (
            tuple(symbol for symbol, on in wanted.items() if on is which) for which in (True, False)
        )
        if not wanted:
            return None
        return Change(
            add=Subscription(self._channels, add) if add else None,
            drop=Subscription(self._channels, drop) if drop else None,
        )


def _decode(stored: Versioned) -> KnownUniverse:
    try:
        return json_decoder(KnownUniverse).decode(stored.value)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidData("universe", f"version {stored.version}: {error}") from error


def _follow(symbol: str, renames: Mapping[str, str]) -> str:
    """Return the last symbol of a chain of renames; a circle ends where it began."""
    seen = {symbol}
    while (follower := renames.get(symbol)) is not None and follower not in seen:
        seen.add(follower)
        symbol = follower
    return symbol
