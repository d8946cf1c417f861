"""Which trades were seen lately, so that one that comes twice counts once."""

from __future__ import annotations

from typing import Final

from tradelake.market.records import Trade
from tradelake.market.timeframes import SECOND_NS
from tradelake.stream.envelope import NO_WATERMARK

WINDOW_NS: Final = 300 * SECOND_NS
"""Identities are remembered for this long behind the watermark, beside the lateness."""
MOST_IDENTITIES: Final = 12_000
"""At most so many are remembered; when there are more, all but the newest half are forgotten."""

Identity = tuple[str, int, int]
"""(symbol, ts_event, trade_id)."""


class RecentTrades:
    """Identities of trades at or after a horizon that only rises.

    A trade before the horizon cannot be told from a duplicate any more: it is not new, and a bar
    that lacks it waits for a rebuild, because a trade counted twice would never be found. When
    identities are removed from memory cannot be observed, because the horizon alone decides whether
    they are looked up: so the answer depends on the trades and horizons alone, not on when the
    state was saved.
    """

    __slots__ = ("_most", "_seen", "horizon_ns")

    def __init__(
        self,
        seen: set[Identity] | None = None,
        horizon_ns: int = NO_WATERMARK,
        most: int = MOST_IDENTITIES,
    ) -> None:
        self._most = most
        self._seen: set[Identity] = set() if seen is None else seen
        self.horizon_ns = horizon_ns

    def is_new(self, trade: Trade) -> bool:
        """Return whether the trade was certainly not seen before, and remember it."""
        if trade.ts_event < self.horizon_ns:
            return False
        identity = (trade.symbol, trade.ts_event, trade.trade_id)
        if identity in self._seen:
            return False
        self._seen.add(identity)
        return True

    def raise_horizon(self, horizon_ns: int) -> None:
        """Forget what is before ``horizon_ns``, and more where too many are left."""
        self.horizon_ns = max(self.horizon_ns, horizon_ns)
        if len(self._seen) > self._most:
            self._prune()
            if len(self._seen) > self._most:
                times = sorted(identity[1] for identity in self._seen)
                self.horizon_ns = times[-1 - self._most // 2] + 1
                self._prune()

    def kept(self) -> list[Identity]:
        """Return the identities at or after the horizon, sorted."""
        self._prune()
        return sorted(self._seen)

    def _prune(self) -> None:
        self._seen = {identity for identity in self._seen if identity[1] >= self.horizon_ns}
