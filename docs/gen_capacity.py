"""Write the tables of docs/explanation/capacity.md anew: ``python docs/gen_capacity.py``."""
# ruff: noqa: INP001 - a script, run by its path

from __future__ import annotations

from pathlib import Path
from typing import Final

from tradelake.usecases.capacity import MEASURED, Load, Plan, plan

PAGE: Final = Path(__file__).parent / "explanation" / "capacity.md"
BEGIN: Final = "<!-- begin: docs/gen_capacity.py -->\n"
END: Final = "<!-- end -->\n"
RATES: Final = (10_000, 100_000, 1_000_000)
WHAT_IF: Final = (
    ("as it is", Load(points_s=10_000)),
    ("aggregate with a batching window of 1 s", Load(points_s=10_000, window_s=1.0)),
    ("aggregate with a batching window of 5 s", Load(points_s=10_000, window_s=5.0)),
    ("8 buckets", Load(points_s=10_000, buckets=8)),
    ("32 buckets", Load(points_s=10_000, buckets=32)),
    ("ticks kept for 90 days", Load(points_s=10_000, retain_days=90)),
)


def tables() -> str:
    """Return what stands between the marks."""
    return "\n".join((_measured(), _needs([plan(Load(points_s=rate)) for rate in RATES]), _if()))


def _measured() -> str:
    rows = [f"| `{name}` | {getattr(MEASURED, name):g} |" for name in MEASURED.__struct_fields__]
    return "\n".join(("| a point takes | |", "|---|---|", *rows, ""))


def _needs(plans: list[Plan]) -> str:
    names = [f"{one.load.points_s:,.0f}/s" for one in plans]
    head = " | ".join(f"{name}: count | USD" for name in names)
    rows = [
        f"| {same[0].what} | "
        + " | ".join(f"{one.count:,.1f} | {one.usd:,.0f}" for one in same)
        + " |"
        for same in zip(*(one.lines for one in plans), strict=True)
    ]
    whole = " | ".join(f" | **{one.usd:,.0f}**" for one in plans)
    notes = [
        f"- {name}: {warning}."
        for name, one in zip(names, plans, strict=True)
        for warning in one.warnings
    ]
    lines = (f"| need, a month | {head} |", "|---|" + "--:|" * (2 * len(plans)), *rows)
    return "\n".join((*lines, f"| all of it | {whole} |", "", *notes, ""))


def _if() -> str:
    rows = []
    for what, load in WHAT_IF:
        found = plan(load)
        (state,) = (one.usd for one in found.lines if one.what.startswith("aggregation state"))
        rows.append(f"| {what} | {state:,.0f} | {found.usd:,.0f} |")
    head = "| 10,000 points/s | state, USD a month | all of it |"
    return "\n".join((head, "|---|--:|--:|", *rows, ""))


def main() -> None:
    """Replace what stands between the marks."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{tables()}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
