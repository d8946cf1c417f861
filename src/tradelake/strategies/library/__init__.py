"""The strategies that come with the package, by name."""

from tradelake.strategies.library.catalogue import STRATEGIES, build, make
from tradelake.strategies.library.entry import AnyStrategy, Entry, RuleStrategy

__all__ = ["STRATEGIES", "AnyStrategy", "Entry", "RuleStrategy", "build", "make"]
