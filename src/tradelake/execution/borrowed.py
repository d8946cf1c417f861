"""Arrays that compiled loops use without counting who holds them.

Numba counts references to each array that a compiled function is given, with atomic additions: a
state of ten arrays that goes through twenty calls costs more than what is done with it. A loop
that was called from Python need not count: the caller holds the arrays until it returns.
"""

from __future__ import annotations

from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic

from tradelake.execution.book import Books
from tradelake.execution.compiled import compiled
from tradelake.execution.markets import Market
from tradelake.execution.state import State
from tradelake.execution.terms import Terms


@intrinsic  # type: ignore[untyped-decorator]
def borrowed(_: Any, array: types.Array) -> Any:  # noqa: ANN401 - numba's own types
    """Return an array that shares its memory but owns nothing; it must not outlive the other."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        shared = context.make_array(signature.args[0])(context, builder, value=values[0])
        shared.meminfo = cgutils.get_null_value(shared.meminfo.type)
        shared.parent = cgutils.get_null_value(shared.parent.type)
        return shared._getvalue()  # noqa: SLF001 - numba's own way to read it

    return array(array), generate


@compiled
def borrowed_state(state: State) -> State:
    """Return the state with arrays that are not counted."""
    return State(
        borrowed(state.account),
        borrowed(state.positions),
        borrowed(state.symbols),
        borrowed(state.orders),
        borrowed(state.fills),
        borrowed(state.counters),
        borrowed(state.live),
        borrowed(state.sent),
        borrowed(state.notional),
        borrowed(state.instruments),
    )


@compiled
def borrowed_market(market: Market) -> Market:
    """Return the market with arrays that are not counted."""
    books = market.books
    return Market(
        borrowed(market.rows),
        Books(
            borrowed(books.keys),
            borrowed(books.sizes),
            borrowed(books.traded),
            borrowed(books.taken),
            borrowed(books.counts),
            borrowed(books.dropped),
        ),
        borrowed(market.tape),
        borrowed(market.resting),
    )


@compiled
def borrowed_terms(terms: Terms) -> Terms:
    """Return the terms with arrays that are not counted."""
    return Terms(
        terms.rung,
        terms.seed,
        terms.allow_short,
        terms.fee_in_quote,
        terms.halt_waits,
        terms.types_offered,
        terms.tifs_offered,
        terms.cap,
        borrowed(terms.tiers),
        borrowed(terms.latency),
        terms.half_spread,
        terms.slippage_kind,
        terms.slippage,
        terms.participation,
        terms.touch,
        terms.beyond_top,
        terms.own_trades_stay,
        terms.queue_pro_rata,
        terms.partial_probability,
        terms.impact_kind,
        terms.impact,
        terms.impact_power,
        terms.impact_permanent,
        terms.impact_half_life_ns,
        terms.impact_window,
        terms.delisting_haircut,
    )
