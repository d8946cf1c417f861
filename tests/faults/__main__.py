"""``python -m tests.faults``: every named fault in a world of its own; a table and a JSON line.

Exits 1 when a scenario failed: a message unexplained or double, a bar that differs from the one
computed offline, or a fault that cannot be shown to have happened.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
from rich.console import Console
from rich.table import Table

from tests.faults.run import Result, fresh_root, run_scenario
from tests.faults.scenarios import SCENARIOS
from tests.faults.world import ROOT

_RECORDED = ("--sessions", "binance_spot")
_MADE_UP = ("--synthetic", "--symbols", "4", "--activity", "40", "--hours", "0.1")
_COLUMNS = (
    "sent",
    "stored",
    "quarantined",
    "duplicates",
    "superseded",
    "unrecoverable",
    "unexplained",
    "doubled",
    "bars",
    "bars_differing",
    "gaps",
    "seconds",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenarios; returns the exit code."""
    given = _parse(arguments)
    if given.inside is not None:
        print(msgspec.json.encode(_inside(given)).decode())
        return 0
    chosen = [one for one in SCENARIOS if not given.only or one.name in given.only]
    if not chosen:
        print(
            f"no scenario of {', '.join(given.only)}; there are "
            f"{', '.join(one.name for one in SCENARIOS)}",
            file=sys.stderr,
        )
        return 2
    with ThreadPoolExecutor(given.jobs) as pool:
        results = list(pool.map(lambda one: _apart(one.name, given), chosen))
    _show(results)
    return 0 if all(result.passed for result in results) else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="a scenario; again for more")
    parser.add_argument("--keep", action="store_true", help="keep the folders of the worlds")
    parser.add_argument("--jobs", type=int, default=2, help="worlds at a time (2)")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _market() -> tuple[str, ...]:
    """Recorded ticks where there are any, else a lively synthetic market."""
    data = os.environ.get("TRADELAKE_DATA")
    return ("--data", data, *_RECORDED) if data else _MADE_UP


def _inside(given: argparse.Namespace) -> Result:
    scenario = next(one for one in SCENARIOS if one.name == given.inside)
    root = fresh_root()
    result = run_scenario(scenario, _market(), root)
    if given.keep:
        print(f"{scenario.name}: {root}", file=sys.stderr)
    else:
        shutil.rmtree(root, ignore_errors=True)
        root.with_name(f"{root.name}.journal").unlink(missing_ok=True)
    return result


def _apart(name: str, given: argparse.Namespace) -> Result:
    """Run one scenario in a process of its own: a world sets the environment of its process."""
    command = [sys.executable, "-m", "tests.faults", "--inside", name]
    done = subprocess.run(
        [*command, *(["--keep"] if given.keep else [])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        result = msgspec.json.decode(done.stdout.splitlines()[-1], type=Result)
    except (IndexError, msgspec.DecodeError):
        result = Result(name=name, why=[f"crashed: {done.stderr[-2_000:]}"])
    verdict = "passed" if result.passed else "FAILED"
    print(f"{verdict} {name} in {result.seconds:.0f} s {result.proof or ''}", flush=True)
    for reason in result.why:
        print(f"    {reason}", flush=True)
    if given.keep:
        print(f"    kept: {done.stderr.strip().splitlines()[-1:]}", flush=True)
    return result


def _show(results: Sequence[Result]) -> None:
    table = Table("scenario", *_COLUMNS, "passed")
    for result in results:
        cells = [f"{getattr(result, name):,}" for name in _COLUMNS]
        table.add_row(result.name, *cells, "yes" if result.passed else "NO")
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    summary = {
        "name": "faults",
        "scenarios": len(results),
        "passed": sum(result.passed for result in results),
        "lost": sum(result.unexplained for result in results),
        "doubled": sum(result.doubled for result in results),
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    sys.exit(main())
