"""Orders, matching, broker rules, costs and accounting: one matching core for everything that fills. Pure, compiled."""
