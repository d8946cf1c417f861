"""Strategies, features and hyper-parameters."""

from __future__ import annotations

import msgspec

from reference_pages.markdown import code, table
from tradelake.features.registry import FEATURE_SETS
from tradelake.models.training import Hyperparameters
from tradelake.strategies.library import STRATEGIES

_STYLES = {
    "signals": "the bars of one symbol",
    "panel": "the bars of several symbols",
    "events": "events, and sends orders of its own",
}


def strategies_page() -> str:
    """Return strategies, features and hyper-parameters."""
    parts = ["# Strategies, features, hyper-parameters\n\n## Strategies\n"]
    for entry in STRATEGIES.values():
        order = " < ".join(f"`{name}`" for name in entry.ascending)
        parts.append(
            f"### `{entry.name}`\n\n{entry.doc[0].upper()}{entry.doc[1:]}."
            + (f" Must hold: {order}." if order else "")
            + f"\n\nDecides from {_STYLES[entry.style]}"
            + (f" and a {entry.model.__name__.lower()}" if entry.model else "")
            + f". Assumes: {entry.assumes}\n\n"
            + table(
                ("parameter", "type", "default", "range", "meaning"),
                (
                    (
                        code(parameter.name),
                        parameter.type.__name__,
                        parameter.default,
                        parameter.range,
                        parameter.doc,
                    )
                    for parameter in entry.parameters
                ),
            )
        )
    parts.append("## Feature sets\n\nA set is never changed once a model was trained on it.\n")
    for name, chosen in FEATURE_SETS.items():
        rows = ((code(item.name), item.warmup, item.doc) for item in chosen.features)
        parts.append(f"### `{name}`\n\n" + table(("feature", "warm-up bars", "meaning"), rows))
    defaults = msgspec.structs.asdict(Hyperparameters())
    parts.append(
        "## Hyper-parameters of training\n\n"
        + table(("name", "default"), ((code(n), code(v)) for n, v in defaults.items()))
    )
    return "\n".join(parts)
