"""Orders, matching, broker rules, costs and accounting. Pure; the hot path is compiled."""
