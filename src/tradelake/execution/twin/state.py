"""What the twin remembers: orders, fills, markets and what is still on its way."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from tradelake.execution.layout import (
    NONE,
    OrderType,
    Reason,
    Side,
    Status,
)
from tradelake.execution.terms import Terms, Trading
from tradelake.execution.twin.money import Account, Position

STOPS = (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP)


@dataclass(frozen=True)
class Listing:
    """What holds for a symbol from an instant on; a row of ``terms.INSTRUMENT``."""

    symbol: int
    from_ns: int
    trading: int
    renamed_to: int
    increment: int
    minimum: int
    minimum_value: int
    tick: float
    unit: float


@dataclass
class Order:
    """One order; up to ``ahead`` the columns of ``layout.ORDER``."""

    symbol: int
    side: int
    type: int
    tif: int
    sizing: int
    submitted_ns: int
    arrives_ns: int
    amount: float
    limit: float = math.nan
    stop: float = math.nan
    trail: float = math.nan
    parent: int = NONE
    group: int = NONE
    replaces: int = NONE
    status: int = Status.SENT
    reason: int = Reason.NONE
    quantity: int = 0
    filled: int = 0
    value: int = 0
    promised: int = 0
    fills: int = 0
    triggered: int = 0
    ended_ns: int = NONE
    cancel_ns: int = NONE
    water: float = math.nan
    ahead: float = 0.0
    id: int = NONE
    turn: tuple[int, int, int] = (0, 0, 0)
    """Arrival and ids: who is served first; a replacement that only shrinks inherits it (O4)."""
    step: int = 1
    """Units: the increment in force at the arrival (I1)."""
    minimum: int = 0
    minimum_value: int = 0
    exits: list[int] = field(default_factory=list)
    rests: bool = False
    """Whether it is a maker from now on (Q2)."""
    queued: bool = False
    """Whether its place in the queue is known (L2)."""

    @property
    def rest(self) -> int:
        """Units that are still to be filled."""
        return self.quantity - self.filled

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.status >= Status.FILLED

    @property
    def can_fill(self) -> bool:
        """Whether it works; an exit fed inside a bar waits until its end (B4)."""
        return self.status == Status.WORKING or (
            self.status == Status.WAITING and self.quantity > 0
        )

    @property
    def is_exit(self) -> bool:
        """Whether it closes what the entry of its bracket opened (O3)."""
        return self.parent != NONE

    @property
    def is_sent_exit(self) -> bool:
        """Whether it travels with its entry, and arrives when that does."""
        return self.is_exit and self.replaces == NONE

    @property
    def has_limit(self) -> bool:
        """Whether there is a price it never fills beyond."""
        return self.type in (OrderType.LIMIT, OrderType.STOP_LIMIT)

    @property
    def waits_for_stop(self) -> bool:
        """Whether a price must be reached before it does anything."""
        return self.type in STOPS and not self.triggered

    @property
    def takes_now(self) -> bool:
        """Whether it fills at whatever price there is: a market order or a triggered stop."""
        return not self.has_limit and not self.waits_for_stop

    @property
    def sized(self) -> bool:
        """Whether its quantity is known."""
        return self.quantity > 0

    @property
    def wants_more(self) -> bool:
        """Whether there is something left to fill, or its quantity is not known yet."""
        return self.rest > 0 or not (self.sized or self.is_exit)

    def follow(self, price: float) -> None:
        """O5: let the water mark of a trailing stop follow ``price``, and the stop follow it."""
        if self.type != OrderType.TRAILING_STOP or self.triggered:
            return
        better = max if self.side == Side.SELL else min
        self.water = price if math.isnan(self.water) else better(self.water, price)
        if self.trail < 0.0:
            self.stop = self.water * (1.0 + self.side * -self.trail)
        else:
            self.stop = self.water + self.side * self.trail

    def reached_by(self, price: float) -> bool:
        """Whether ``price`` triggers the stop; a NaN on either side does not."""
        return price >= self.stop if self.side == Side.BUY else price <= self.stop


@dataclass(frozen=True)
class Fill:
    """One fill; the columns of ``layout.FILL``."""

    order: int
    symbol: int
    side: int
    maker: int
    event: int
    ts_ns: int
    quantity: int
    value: int
    fee: int
    fee_in_base: int
    fee_value: int
    realised: int
    price: float


@dataclass(frozen=True)
class Answer:
    """What the venue said about an order, and when the strategy hears of it (T2)."""

    told_ns: int
    order: int
    status: int
    reason: int
    quantity: int
    filled: int
    value: int
    cash: int
    """Cash units that moved."""
    position: int
    """Units that moved."""
    symbol: int


@dataclass
class Market:
    """What is known of the market of one symbol."""

    bid: float = math.nan
    bid_size: float = 0.0
    ask: float = math.nan
    ask_size: float = 0.0
    last: float = math.nan
    has_mid: bool = False
    has_quotes: bool = False
    has_trades: bool = False
    volumes: list[float] = field(default_factory=list)
    closes: list[float] = field(default_factory=list)
    shift: float = 0.0
    """C2: what is left of the permanent impact at ``shift_ns``, a signed fraction."""
    shift_ns: int = 0
    books: dict[int, dict[float, float]] = field(
        default_factory=lambda: {Side.BUY: {}, Side.SELL: {}}
    )
    """Size told at each price, by side."""
    taken: dict[tuple[int, float], float] = field(default_factory=dict)
    """What own orders took at a side and price since it was told (L1)."""
    traded: dict[tuple[int, float], float] = field(default_factory=dict)
    """What traded at a side and price since it was told (L2)."""
    has_book: bool = False
    is_partly_told: bool = False
    """L1: whether more of an update follows."""
    is_told_anew: bool = False
    """L2: whether that update began with a reset."""


@dataclass
class State:
    """Everything a run is at one instant."""

    terms: Terms
    listings: list[list[Listing]]
    account: Account
    positions: list[Position]
    markets: list[Market]
    orders: list[Order] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    event: int = NONE
    """Row of the input at work."""
    now_ns: int = -(2**63)
    """Up to here instruments have changed."""

    def listing(self, symbol: int, ts_ns: int) -> Listing | None:
        """I1: the row in force, before all others the first; None for an unknown symbol."""
        if not 0 <= symbol < len(self.listings):
            return None
        in_force = [row for row in self.listings[symbol] if row.from_ns <= ts_ns]
        return in_force[-1] if in_force else self.listings[symbol][0]

    def is_open(self, symbol: int, ts_ns: int) -> bool:
        """Whether the symbol trades at ``ts_ns``."""
        row = self.listing(symbol, ts_ns)
        return row is not None and row.trading == Trading.OPEN

    def working(self, symbol: int, arrived_by_ns: int) -> list[Order]:
        """B1: the orders of a symbol that could fill now, in order of arrival."""
        alive = [
            order
            for order in self.orders
            if order.symbol == symbol and order.can_fill and order.arrives_ns <= arrived_by_ns
        ]
        return sorted(alive, key=lambda order: order.turn)


def columns(row: Order | Fill | Position | Account, names: tuple[str, ...]) -> tuple[object, ...]:
    """Return the values of ``row`` named by ``names``, as a numpy row wants them."""
    return tuple(getattr(row, name) for name in names)


def listing_of(row: object) -> Listing:
    """Return a row of ``terms.INSTRUMENT`` as plain Python numbers."""
    values = {entry.name: row[entry.name].item() for entry in fields(Listing)}  # type: ignore[index]
    return Listing(**values)
