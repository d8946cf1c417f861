"""Quality rules and thresholds."""

from __future__ import annotations

import inspect
import re
from typing import Final

from reference_pages.markdown import code, table
from tradelake.stream.quality_rules import RULES
from tradelake.stream.thresholds import DEFAULTS, Thresholds
from tradelake.topology import names

_PARAMETER: Final = re.compile(r"^(\w+) : .*\n((?: {4}.*\n?)+)", re.MULTILINE)


def quality_page() -> str:
    """Return the quality rules and their thresholds, from the one list of each."""
    rules = [
        (
            code(rule.name),
            rule.action,
            rule.step,
            ", ".join(rule.channels),
            rule.meaning,
            ", ".join(code(name) for name in rule.thresholds),
        )
        for rule in RULES
    ]
    meanings = dict(_PARAMETER.findall(inspect.getdoc(Thresholds) or ""))
    thresholds = [
        (code(name), f"{getattr(DEFAULTS, name):g}", " ".join(meanings[name].split()))
        for name in Thresholds.__struct_fields__
    ]
    return (
        "# Quality rules\n\n*Reject* sends the record to the `quarantine` table with rule, reason"
        " and bytes; *flag* keeps it, and the rule's name travels with it in its field `flags`."
        " *validate* looks at a record alone, *neighbours* at a record among those of its channel"
        " and symbol, *transform* at what a user's transform did.\n\n"
        + table(("rule", "action", "step", "channels", "meaning", "thresholds"), rules)
        + f"\n## Thresholds\n\n`{names.ENV_QUALITY_RULES}` holds what differs from the defaults;"
        " see [Set quality thresholds](../how-to/quality.md).\n\n"
        + table(("threshold", "default", "meaning"), thresholds)
    )
