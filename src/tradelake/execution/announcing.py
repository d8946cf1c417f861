"""Terms of instruments, and whole symbols, that become known while a machine runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tradelake.errors import InvalidData
from tradelake.execution.inputs import check_instruments
from tradelake.execution.state import NEVER, Rows, State, new_state
from tradelake.execution.terms import INSTRUMENT


def announced(state: State, names: Sequence[str], rows: Rows, now_ns: int) -> State:
    """Return the state with terms and symbols that it did not know.

    Terms that are in force no more are let go: a venue that halts and resumes for years is no
    reason to grow.

    Parameters
    ----------
    state : State
        Up to now; nothing of it is written to.
    names : sequence of str
        Of all symbols, the new ones last.
    rows : Rows
        :data:`~tradelake.execution.terms.INSTRUMENT` rows in any order. Of a symbol that is known
        they follow on the terms in force, in place of what was known for their first instant and
        later. Of a symbol that is new they are everything, and the first is in force at once.
    now_ns : int
        Up to where everything was handled.

    Raises
    ------
    InvalidData
        Rule ``order``: terms of a known symbol begin in the past. Rules ``symbols`` and
        ``instruments`` as :func:`tradelake.execution.inputs.check_instruments`.
    """
    rows = np.array(rows, INSTRUMENT, ndmin=1)
    _check_instants(state, names, rows, now_ns)
    rows = np.concatenate((_still_holding(state, rows), rows))
    rows = check_instruments(names, rows[np.lexsort((rows["from_ns"], rows["symbol"]))])
    fresh, known = new_state(rows, 0, 1), len(state.symbols)
    symbols, positions = fresh.symbols, fresh.positions
    places = symbols[["row", "end"]].copy()
    symbols[:known], positions[:known] = state.symbols, state.positions
    symbols[["row", "end"]] = places
    counters = state.counters.copy()
    counters["dated_ns"], counters["stale"] = fresh.counters["dated_ns"], 1
    return state._replace(
        symbols=symbols, positions=positions, counters=counters, instruments=fresh.instruments
    )


def _still_holding(state: State, rows: Rows) -> Rows:
    """Return the terms in force, and those for later that stay as they were told."""
    known = state.instruments
    symbols = known["symbol"]
    in_force = state.symbols["row"][symbols]
    replaced_ns = np.full(len(state.symbols), NEVER)
    told = rows[rows["symbol"] < len(state.symbols)]
    np.minimum.at(replaced_ns, told["symbol"], told["from_ns"])
    places = np.arange(len(known))
    later = (places > in_force) & (known["from_ns"] < replaced_ns[symbols])
    holding: Rows = known[(places == in_force) | later]
    return holding


def _check_instants(state: State, names: Sequence[str], rows: Rows, now_ns: int) -> None:
    for row in rows:
        number, from_ns = int(row["symbol"]), int(row["from_ns"])
        if number < 0:
            raise InvalidData("instruments", f"expected a symbol of 0 or more; found {number}")
        if number >= len(state.symbols):
            continue
        in_force = int(state.instruments["from_ns"][state.symbols["row"][number]])
        if from_ns < now_ns or from_ns <= in_force:
            raise InvalidData(
                "order",
                f"{names[number]}: expected terms from {max(now_ns, in_force + 1)} ns or later; "
                f"found {from_ns}",
            )
