"""Which channel is silent while others talk, and what to do about it next."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Final, Literal, NamedTuple

from tradelake.feed.timestamps import SECOND_NS
from tradelake.market import channels

CHANNEL_SILENCE_S: Final[Mapping[str, float]] = {
    channels.ORDERBOOKS: 60.0,
    channels.QUOTES: 60.0,
    channels.TRADES: 3600.0,
    channels.BARS: 150.0,
    channels.DAILY_BARS: 300.0,
}
"""How long a channel may be silent while others talk, seconds; one not named, for ever.

Bars come every minute even if nothing was traded; updated bars only after late trades.
"""

_MOST_PATIENT: Final = 16


class Silent(NamedTuple):
    """A channel without a message since ``since_ns``, and what to try: the cheaper remedy first."""

    channel: str
    since_ns: int
    remedy: Literal["renew", "reconnect"]


class Silence:
    """Measures silence against what the other channels say, so that a quiet venue is not blamed.

    After a remedy that did not help the channel is given twice the time: a market can be quiet.

    Parameters
    ----------
    limits_s : mapping
        Seconds by channel; a channel that is not named may be silent for ever.
    """

    def __init__(self, limits_s: Mapping[str, float]) -> None:
        self.newest_ns = 0
        self._limits_s = limits_s
        self._heard_ns: dict[str, int] = {}
        self._marks_ns: dict[str, int] = {}
        self._renewed: set[str] = set()
        self._patience: dict[str, int] = {}

    def start(self, watched: Iterable[str], now_ns: int) -> None:
        """Begin anew, with a new subscription of these channels."""
        self.newest_ns = now_ns
        self._heard_ns = dict.fromkeys(watched, now_ns)
        self._marks_ns = dict(self._heard_ns)
        self._renewed.clear()

    def watch(self, watched: Collection[str], now_ns: int) -> list[str]:
        """Watch these channels from now on; returns those that are watched no longer."""
        gone = [channel for channel in self._heard_ns if channel not in watched]
        for channel in gone:
            del self._heard_ns[channel], self._marks_ns[channel]
            self._renewed.discard(channel)
        for channel in watched:
            self._heard_ns.setdefault(channel, now_ns)
            self._marks_ns.setdefault(channel, now_ns)
        return gone

    def heard(self, spoke: Iterable[str], now_ns: int) -> list[str]:
        """Take note of channels that spoke; returns those that had been silent."""
        self.newest_ns = now_ns
        again = []
        for channel in spoke:
            if channel in self._heard_ns:
                self._heard_ns[channel] = self._marks_ns[channel] = now_ns
                self._patience.pop(channel, None)
                if channel in self._renewed:
                    self._renewed.discard(channel)
                    again.append(channel)
        return again

    def resumed(self, now_ns: int) -> None:
        """Forgive all silence so far: it was ours."""
        self.newest_ns = now_ns
        self._marks_ns = dict.fromkeys(self._marks_ns, now_ns)

    def silent(self) -> list[Silent]:
        """Return the channels that are silent for too long, each once per remedy."""
        found = []
        for channel, mark_ns in self._marks_ns.items():
            limit_s = self._limits_s.get(channel, math.inf) * self._patience.get(channel, 1)
            if (self.newest_ns - mark_ns) / SECOND_NS < limit_s:
                continue
            since_ns = self._heard_ns[channel]
            if channel in self._renewed:
                self._patience[channel] = min(2 * self._patience.get(channel, 1), _MOST_PATIENT)
                found.append(Silent(channel, since_ns, "reconnect"))
            else:
                self._renewed.add(channel)
                found.append(Silent(channel, since_ns, "renew"))
            self._marks_ns[channel] = self.newest_ns
        return found
