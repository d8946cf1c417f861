"""What a broker allows and charges, by date; and how that becomes the matching cores' terms.

Another venue is one small file that makes a :class:`BrokerRules`
(``docs/how-to/broker.md``); Alpaca's is :mod:`tradelake.execution.brokers.alpaca`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal, NamedTuple

import numpy as np

from tradelake.execution.costs import (
    BPS,
    AlmgrenImpact,
    Costs,
    FixedSlippage,
    SquareRootImpact,
)
from tradelake.execution.instruments import InstrumentHistory, MinimumNotional, Rows
from tradelake.execution.layout import CASH_UNITS, OrderType, Reason, TimeInForce
from tradelake.execution.terms import Impact, Rung, Slippage, Terms
from tradelake.execution.validation import instance, number, require, whole

S_NS: Final = 1_000_000_000
DAY_NS: Final = 86_400 * S_NS
TIER_DAYS: Final = 30
"""Days before its own that a day's fee tier counts."""
_MOST_BPS: Final = 9_999.0


@dataclass(frozen=True, slots=True)
class FeeTier:
    """Fees of a day for those who filled ``notional`` or more in the 30 days before it.

    Parameters
    ----------
    notional : float
        Quote units.
    maker_bps, taker_bps : float
        Basis points of what a fill is worth. A maker's may not be negative: rebates would be paid
        in another asset than fees are.
    """

    notional: float
    maker_bps: float
    taker_bps: float

    def __post_init__(self) -> None:
        number("tier.notional", self.notional)
        number("tier.maker_bps", self.maker_bps, 0.0, _MOST_BPS)
        number("tier.taker_bps", self.taker_bps, 0.0, _MOST_BPS)


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """A table of fees, in force from ``valid_from_ns`` until the next one.

    Parameters
    ----------
    valid_from_ns : int
        ns since 1970 UTC; 0 for "always".
    tiers : tuple of FeeTier
        The first begins at a notional of 0, the others follow upwards.
    """

    valid_from_ns: int
    tiers: tuple[FeeTier, ...]

    def __post_init__(self) -> None:
        whole("fees.valid_from_ns", self.valid_from_ns)
        instance("fees.tiers", self.tiers, tuple)
        for tier in self.tiers:
            instance("fees.tiers", tier, FeeTier)
        starts = [tier.notional for tier in self.tiers]
        require(bool(starts) and starts[0] == 0.0, "fees.tiers", "a first tier from 0", starts)
        rising = all(low < high for low, high in pairwise(starts))
        require(rising, "fees.tiers", "tiers by rising notional", starts)

    def tier(self, notional: float) -> FeeTier:
        """Return the tier of a 30-day notional, quote units."""
        return [tier for tier in self.tiers if tier.notional <= notional][-1]


def flat_fee(maker_bps: float, taker_bps: float | None = None) -> tuple[FeeSchedule, ...]:
    """Return a schedule without tiers or dates; the taker's fee is the maker's where not given."""
    taker = maker_bps if taker_bps is None else taker_bps
    return (FeeSchedule(0, (FeeTier(0.0, maker_bps, taker),)),)


@dataclass(frozen=True, slots=True)
class Rejection:
    """How a venue says no: HTTP status, its own code, and a text.

    ``message`` may name ``{symbol}``, ``{asset}``, ``{requested}``, ``{available}``, ``{minimum}``
    and ``{cap}``. ``verified`` tells answers that were seen from those that are our guess.
    """

    http: int
    code: int
    message: str
    verified: bool = False


_PLAIN: Final = Rejection(422, 42210000, "order rejected: {reason}")


