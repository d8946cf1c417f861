"""What trading costs beside the broker's fee, and how careful fills are (rules B5, B6, C1-C3).

Rates are basis points of the price, times milliseconds; volumes and quantities have the same unit,
so that only their ratio counts. The formulas, with what is known of their coefficients, are in
``docs/explanation/backtests.md``.

References
----------
R. Almgren, C. Thum, E. Hauptmann, H. Li (2005), Direct estimation of equity market impact, Risk
18(7), 58-62, equations 11 and 12.
J. Donier, J. Bonart (2015), A million metaorder analysis of market impact on the Bitcoin, Market
Microstructure and Liquidity 1(2): the square-root law where nobody but traders' own flow makes it.
B. Toth et al. (2011), Anomalous price impact and the critical nature of liquidity in financial
markets, Physical Review X 1, 021006.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from tradelake.execution.terms import Draw, Rung
from tradelake.execution.validation import instance, number, require, whole

BPS: Final = 10_000.0
MS_NS: Final = 1_000_000
DAY_OF_MINUTES: Final = 1_440
_MOST_BPS: Final = 9_999.0
_DRAWS: Final = {
    "constant": Draw.CONSTANT,
    "uniform": Draw.UNIFORM,
    "exponential": Draw.EXPONENTIAL,
}


@dataclass(frozen=True, slots=True)
class Spread:
    """The whole spread between bid and ask; a taker pays half of it, a maker nothing.

    Only bars need it: quotes and books have their own.
    """

    bps: float = 0.0

    def __post_init__(self) -> None:
        number("spread.bps", self.bps, 0.0, _MOST_BPS)


@dataclass(frozen=True, slots=True)
class FixedSlippage:
    """A taker's price is worse by the same fraction, whatever the size."""

    bps: float = 5.0

    def __post_init__(self) -> None:
        number("slippage.bps", self.bps, 0.0, _MOST_BPS)


@dataclass(frozen=True, slots=True)
class VolumeShareSlippage:
    """A taker's price is worse by ``coefficient · share²`` of the bar's volume.

    Zipline's model, whose defaults are a coefficient of 0.1 and 2.5 % of the volume as the most
    that fills; say the latter as :class:`Participation`.
    """

    coefficient: float = 0.1

    def __post_init__(self) -> None:
        number("slippage.coefficient", self.coefficient)


@dataclass(frozen=True, slots=True)
class SquareRootImpact:
    """Temporary impact ``coefficient · σ · √(q / V)``.

    Parameters
    ----------
    coefficient : float
        Y, about 1 wherever it was measured; 0.9 for Bitcoin (Donier and Bonart 2015).
    window : int
        Bars before the fill over which σ and V are taken; where there are fewer, those.
    """

    coefficient: float = 1.0
    window: int = DAY_OF_MINUTES

    def __post_init__(self) -> None:
        number("impact.coefficient", self.coefficient)
        whole("impact.window", self.window, 1)


