"""A broker of theory: no fees, no increments, no limits, shorts allowed."""

from __future__ import annotations

from typing import Final

from tradelake.execution.broker import BrokerRules

IDEAL: Final = BrokerRules(
    name="ideal", allow_short=True, fee_in_quote=True, enforce_increments=False
)
"""For comparisons with theory and with other engines; nobody trades there."""
