"""Runs one scenario to its verdict."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.faults.evidence import lake_content, our_bars
from tests.faults.identities import identified
from tests.faults.plain_bars import bars_of, differing
from tests.faults.reconcile import (
    LakeContent,
    Line,
    account,
    since_first_subscription,
    totals,
)
from tests.faults.scenarios import Scenario
from tests.faults.world import TIMEFRAMES, World
from tradelake.errors import TradelakeError
from tradelake.exchange.journal import Kind, Publication
from tradelake.market.records import Trade


class Result(msgspec.Struct, kw_only=True):
    """The verdict on one scenario; counts are of messages, ``bars`` of our own bars."""

    name: str
    sent: int = 0
    stored: int = 0
    quarantined: int = 0
    duplicates: int = 0
    superseded: int = 0
    unrecoverable: int = 0
    unexplained: int = 0
    doubled: int = 0
    bars: int = 0
    bars_differing: int = 0
    gaps: int = 0
    seconds: float = 0.0
    proof: dict[str, int] = {}
    why: list[str] = []

    @property
    def passed(self) -> bool:
        """Whether everything is explained, nothing double, the bars equal, the fault proved."""
        return not self.why


def run_scenario(scenario: Scenario, market: Sequence[str], root: Path) -> Result:
    """Run a scenario in a fresh world; what cannot be run to its end fails."""
    began = time.monotonic()
    try:
        result = _run(scenario, market, root)
    except TradelakeError as error:
        result = Result(name=scenario.name, why=[f"{type(error).__name__}: {error}"])
    result.seconds = round(time.monotonic() - began, 1)
    return result


def _run(scenario: Scenario, market: Sequence[str], root: Path) -> Result:
    arguments = [*market, "--live", str(scenario.live_s), *scenario.market]
    with World(root, arguments, scenario.variables) as world:
        world.ingester.start()
        world.wait_subscribed()
        world.play()
        proof = dict(scenario.inject(world))
        world.wait_played()
        world.ingester.settle()
        proof.update(scenario.prove(world))
        world.recover()
        world.ingester.stop()
        world.drain()
        proof.update(scenario.after(world))
        result = judge(world, scenario.name)
        result.proof = proof
        missing = [name for name, count in proof.items() if count <= 0]
        result.why += [f"the fault did not happen: no {name}" for name in missing]
        return result


def judge(world: World, name: str) -> Result:
    """Reconcile a world that is at rest."""
    publications = since_first_subscription(world.publications())
    reader, gaps = world.lake(), world.gaps()
    lake = lake_content(reader)
    lines = account(publications, lake, gaps)
    result = Result(name=name, gaps=len(gaps), **totals(lines))
    result.why = _imbalances(lines)
    start_ns, end_ns = extent(publications)
    expected = bars_of(accepted_trades(publications, lake), TIMEFRAMES, start_ns, end_ns)
    wrong = differing(expected, our_bars(reader), start_ns, end_ns)
    result.bars, result.bars_differing = len(expected), len(wrong)
    result.why += [f"bar {one}" for one in wrong[:5]]
    if not expected:
        result.why.append("no bar was compared")
    return result


def extent(publications: Sequence[Publication]) -> tuple[int, int]:
    """Return the event times of the first and last trade, quote or book of the market."""
    times = [
        one.record.ts_event
        for one in publications
        if one.kind is Kind.MARKET and one.channel in ("trades", "quotes", "orderbooks")
    ]
    return (min(times), max(times)) if times else (0, 0)


def accepted_trades(publications: Sequence[Publication], lake: LakeContent) -> list[Trade]:
    """Return the distinct trades of the market that no rule rejected."""
    found = {
        identity: one.record
        for identity, one in identified(publications)
        if isinstance(one.record, Trade) and one.kind is Kind.MARKET
    }
    return [
        trade
        for identity, trade in found.items()
        if isinstance(trade, Trade) and identity not in lake.quarantined
    ]


def _imbalances(lines: Sequence[Line]) -> list[str]:
    return [
        f"{line.channel}: {line.unexplained} unexplained, {line.doubled} doubled;"
        f" for instance {'; '.join(line.examples[:3])}"
        for line in lines
        if not line.balanced
    ]


def fresh_root() -> Path:
    """Return a new folder for a world."""
    return Path(tempfile.mkdtemp(prefix="tradelake-fault-"))
