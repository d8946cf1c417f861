"""Writes the reference pages from the code they describe.

``python docs/gen_reference.py`` writes them, ``python docs/gen_reference.py --check`` only says
which are not current and then exits 1. A test runs the check, so a page can never go stale.
"""
# ruff: noqa: INP001 - a script, run by its path

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from reference_pages.cli import cli_page
from reference_pages.exchange import exchange_page
from reference_pages.metrics import metrics_page
from reference_pages.quality import quality_page
from reference_pages.strategies import strategies_page
from reference_pages.tables import tables_page
from reference_pages.topology import topology_page
from reference_pages.variables import variables_page

FOLDER: Final = Path(__file__).resolve().parent / "reference"
MADE: Final = "<!-- Made by docs/gen_reference.py from the code. Do not edit. -->\n\n"

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "cli.md": cli_page,
    "variables.md": variables_page,
    "tables.md": tables_page,
    "topology.md": topology_page,
    "metrics.md": metrics_page,
    "exchange.md": exchange_page,
    "quality.md": quality_page,
    "strategies.md": strategies_page,
}


def stale() -> list[str]:
    """Return the names of the pages that are not what the code says now."""
    found = []
    for name, page in PAGES.items():
        path = FOLDER / name
        if not path.is_file() or path.read_text(encoding="utf-8") != MADE + page():
            found.append(name)
    return found


def main() -> int:
    """Write or check the pages; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if parser.parse_args().check:
        wrong = stale()
        if wrong:
            sys.stderr.write(f"not current: {', '.join(wrong)}; run docs/gen_reference.py\n")
        return 1 if wrong else 0
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(MADE + page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