@dataclass(frozen=True, slots=True)
class AlmgrenImpact:
    """Temporary impact ``eta · (q / V)^power`` and permanent impact ``gamma · q / V``.

    V is the mean volume of a bar over the window. The permanent part moves the price of every
    later fill, and decays with ``half_life_s`` (0: it stays).

    Parameters
    ----------
    eta, gamma : float
        Fractions of the price for a trade of one bar's volume; see :meth:`of_volatility`.
    power : float
        3/5 in Almgren et al. (2005).
    half_life_s : float
        Seconds.
    window : int
        Bars.
    """

    eta: float
    gamma: float
    power: float = 0.6
    half_life_s: float = 0.0
    window: int = DAY_OF_MINUTES

    def __post_init__(self) -> None:
        number("impact.eta", self.eta)
        number("impact.gamma", self.gamma)
        number("impact.power", self.power, 0.0, 2.0)
        number("impact.half_life_s", self.half_life_s)
        whole("impact.window", self.window, 1)

    @classmethod
    def of_volatility(
        cls, daily_volatility: float, bars_per_day: float, half_life_s: float = 0.0
    ) -> AlmgrenImpact:
        """Return the impact with the coefficients measured on US equities.

        Temporary 0.142 · σ · (q / (V·T))^0.6, permanent 0.314 · σ · q / V, σ and V of a day; the
        factor of shares outstanding, which a coin has no like of, is left out.

        Parameters
        ----------
        daily_volatility : float
            Of returns, a fraction.
        bars_per_day : float
            1,440 for minutes: V of a bar is that of the day divided by it.

        >>> impact = AlmgrenImpact.of_volatility(0.03, 1440)
        >>> round(impact.eta, 6), round(impact.gamma * 1440, 6)
        (0.00426, 0.00942)
        """
        number("daily_volatility", daily_volatility)
        require(bars_per_day > 0.0, "bars_per_day", "a positive number", bars_per_day)
        return cls(
            0.142 * daily_volatility, 0.314 * daily_volatility / bars_per_day, 0.6, half_life_s
        )


@dataclass(frozen=True, slots=True)
class Latency:
    """A time under way: ``constant_ms`` plus a draw (rule T3).

    Parameters
    ----------
    constant_ms : float
        At least.
    draw : {"constant", "uniform", "exponential"}
        What comes on top: nothing, evenly from 0 to ``scale_ms``, or with mean ``scale_ms``.
    scale_ms : float
        Width of the uniform part, mean of the exponential one.
    """

    constant_ms: float = 0.0
    draw: Literal["constant", "uniform", "exponential"] = "constant"
    scale_ms: float = 0.0

    def __post_init__(self) -> None:
        number("latency.constant_ms", self.constant_ms)
        number("latency.scale_ms", self.scale_ms)
        require(self.draw in _DRAWS, "latency.draw", f"one of {', '.join(_DRAWS)}", self.draw)
        unused = self.draw == "constant" and self.scale_ms != 0.0
        require(not unused, "latency.scale_ms", "0 of a constant latency", self.scale_ms)

    @classmethod
    def constant(cls, ms: float) -> Latency:
        """Return one that is always the same."""
        return cls(ms)

    @classmethod
    def uniform(cls, low_ms: float, high_ms: float) -> Latency:
        """Return one that is anywhere from ``low_ms`` to ``high_ms``."""
        require(high_ms >= low_ms, "latency.high_ms", "low_ms or more", high_ms)
        return cls(low_ms, "uniform", high_ms - low_ms)

    @classmethod
    def exponential(cls, least_ms: float, mean_ms: float) -> Latency:
        """Return ``least_ms`` plus an exponential time with mean ``mean_ms``."""
        return cls(least_ms, "exponential", mean_ms)

    @property
    def row(self) -> tuple[int, int, int]:
        """Kind, constant and scale in ns: a row of :attr:`Terms.latency`."""
        scale_ns = round(self.scale_ms * MS_NS)
        return (int(_DRAWS[self.draw]), round(self.constant_ms * MS_NS), scale_ns)

    @property
    def none(self) -> bool:
        """Whether nothing ever takes time."""
        return self.constant_ms == 0.0 and self.scale_ms == 0.0


@dataclass(frozen=True, slots=True)
class Latencies:
    """From the market to the strategy, from it to the venue, and back with the answer (T1, T2).

    With ``entry`` above 0 an order decided at a bar's close misses the next bar's open and waits
    for the one after it (B1): latency of milliseconds belongs to rungs 3 and 4.
    """

    feed: Latency = Latency()
    entry: Latency = Latency()
    response: Latency = Latency()

    def __post_init__(self) -> None:
        for name in ("feed", "entry", "response"):
            instance(f"latency.{name}", getattr(self, name), Latency)


