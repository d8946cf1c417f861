"""Orders, matching, broker rules, costs and accounting: one matching core.

Everything that fills uses it. Pure, compiled.
"""
