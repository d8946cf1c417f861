"""A seeded market to play."""

from __future__ import annotations

from collections.abc import Sequence

from tradelake.errors import ConfigError, InvalidData
from tradelake.exchange.options import SyntheticOptions
from tradelake.exchange.source import BarHistory, Session
from tradelake.exchange.synthetic.history import SyntheticHistory
from tradelake.exchange.synthetic.session import SyntheticSession
from tradelake.exchange.synthetic.universe import instruments
from tradelake.exchange.wire import parse_timestamp
from tradelake.market.timeframes import SECOND_NS, timeframe_ns


class SyntheticMarket:
    """A market made up from a seed: one session, and history that leads up to it.

    Parameters
    ----------
    options : SyntheticOptions
        Which pairs, how long, how busy.

    Raises
    ------
    ConfigError
        Unknown symbols, or a start that is no timestamp of a whole minute.
    """

    def __init__(self, options: SyntheticOptions) -> None:
        pairs = instruments(options.symbols, options.activity)
        try:
            start_ns = parse_timestamp(options.start)
        except InvalidData as error:
            raise ConfigError(f"synthetic market: start: {error}") from error
        if start_ns % timeframe_ns("1m"):
            raise ConfigError(
                f"synthetic market: start: expected a whole minute; found {options.start}"
            )
        end_ns = start_ns + int(options.hours * 3600 * SECOND_NS)
        self._seed = options.seed
        self._symbols = sorted(pair.symbol for pair in pairs)
        self._session = SyntheticSession(pairs, options.seed, start_ns, end_ns, options.depth)
        self._history = SyntheticHistory(pairs, options.seed, start_ns, options.history_days)

    @property
    def description(self) -> str:
        """The seed and the size."""
        return f"synthetic seed {self._seed}, {len(self._symbols)} symbols"

    @property
    def symbols(self) -> Sequence[str]:
        """Pairs, sorted."""
        return self._symbols

    @property
    def sessions(self) -> Sequence[Session]:
        """One session."""
        return [self._session]

    @property
    def history(self) -> BarHistory:
        """Minute bars before the session."""
        return self._history
