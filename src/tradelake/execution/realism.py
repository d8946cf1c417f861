"""What a result says about how its orders were filled: every rule, cost and gap, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from tradelake.execution.broker import BrokerRules, FeeSchedule
from tradelake.execution.costs import (
    AlmgrenImpact,
    Costs,
    FixedSlippage,
    Latency,
    SquareRootImpact,
)
from tradelake.execution.instruments import InstrumentHistory
from tradelake.execution.terms import Rung

_DAY_S: Final = 86_400
_S_NS: Final = 1_000_000_000
_RUNGS: Final = {
    Rung.NEXT_OPEN: "bars, orders filled whole, market orders at the next open",
    Rung.INTRABAR: "bars, fills inside them by open, high and low, the worse path first",
    Rung.QUOTES: "quotes and trades, takers at the displayed size",
    Rung.BOOK: "order books, walked level by level, with a place in the queue",
}


def describe(
    broker: BrokerRules,
    costs: Costs,
    rung: Rung | int,
    *,
    history: InstrumentHistory | None = None,
    symbols: Sequence[str] = (),
    start_ns: int | None = None,
    end_ns: int | None = None,
) -> str:
    """Return one paragraph: the rung, the broker, the costs, what is assumed and not modelled.

    Parameters
    ----------
    broker, costs, rung : BrokerRules, Costs, Rung
        As given to :func:`tradelake.execution.broker.terms`.
    history : InstrumentHistory or None
        Of the run; with ``symbols`` it tells whose increments are assumed.
    symbols : sequence of str
        Of the run.
    start_ns, end_ns : int or None
        The run's first and last instant; None for both tells of the newest fees.

    >>> from tradelake.execution.brokers import IDEAL
    >>> describe(IDEAL, Costs.none(), 1).split(". ")[0]
    'Rung 1: bars, orders filled whole, market orders at the next open'
    """
    rung = Rung(rung)
    sentences = [
        f"Rung {rung.value}: {_RUNGS[rung]}",
        _fees(broker, start_ns, end_ns),
        *_assumed_fees(broker, start_ns),
        _limits(broker, end_ns),
        *_held(broker),
        _costs(costs, rung),
        _choices(costs, rung),
        *_increments(broker, history, symbols, end_ns),
        _missing(costs, rung),
    ]
    return " ".join(f"{sentence}." for sentence in sentences)


def _fees(broker: BrokerRules, start_ns: int | None, end_ns: int | None) -> str:
    last = broker.fees[-1] if end_ns is None else broker.schedule(end_ns)
    first = last if start_ns is None else broker.schedule(start_ns)
    chosen = broker.fees[broker.fees.index(first) : broker.fees.index(last) + 1]
    where = "in cash" if broker.fee_in_quote else "in the asset received"
    if all(tier.maker_bps == tier.taker_bps == 0.0 for one in chosen for tier in one.tiers):
        return f"Broker {broker.name}: no fees"
    return f"Broker {broker.name}: fees {', then '.join(map(_table, chosen))}, taken {where}"


def _table(schedule: FeeSchedule) -> str:
    lowest, highest = schedule.tiers[0], schedule.tiers[-1]
    text = f"maker {lowest.maker_bps:g} and taker {lowest.taker_bps:g} bps"
    if lowest is highest:
        return text
    return (
        f"{text}, falling in {len(schedule.tiers)} tiers by the 30 days before "
        f"to {highest.maker_bps:g} and {highest.taker_bps:g}"
    )


def _assumed_fees(broker: BrokerRules, start_ns: int | None) -> Iterable[str]:
    if start_ns is not None and start_ns < broker.fees_assumed_until_ns:
        yield f"No fees are known before {_day(broker.fees_assumed_until_ns)}; these are assumed"


def _day(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // _S_NS // _DAY_S * _DAY_S, UTC).date().isoformat()


def _limits(broker: BrokerRules, end_ns: int | None) -> str:
    text = "Shorts are allowed" if broker.allow_short else "No shorts"
    if broker.largest_notional > 0.0:
        text += f"; orders up to {broker.largest_notional:,.0f}"
    minima = [
        minimum.notional
        for minimum in broker.minimum_notional
        if end_ns is None or minimum.valid_from_ns <= end_ns
    ]
    if minima and broker.enforce_increments:
        text += f", from {minima[-1]:g} on"
    halted = "wait" if broker.in_halt == "wait" else "are cancelled"
    return f"{text}; in a halt new orders are rejected, working ones {halted}"


def _held(broker: BrokerRules) -> Iterable[str]:
    kinds = [kind.name.lower().replace("_", " ") for kind in sorted(broker.types_held)]
    if broker.brackets_taken and not broker.brackets:
        kinds.append("bracket")
    if kinds:
        yield (
            f"The venue does not take {', '.join(kinds)} orders: we hold them and send them when "
            "they trigger, here without delay"
        )


def _costs(costs: Costs, rung: Rung) -> str:
    parts = []
    if rung <= Rung.INTRABAR and costs.spread.bps > 0.0:
        parts.append(f"spread {costs.spread.bps:g} bps, half of it paid by takers")
    slippage = costs.slippage_at(rung)
    if isinstance(slippage, FixedSlippage):
        parts.append(f"slippage {slippage.bps:g} bps")
    else:
        parts.append(f"slippage {slippage.coefficient:g} times the squared share of volume")
    match costs.impact:
        case SquareRootImpact():
            parts.append(f"square-root impact with coefficient {costs.impact.coefficient:g}")
        case AlmgrenImpact():
            parts.append(
                f"Almgren impact, temporary {costs.impact.eta:g} and permanent "
                f"{costs.impact.gamma:g}"
            )
    if rung == Rung.INTRABAR and costs.participation.share > 0.0:
        parts.append(f"at most {costs.participation.share:.4g} of a bar's volume")
    if costs.partial_fills.probability > 0.0:
        parts.append(f"fills cut at random with probability {costs.partial_fills.probability:g}")
    named = (
        ("feed", costs.latency.feed),
        ("entry", costs.latency.entry),
        ("response", costs.latency.response),
    )
    parts += [f"{name} latency {_latency(one)}" for name, one in named if not one.none]
    text = "; ".join(parts)
    return text[0].upper() + text[1:]


def _latency(latency: Latency) -> str:
    if latency.draw == "uniform":
        return f"{latency.constant_ms:g} to {latency.constant_ms + latency.scale_ms:g} ms"
    if latency.draw == "exponential":
        return f"{latency.constant_ms:g} ms and exponential with mean {latency.scale_ms:g} ms"
    return f"{latency.constant_ms:g} ms"


def _choices(costs: Costs, rung: Rung) -> str:
    fills = costs.fills
    if rung <= Rung.INTRABAR:
        return f"A limit fills where a bar {'touches' if fills.touch else 'trades through'} it"
    beyond = "whole at the top" if fills.beyond_top else "no further than the displayed size"
    if rung == Rung.QUOTES:
        return f"Takers fill {beyond}"
    behind = "in proportion" if fills.queue == "pro_rata" else "only from behind us"
    stay = "stays taken" if fills.own_trades_stay else "comes back with the next update"
    return f"Cancels in a queue are taken {behind}; what we took {stay}"


def _increments(
    broker: BrokerRules,
    history: InstrumentHistory | None,
    symbols: Sequence[str],
    end_ns: int | None,
) -> Iterable[str]:
    if not broker.enforce_increments:
        yield "Increments and minima do not bind"
        return
    unknown = list(symbols) if history is None else history.unknown(symbols)
    if unknown:
        yield (
            f"Nothing is known of {', '.join(unknown)}: a quantity increment of 1e-9, "
            "no tick and no minimum size are assumed"
        )
    unsaid = () if history is None else history.unsaid(symbols, end_ns and end_ns + 1)
    if unsaid:
        yield f"No quantity increment of {', '.join(unsaid)} is said: one of 1e-9 is assumed"


def _missing(costs: Costs, rung: Rung) -> str:
    missing = []
    if all(one.none for one in (costs.latency.feed, costs.latency.entry, costs.latency.response)):
        missing.append("latency")
    if costs.impact is None:
        missing.append("market impact")
    if rung <= Rung.INTRABAR and costs.spread.bps == 0.0:
        missing.append("the spread beside slippage")
    if rung == Rung.NEXT_OPEN:
        missing.append("the volume there is")
    if rung <= Rung.INTRABAR:
        missing.append("the order of prices inside a bar")
    if rung <= Rung.QUOTES:
        missing.append("the place in the queue")
    missing.append("outages of the venue")
    return f"Not modelled: {', '.join(missing)}"