@dataclass(frozen=True, slots=True)
class BrokerRules:
    """What a broker allows and charges.

    Parameters
    ----------
    name : str
        As it appears in results.
    fees : tuple of FeeSchedule
        By rising date, the first from 0: what is assumed before the first known one.
    fees_assumed_until_ns : int
        Before it the schedules are assumptions, and results say so.
    order_types : frozenset of OrderType
        What the venue itself takes.
    tifs : frozenset of TimeInForce
        Times in force it takes.
    brackets : bool
        Whether it takes an entry together with its stop and target.
    hold_unoffered : bool
        Orders of other types, and brackets, are held by us and sent as what the venue takes when
        they trigger. False refuses them (``unsupported``). Times in force are never held.
    allow_short : bool
        Whether a position may be negative.
    fee_in_quote : bool
        Fees of buys are paid in cash; otherwise in the asset received (M3).
    in_halt : {"wait", "cancel"}
        What becomes of working orders when trading halts; new ones are rejected either way (I1).
    largest_notional : float
        Of an order, quote units; 0 for none.
    minimum_notional : tuple of MinimumNotional
        Smallest notional of an order, by date; empty for none.
    enforce_increments : bool
        Whether increments, ticks and minima of instruments bind.
    rejections : mapping of Reason to Rejection
        Its answers; see :meth:`rejection`.

    Raises
    ------
    ConfigError
        Names field, value and rule.
    """

    name: str
    fees: tuple[FeeSchedule, ...] = field(default_factory=lambda: flat_fee(0.0))
    fees_assumed_until_ns: int = 0
    order_types: frozenset[OrderType] = frozenset(OrderType)
    tifs: frozenset[TimeInForce] = frozenset(TimeInForce)
    brackets: bool = True
    hold_unoffered: bool = True
    allow_short: bool = False
    fee_in_quote: bool = False
    in_halt: Literal["wait", "cancel"] = "wait"
    largest_notional: float = 0.0
    minimum_notional: tuple[MinimumNotional, ...] = ()
    enforce_increments: bool = True
    rejections: Mapping[Reason, Rejection] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        instance("name", self.name, str)
        require(self.name != "", "name", "a text that is not empty", self.name)
        self._check_fees()
        for name, kind in (("order_types", OrderType), ("tifs", TimeInForce)):
            given = getattr(self, name)
            valid = isinstance(given, frozenset) and all(isinstance(one, kind) for one in given)
            require(valid, name, f"a frozenset of {kind.__name__}", given)
            require(bool(given), name, f"at least one {kind.__name__}", given)
        require(
            OrderType.MARKET in self.order_types or not self.hold_unoffered,
            "hold_unoffered",
            "False where the venue takes no market orders, as stops are sent as such",
            self.hold_unoffered,
        )
        for name in ("brackets", "hold_unoffered", "allow_short", "fee_in_quote"):
            instance(name, getattr(self, name), bool)
        instance("enforce_increments", self.enforce_increments, bool)
        require(self.in_halt in ("wait", "cancel"), "in_halt", "wait or cancel", self.in_halt)
        number("largest_notional", self.largest_notional, 0.0, 9e10)
        instance("minimum_notional", self.minimum_notional, tuple)
        for minimum in self.minimum_notional:
            instance("minimum_notional", minimum, MinimumNotional)
        dates = [minimum.valid_from_ns for minimum in self.minimum_notional]
        rising = all(low < high for low, high in pairwise(dates))
        require(rising, "minimum_notional", "rising dates", dates)
        instance("rejections", self.rejections, Mapping)
        for reason, answer in self.rejections.items():
            instance("rejections", reason, Reason)
            instance("rejections", answer, Rejection)
        # a copy that can be sent to another process, as a proxy of a mapping cannot
        object.__setattr__(self, "rejections", dict(self.rejections))

    def _check_fees(self) -> None:
        instance("fees", self.fees, tuple)
        for schedule in self.fees:
            instance("fees", schedule, FeeSchedule)
        dates = [schedule.valid_from_ns for schedule in self.fees]
        require(bool(dates) and dates[0] == 0, "fees", "a first schedule from 0", dates)
        rising = all(low < high for low, high in pairwise(dates))
        require(rising, "fees", "schedules by rising date", dates)
        whole("fees_assumed_until_ns", self.fees_assumed_until_ns)

    def schedule(self, ts_ns: int) -> FeeSchedule:
        """Return the table of fees in force at an instant, ns since 1970 UTC."""
        return [one for one in self.fees if one.valid_from_ns <= max(ts_ns, 0)][-1]

    def tier(self, ts_ns: int, fills_ns: Sequence[int], notionals: Sequence[float]) -> FeeTier:
        """Return the fees of the UTC day of an instant (C4).

        Fills of the 30 UTC days before that day count, its own do not; the table is that in force
        when the day begins.

        Parameters
        ----------
        ts_ns : int
            ns since 1970 UTC.
        fills_ns : sequence of int
            Instants of fills, in any order.
        notionals : sequence of float
            What each was worth, quote units.

        >>> rules = BrokerRules("v", (FeeSchedule(0, (FeeTier(0, 2, 4), FeeTier(1e5, 1, 3))),))
        >>> [rules.tier(day * DAY_NS, [0], [1e5]).taker_bps for day in (0, 1, 30, 31)]
        [4, 3, 3, 4]
        """
        day = ts_ns // DAY_NS
        counted = [
            notional
            for fill_ns, notional in zip(fills_ns, notionals, strict=True)
            if day - TIER_DAYS <= fill_ns // DAY_NS < day
        ]
        return self.schedule(day * DAY_NS).tier(math.fsum(counted))

    @property
    def types_taken(self) -> frozenset[OrderType]:
        """Types a strategy may use: the venue's, and those we hold."""
        return frozenset(OrderType) if self.hold_unoffered else self.order_types

    @property
    def types_held(self) -> frozenset[OrderType]:
        """Types we hold, because the venue does not take them."""
        return self.types_taken - self.order_types

    @property
    def brackets_taken(self) -> bool:
        """Whether a strategy may place brackets; matching itself looks at their orders' types."""
        return self.brackets or self.hold_unoffered

    def rejection(self, reason: Reason, **values: object) -> Rejection:
        """Return the venue's answer to an order rejected for ``reason``.

        Parameters
        ----------
        reason : Reason
            Of the order.
        **values : object
            What the message names: ``symbol``, ``asset``, ``requested``, ``available``,
            ``minimum``, ``cap``; what is missing appears as ``?``.
        """
        known = {"reason": Reason(reason).name.lower().replace("_", " "), **values}
        answer = self.rejections.get(reason, _PLAIN)
        text = answer.message.format_map(_Named(known))
        return Rejection(answer.http, answer.code, text, answer.verified)

    def instruments(
        self,
        history: InstrumentHistory,
        symbols: Sequence[str],
        first_prices: Sequence[float],
        until_ns: int | None = None,
    ) -> Rows:
        """Return INSTRUMENT rows of a run, with this broker's minima.

        See :meth:`InstrumentHistory.rows`.
        """
        return history.rows(
            symbols,
            first_prices,
            minimum_notional=self.minimum_notional,
            enforce=self.enforce_increments,
            until_ns=until_ns,
        )


