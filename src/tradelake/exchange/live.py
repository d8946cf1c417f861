"""A recorded or made-up session moved to the present, so that its times are the clock's. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from tradelake.exchange.source import Session, Tick
from tradelake.market.timeframes import SECOND_NS, timeframe_ns

_MINUTE_NS = timeframe_ns("1m")


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session whose ticks happen now.

    Parameters
    ----------
    inner : Session
        What is played.
    shift_ns : int
        Added to every event time.
    end_ns : int
        Ticks from then on are left out; event time after the shift.
    """

    inner: Session
    shift_ns: int
    end_ns: int

    @property
    def start_ns(self) -> int:
        """Event time of the first tick."""
        return self.inner.start_ns + self.shift_ns

    @property
    def weight(self) -> int:
        """As the session's own."""
        return self.inner.weight

    def ticks(self) -> Iterator[Tick]:
        """Ticks by non-decreasing ``ts_event``, up to the end."""
        for tick in self.inner.ticks():
            ts_event = tick.ts_event + self.shift_ns
            if ts_event >= self.end_ns:
                return
            yield msgspec.structs.replace(tick, ts_event=ts_event)


def live(session: Session, least_s: float, now_ns: int, skew_s: float = 0.0) -> LiveSession:
    """Move a session so that it begins now and ends with a minute.

    Parameters
    ----------
    session : Session
        What to play.
    least_s : float
        It lasts at least so long, and until the minute is full: the venue's last minute bars are
        published right after the last tick.
    now_ns : int
        The present, ns since 1970 UTC.
    skew_s : float
        How much the venue's clock is ahead; whole minutes keep the end on a minute.
    """
    skew_ns = round(skew_s * SECOND_NS)
    least_ns = now_ns + skew_ns + round(least_s * SECOND_NS)
    end_ns = -(-least_ns // _MINUTE_NS) * _MINUTE_NS
    return LiveSession(session, now_ns + skew_ns - session.start_ns, end_ns)
