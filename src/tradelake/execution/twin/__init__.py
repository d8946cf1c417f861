"""The matching core in plain Python, slow and obvious: what the compiled one must agree with."""

from tradelake.execution.twin.venue import Twin

__all__ = ["Twin"]