class _Named(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "?"


def terms(broker: BrokerRules, costs: Costs, rung: Rung | int, seed: int = 0) -> Terms:
    """Return what the matching cores are told.

    What a rung has no use for is 0: the spread where there are quotes, participation where there
    are no bars or fills are whole.

    Parameters
    ----------
    broker : BrokerRules
        Fees and what is allowed.
    costs : Costs
        Everything else.
    rung : Rung
        How real the fills are.
    seed : int
        Of every random draw.

    Raises
    ------
    ConfigError
        The rung is unknown or the seed negative.
    """
    instance("broker", broker, BrokerRules)
    instance("costs", costs, Costs)
    require(rung in tuple(Rung), "rung", f"one of {[one.value for one in Rung]}", rung)
    whole("seed", seed)
    require(seed < 2**63, "seed", "less than 2**63", seed)
    slippage, moved = costs.slippage_at(rung), _moved(costs.impact)
    fixed = isinstance(slippage, FixedSlippage)
    bars = rung <= Rung.INTRABAR
    latency = costs.latency
    return Terms(
        rung=int(rung),
        seed=seed,
        allow_short=broker.allow_short,
        fee_in_quote=broker.fee_in_quote,
        halt_waits=broker.in_halt == "wait",
        types_offered=sum(1 << kind for kind in broker.types_taken),
        tifs_offered=sum(1 << tif for tif in broker.tifs),
        cap=round(broker.largest_notional * CASH_UNITS),
        tiers=fee_rows(broker),
        latency=np.array(
            [latency.feed.row, latency.entry.row, latency.response.row], dtype=np.int64
        ),
        half_spread=costs.spread.bps / 2.0 / BPS if bars else 0.0,
        slippage_kind=int(Slippage.FIXED if fixed else Slippage.VOLUME_SHARE),
        slippage=slippage.bps / BPS
        if isinstance(slippage, FixedSlippage)
        else slippage.coefficient,
        participation=costs.participation.share if rung == Rung.INTRABAR else 0.0,
        touch=costs.fills.touch,
        beyond_top=costs.fills.beyond_top,
        own_trades_stay=costs.fills.own_trades_stay,
        queue_pro_rata=costs.fills.queue == "pro_rata",
        partial_probability=costs.partial_fills.probability,
        impact_kind=int(moved.kind),
        impact=moved.size,
        impact_power=moved.power,
        impact_permanent=moved.permanent,
        impact_half_life_ns=moved.half_life_ns,
        impact_window=moved.window,
        delisting_haircut=costs.delisting_haircut,
    )


def fee_rows(broker: BrokerRules) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the fee tables as rows: valid from (ns), notional (cash units), maker, taker."""
    return np.array(
        [
            (
                float(schedule.valid_from_ns),
                tier.notional * CASH_UNITS,
                tier.maker_bps / BPS,
                tier.taker_bps / BPS,
            )
            for schedule in broker.fees
            for tier in schedule.tiers
        ],
        dtype=np.float64,
    )


class _Moved(NamedTuple):
    kind: Impact = Impact.NONE
    size: float = 0.0
    power: float = 0.5
    permanent: float = 0.0
    half_life_ns: float = 0.0
    window: int = 1


def _moved(impact: SquareRootImpact | AlmgrenImpact | None) -> _Moved:
    if isinstance(impact, SquareRootImpact):
        return _Moved(Impact.SQUARE_ROOT, impact.coefficient, window=impact.window)
    if isinstance(impact, AlmgrenImpact):
        half_life_ns = impact.half_life_s * S_NS
        return _Moved(
            Impact.ALMGREN, impact.eta, impact.power, impact.gamma, half_life_ns, impact.window
        )
    return _Moved()
