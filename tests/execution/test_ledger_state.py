"""The ledger cut in two: what is saved is restored, and nonsense is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.execution.ledgers import BTC, ETH, NOW_NS, bought, fills, ledger
from tradelake.decoding import json_decoder
from tradelake.errors import InvalidData
from tradelake.execution.ledger import Ledger
from tradelake.execution.ledger_fills import VenueFill
from tradelake.execution.ledger_state import LedgerState
from tradelake.execution.state import DAY_NS, DAYS


@settings(deadline=None, max_examples=150)
@given(st.lists(fills(), max_size=25), st.booleans(), st.integers(0, 25))
def test_value_is_conserved_and_state_survives_in_any_stream_of_fills(
    stream: list[VenueFill], allow_short: bool, saved_at: int
) -> None:
    made = ledger(allow_short=allow_short)
    for place, fill in enumerate(stream):
        if place == saved_at:
            text = msgspec.json.encode(made.saved())
            made = ledger(cash=0.0, allow_short=allow_short)
            made.restore(json_decoder(LedgerState).decode(text), NOW_NS)
            assert msgspec.json.encode(made.saved()) == text
        before = made.saved()
        if not _booked(made, fill):
            assert made.saved() == before
            continue
        held, saved = made.holdings(), before.positions[fill.symbol]
        unit = Decimal(repr(saved.unit))
        fee = made.fees().get(fill.symbol[:3], Decimal(0)) - saved.fees_base * unit
        moved = held[fill.symbol].quantity - saved.quantity * unit
        assert moved == fill.side * fill.quantity - fee
        realised = sum(one.realised for one in held.values())
        assert made.cash + sum(one.cost for one in held.values()) == 100_000 + realised


def _booked(made: Ledger, fill: VenueFill) -> bool:
    try:
        return made.book(fill, NOW_NS)
    except InvalidData:
        return False


@pytest.mark.parametrize(
    "changes",
    [
        {"cash": 2**70},
        {"cash": "1"},
        {"turnover": float("nan")},
        {"notional": [0]},
        {"notional": [2**62] * DAYS},
        {"notional": [-1] * DAYS},
        {"day": -2},
        {"day": 2**31},
        {"day": (NOW_NS + DAY_NS) // DAY_NS + 1},
        {"fills": -1},
        {"positions": {"DOGE/USD": {"unit": 1e-8}}},
        {"positions": {BTC: {"unit": 1e-9}}},
    ],
)
def test_a_state_that_makes_no_sense_is_refused_and_changes_nothing(changes: Any) -> None:
    made = ledger()
    made.book(bought(), NOW_NS)
    before = made.saved()
    with pytest.raises(InvalidData, match=r"^state: "):
        made.restore(msgspec.structs.replace(before, **changes), NOW_NS)
    assert made.saved() == before


@pytest.mark.parametrize(("quantity", "cost"), [(0, 1), (0, -1), (5, -(10**6)), (-5, 10**6)])
def test_a_state_is_refused_when_no_fills_could_leave_a_cost_of_it(
    quantity: int, cost: int
) -> None:
    made = ledger(allow_short=True)
    made.book(bought(), NOW_NS)
    before = made.saved()
    wrong = msgspec.structs.replace(before.positions[ETH], quantity=quantity, cost=cost)
    with pytest.raises(InvalidData, match=r"^cost: .* of ETH/USD"):
        made.restore(
            msgspec.structs.replace(before, positions={**before.positions, ETH: wrong}), NOW_NS
        )
    assert made.saved() == before


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.floats(0.01, 0.5), st.sampled_from([1, -1])), min_size=1, max_size=8))
def test_what_rounding_leaves_of_the_largest_costs_can_be_restored(
    stream: list[tuple[float, int]],
) -> None:
    # 3e18 units cost up to 2**60 cash units, of which float64 knows every 128th, and one unit none.
    made = ledger(cash=0.0, allow_short=True, tiers=np.array([[0.0, 0.0, 0.0, 0.0]]))
    for number, (price, side) in enumerate(stream):
        _booked(made, bought("3e10", price, id=f"in {number}", side=side))
        _booked(made, bought("29999999999.99999999", price, id=f"out {number}", side=-side))
        made.restore(made.saved(), NOW_NS)
