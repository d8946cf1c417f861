"""Ingesters that stand by for each other, and that divide the work, on the embedded AWS.

A takeover is measured from the fault to the receipt of the first record by whoever leads next.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
import urllib3

from tests.faults.evidence import lake_content
from tests.faults.reconcile import account, since_first_subscription
from tests.faults.run import judge
from tests.faults.world import Ingester, World, wait_for
from tradelake.bootstrap.ingester import ENV_ECS_METADATA
from tradelake.exchange.journal import Kind
from tradelake.lake.writer import STALE_LEADER
from tradelake.market.channels import ORDERBOOKS
from tradelake.ports import OPEN
from tradelake.topology import names

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LEASE_S = 3.0
HOLD_S = 3.0
MARKET = ("--synthetic", "--symbols", "3", "--activity", "40", "--hours", "1")


class Health(msgspec.Struct, frozen=True):
    """Who leads, as an ingester tells it."""

    state: str = ""
    leads: bool = False
    epoch: int = 0
    evicted: int = 0
    unevicted: int = 0


def health(ingester: Ingester) -> Health:
    url = f"http://127.0.0.1:{ingester._port}/health"
    try:
        answer = urllib3.request("GET", url, timeout=2.0, retries=False)
    except urllib3.exceptions.HTTPError:
        return Health()
    return msgspec.json.decode(answer.data, type=Health)


def another(world: World, name: str, **more: str) -> Ingester:
    """Start one more ingester with a disk of its own."""
    spool = str((world.layout.root / f"spool-{name}").absolute())
    lease = {names.ENV_LEASE_S: str(LEASE_S), names.ENV_SPOOL: spool}
    ingester = Ingester(world, world.ingester_variables({**lease, **more}))
    ingester.start()
    return ingester


def wait_standing_by(ingester: Ingester) -> None:
    wait_for("an ingester to stand by", lambda: health(ingester).state == "standby", 120.0)
    assert not health(ingester).leads


def wait_leading(ingester: Ingester, timeout_s: float = 60.0) -> None:
    def leads() -> bool:
        told = health(ingester)
        return told.leads and told.state == "streaming"

    wait_for("an ingester to stream", leads, timeout_s, 0.1)


def first_receipts(world: World) -> dict[int, int]:
    """Return when the first message of each epoch was received."""
    tables = " UNION ALL ".join(
        f"SELECT epoch, ts_ingest_ns FROM {table} WHERE lane = 'live'"
        for table in ("trades", "quotes", "books")
    )
    query = f"SELECT epoch, min(ts_ingest_ns) AS first FROM ({tables}) GROUP BY epoch"
    return {row["epoch"]: row["first"] for row in world.lake().sql(query).to_pylist()}


def assert_none_open(world: World) -> None:
    wait_for("every gap to end", lambda: all(gap.closed_ns != OPEN for gap in world.gaps()))


def test_standby_streams_when_the_leader_ends_dies_or_hangs(tmp_path: Path):
    market = [*MARKET, "--live", "60", "--unclean-hold", str(HOLD_S)]
    faults: dict[str, tuple[int, int]] = {}
    with World(tmp_path / "world", market, {names.ENV_LEASE_S: str(LEASE_S)}) as world:
        leader = world.ingester
        leader.start()
        world.wait_subscribed()
        world.play()
        for fault in ("SIGTERM", "SIGKILL", "SIGSTOP"):
            standby = another(world, fault)
            wait_standing_by(standby)
            wait_leading(leader)
            at_ns = time.time_ns()
            _inflict(fault, leader)
            wait_leading(standby)
            faults[fault] = at_ns, health(standby).epoch
            if fault == "SIGSTOP":
                assert health(standby).evicted == 1
                assert leader.resume() == -signal.SIGKILL
            leader = standby
        world.ingester = leader
        world.wait_played()
        leader.settle()
        assert_none_open(world)
        world.recover()
        leader.stop()
        world.drain()
        result = judge(world, "takeovers")
        receipts = first_receipts(world)
    took = {name: (receipts[epoch] - at_ns) / 1e9 for name, (at_ns, epoch) in faults.items()}
    told = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items())
    print(f"takeover with a lease of {LEASE_S:g} s and a 406 hold of {HOLD_S:g} s: {told}")
    print(result)
    assert result.passed, result.why
    assert took["SIGTERM"] < took["SIGKILL"]


def test_late_records_of_a_leader_that_nobody_could_end_are_merged_and_its_books_flagged(
    tmp_path: Path,
):
    market = [*MARKET, "--live", "30", "--connection-limit", "2"]
    with task_metadata() as url, World(tmp_path / "world", market) as world:
        stale = another(world, "stale", **{ENV_ECS_METADATA: f"{url}/stale"})
        world.wait_subscribed()
        successor = another(world, "successor", **{ENV_ECS_METADATA: f"{url}/successor"})
        wait_standing_by(successor)
        world.play()
        wait_leading(stale)
        stale.pause()
        wait_leading(successor)
        assert health(successor).evicted == 0
        time.sleep(2.0)
        assert stale.resume() == 0
        wait_standing_by(stale)
        world.ingester = successor
        world.wait_played()
        successor.settle()
        assert_none_open(world)
        world.recover()
        stale.stop()
        successor.stop()
        world.drain()
        lines = account(
            since_first_subscription(world.publications()),
            lake_content(world.lake()),
            world.gaps(),
        )
        query = "SELECT epoch, count(*) AS n FROM books WHERE contains(flags, ?) GROUP BY epoch"
        flagged = world.lake().sql(query.replace("?", f"'{STALE_LEADER}'")).to_pylist()
    print(flagged, *lines, sep="\n")
    [row] = flagged
    assert row["epoch"] == 1
    assert row["n"] > 0
    for line in lines:
        assert line.unexplained == 0, line
        assert line.doubled == 0 or (line.channel == ORDERBOOKS and line.doubled <= row["n"]), line


def test_ingesters_divide_symbols_and_venues_when_each_has_an_origin_or_a_venue(tmp_path: Path):
    market = ["--synthetic", "--symbols", "BTC/USD,ETH/USD,SOL/USD", "--activity", "40"]
    market += ["--hours", "1", "--live", "20", "--connection-limit", "2"]
    expected = {
        ("us", "a", "BTC/USD"),
        ("us", "b", "ETH/USD"),
        ("us", "b", "SOL/USD"),
        ("us-1", "", "BTC/USD"),
    }
    with World(tmp_path / "world", market) as world:
        divided = [
            another(world, "a", **{names.ENV_ORIGIN: "a", names.ENV_SYMBOLS: "BTC/USD"}),
            another(world, "b", **{names.ENV_ORIGIN: "b", names.ENV_SYMBOLS: "ETH/USD,SOL/USD"}),
        ]
        feed = world.ingester_variables({})[names.ENV_FEED_URL].removesuffix("us") + "us-1"
        elsewhere = {names.ENV_FEED_URL: feed, names.ENV_VENUE: "us-1"}
        divided.append(another(world, "c", **elsewhere, **{names.ENV_SYMBOLS: "BTC/USD"}))
        for ingester in divided:
            wait_leading(ingester, 120.0)
        world.play()
        world.wait_played()
        for ingester in divided:
            ingester.settle()
        for ingester in divided:
            ingester.stop()
        world.drain()
        published = Counter(
            (one.channel, one.record.symbol)
            for one in world.publications()
            if one.kind is Kind.MARKET
        )
        stored = {table: _by_source(world, table) for table in ("trades", "quotes")}
        built = {
            (row["venue"], row["symbol"]): int(row["trades"])
            for row in world.lake().sql(_BUILT).to_pylist()
        }
    for table, counts in stored.items():
        assert set(counts) == expected
        assert counts == {source: published[table, source[2]] for source in expected}
    assert built == {(venue, symbol): published["trades", symbol] for venue, _, symbol in expected}
    print(stored, built, sep="\n")


_BUILT = """
SELECT venue, symbol, sum(trades) AS trades FROM (
  SELECT * FROM bars WHERE source = 'tradelake' AND timeframe = '1s'
  QUALIFY row_number() OVER (
    PARTITION BY venue, symbol, ts_event_ns ORDER BY revision DESC
  ) = 1
) GROUP BY venue, symbol
"""


def _by_source(world: World, table: str) -> dict[tuple[str, str, str], int]:
    query = f"SELECT venue, origin, symbol, count(*) AS n FROM {table} GROUP BY ALL"
    return {
        (row["venue"], row["origin"], row["symbol"]): row["n"]
        for row in world.lake().sql(query).to_pylist()
    }


@contextmanager
def task_metadata() -> Iterator[str]:
    """Say who is which task of a cluster that does not exist: nobody can end such a task."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.split("/")[1]
            arn = f"arn:aws:ecs:us-east-1:123456789012:task/nowhere/{name}"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(msgspec.json.encode({"TaskARN": arn}))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def _inflict(fault: str, leader: Ingester) -> None:
    if fault == "SIGTERM":
        leader.stop()
    elif fault == "SIGKILL":
        leader.kill()
    else:
        leader.pause()
