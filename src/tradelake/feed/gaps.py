"""The gaps a feed has open: of the whole stream, or of a part of it while the rest goes on."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

from tradelake.feed.events import Event, GapClosed, GapOpened, Interrupted, Subscribed
from tradelake.feed.subscription import Pair
from tradelake.market.channels import UNKNOWN
from tradelake.market.records import Record, Unreadable

Block = tuple[tuple[str, ...], tuple[str, ...]]
"""Channels and symbols, each of the former with all of the latter."""


def blocks(symbols: Mapping[str, tuple[str, ...]]) -> list[Block]:
    """Group channels that have the same symbols, as a gap names them.

    >>> blocks({"trades": ("A/USD",), "bars": ("B/USD",), "quotes": ("A/USD",)})
    [(('trades', 'quotes'), ('A/USD',)), (('bars',), ('B/USD',))]
    """
    channels: dict[tuple[str, ...], list[str]] = {}
    for channel, named in symbols.items():
        if named:
            channels.setdefault(named, []).append(channel)
    return [(tuple(of_symbols), named) for named, of_symbols in channels.items()]


def interval(
    wanted: Mapping[str, tuple[str, ...]], since_ns: int, until_ns: int, cause: str
) -> list[Event]:
    """Return the gap of everything wanted that is over already, opened and closed."""
    gaps = [GapOpened(since_ns, *block, cause) for block in blocks(wanted)]
    return [*gaps, *(GapClosed(gap, until_ns) for gap in gaps)]


def is_lost(records: Sequence[Record], frame: bytes | str) -> bool:
    """Whether nothing of the frame could be read: its one record holds it as a whole.

    A message cut out of a frame is always shorter than the frame: an array surrounds it.
    """
    first = records[0]
    if not (isinstance(first, Unreadable) and first.channel == UNKNOWN):
        return False
    whole = frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame
    return first.raw == whole


class Missing(NamedTuple):
    """Names the gap of what is wanted and not acknowledged."""

    channels: tuple[str, ...]
    symbols: tuple[str, ...]


class Renewed(NamedTuple):
    """Names the gap of what is being asked for anew."""

    pairs: tuple[Pair, ...]


class OpenGaps:
    """Opens and closes gaps so that each is closed once and an interruption swallows the rest."""

    def __init__(self) -> None:
        self._whole: list[GapOpened] = []
        self._parts: dict[Hashable, list[GapOpened]] = {}

    def interrupt(
        self, wanted: Mapping[str, tuple[str, ...]], since_ns: int, cause: str
    ) -> list[Event]:
        """Open the gap of everything wanted; those of parts end where it begins."""
        if self._whole:
            return []
        events: list[Event] = []
        for key in list(self._parts):
            events += self.close(key, since_ns)
        self._whole = [GapOpened(since_ns, *block, cause) for block in blocks(wanted)]
        return [*events, *self._whole, Interrupted(cause)]

    def resume(self, now_ns: int) -> list[Event]:
        """Close the gap of the interruption, if one is open."""
        closed: list[Event] = [GapClosed(gap, now_ns) for gap in self._whole]
        self._whole = []
        return closed

    def subscribed(
        self,
        missing: Mapping[str, tuple[str, ...]],
        unwanted: Mapping[str, tuple[str, ...]],
        now_ns: int,
    ) -> list[Event]:
        """Say what is subscribed now: what was renewed is back, what is missing is a gap."""
        partial = {Missing(*block): block for block in blocks(missing)}
        events = [*self.resume(now_ns), Subscribed(missing, unwanted)]
        events += self.keep(Renewed, (), now_ns)
        events += self.keep(Missing, partial, now_ns)
        for key, (channels, symbols) in partial.items():
            lacking = dict.fromkeys(channels, symbols)
            events += self.open(key, lacking, now_ns, "partial acknowledgement")
        return events

    def open(
        self, key: Hashable, wanted: Mapping[str, tuple[str, ...]], since_ns: int, cause: str
    ) -> list[Event]:
        """Open a gap of a part under a name, unless it or that of the whole stream is open."""
        if self._whole or key in self._parts:
            return []
        opened = [GapOpened(since_ns, *block, cause) for block in blocks(wanted)]
        if opened:
            self._parts[key] = opened
        return list(opened)

    def close(self, key: Hashable, now_ns: int) -> list[Event]:
        """Close the gap of a part, never before it began; nothing when it is not open."""
        return [GapClosed(gap, max(now_ns, gap.opened_ns)) for gap in self._parts.pop(key, ())]

    def keep(self, kind: type, keys: Iterable[Hashable], now_ns: int) -> list[Event]:
        """Close the gaps of the parts whose key is of a kind, except those named."""
        kept = set(keys)
        gone = [key for key in self._parts if isinstance(key, kind) and key not in kept]
        return [event for key in gone for event in self.close(key, now_ns)]