@dataclass(frozen=True, slots=True)
class PartialFills:
    """A fill is cut to a random fraction with this probability (C3); Alpaca's paper venue: 0.1."""

    probability: float = 0.1

    def __post_init__(self) -> None:
        number("partial_fills.probability", self.probability, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Participation:
    """Most of a bar's volume that all fills of its symbol may take together; 0: no limit.

    Only rung 2 knows it. A tenth is what execution desks call noticeable but not dominant;
    zipline allows 0.025.
    """

    share: float = 0.1

    def __post_init__(self) -> None:
        number("participation.share", self.share, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class FillOptions:
    """Where data leaves open whether an order filled. The defaults are the careful answers.

    Parameters
    ----------
    touch : bool
        A limit fills where the price of a bar only touches it.
    beyond_top : bool
        A taker fills whole at the top of the book, as at Alpaca's paper venue, however little is
        displayed there.
    own_trades_stay : bool
        What a taker took of a book stays taken until the level trades or is told anew.
    queue : {"pro_rata", "last"}
        Who cancels when a level shrinks: everybody in proportion, or only those behind us.
    """

    touch: bool = False
    beyond_top: bool = False
    own_trades_stay: bool = True
    queue: Literal["pro_rata", "last"] = "pro_rata"

    def __post_init__(self) -> None:
        for name in ("touch", "beyond_top", "own_trades_stay"):
            instance(f"fills.{name}", getattr(self, name), bool)
        require(self.queue in ("pro_rata", "last"), "fills.queue", "pro_rata or last", self.queue)


@dataclass(frozen=True, slots=True)
class Costs:
    """Everything a run charges beside the fee.

    The defaults: 5 bps of slippage on bars, which stand for half a spread too, none on quotes and
    books, which have their own; no impact, no latency, a tenth of a bar's volume, no random
    partial fills.

    Parameters
    ----------
    slippage : FixedSlippage, VolumeShareSlippage or None
        None for the default of the rung.
    delisting_haircut : float
        Fraction lost on a position that a delisting closes, beside the taker fee. 0 by default:
        a venue that announces its delistings lets one leave at the market.

    Raises
    ------
    ConfigError
        A part is of another class. (Parts refuse bad numbers themselves.)

    >>> Costs(slippage=FixedSlippage(2.0)).participation
    Participation(share=0.1)
    """

    spread: Spread = Spread()
    slippage: FixedSlippage | VolumeShareSlippage | None = None
    impact: SquareRootImpact | AlmgrenImpact | None = None
    latency: Latencies = Latencies()
    participation: Participation = Participation()
    partial_fills: PartialFills = PartialFills(0.0)
    fills: FillOptions = field(default_factory=FillOptions)
    delisting_haircut: float = 0.0

    def __post_init__(self) -> None:
        instance("spread", self.spread, Spread)
        instance("slippage", self.slippage, (FixedSlippage, VolumeShareSlippage, type(None)))
        instance("impact", self.impact, (SquareRootImpact, AlmgrenImpact, type(None)))
        instance("latency", self.latency, Latencies)
        instance("participation", self.participation, Participation)
        instance("partial_fills", self.partial_fills, PartialFills)
        instance("fills", self.fills, FillOptions)
        number("delisting_haircut", self.delisting_haircut, 0.0, 1.0)

    def slippage_at(self, rung: Rung | int) -> FixedSlippage | VolumeShareSlippage:
        """Return what takers pay beside the spread at a rung.

        >>> Costs().slippage_at(2).bps, Costs().slippage_at(3).bps
        (5.0, 0.0)
        """
        if self.slippage is not None:
            return self.slippage
        return FixedSlippage() if rung <= Rung.INTRABAR else FixedSlippage(0.0)

    @classmethod
    def none(cls) -> Costs:
        """Return no costs: every fill whole, at the price the market shows."""
        return cls(slippage=FixedSlippage(0.0), participation=Participation(0.0))
