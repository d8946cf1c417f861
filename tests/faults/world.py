"""One small world: the embedded AWS, an exchange that plays live and keeps a journal, ingesters."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import urllib3

from tests.faults.reconcile import silent_gaps
from tradelake.adapters.aws.clients import client
from tradelake.bootstrap import wire_gap_ledger, wire_lake_reader
from tradelake.errors import Transient
from tradelake.exchange.journal import Publication, read_journal
from tradelake.lake.reader import LakeReader
from tradelake.local.exchange_client import ExchangeClient
from tradelake.local.ingesting import free_port
from tradelake.local.layout import ENVIRONMENT, Layout
from tradelake.local.processes import Process
from tradelake.local.runtime import Runtime, RuntimeOptions
from tradelake.ports import Gap
from tradelake.topology import functions, names

ROOT: Final = Path(__file__).resolve().parents[2]
TIMEFRAMES: Final = ("1s", "1m")
_POLL_S: Final = 0.2
_LATENESS_S: Final = 5.0
"""Heartbeats of so long close the last bars."""


def wait_for(
    what: str, ready: Callable[[], object], timeout_s: float = 60.0, every_s: float = _POLL_S
) -> None:
    """Return when ``ready`` says so; it is asked every so many seconds.

    Raises
    ------
    Transient
        It did not in time.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise Transient(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(every_s)


class Health(msgspec.Struct, frozen=True):
    """What an ingester's health endpoint says, as far as it matters here."""

    state: str = ""
    received: dict[str, int] = {}
    acknowledged_records: int = 0
    in_hand: int = 0
    retries: int = 0
    spooled_batches: int = 0
    spool_bytes: int = 0
    venue_errors: dict[str, int] = {}


class Ingester:
    """An ingester process that can be killed, paused and started again."""

    def __init__(self, world: World, variables: Mapping[str, str]) -> None:
        self._world = world
        self._variables = variables
        self._pool = urllib3.PoolManager(timeout=2.0, retries=False)
        self._port = 0
        self.process: Process | None = None
        self.health = Health()

    def start(self) -> None:
        """Start the container's entry point."""
        self._port = free_port()
        self.process = self._world.runtime.start_ingester(
            {names.ENV_HEALTH_PORT: str(self._port), **self._variables}
        )

    def restart(self, variables: Mapping[str, str]) -> None:
        """Stop it and start it with other settings."""
        self.stop()
        self._variables = {**self._variables, **variables}
        self.start()

    def kill(self) -> None:
        """End it as a lost machine would."""
        process = self._alive()
        os.killpg(process.child.pid, signal.SIGKILL)
        self._world.runtime.stop(process)
        self.process = None

    def pause(self) -> None:
        """Let it stand still as a machine that hangs."""
        os.killpg(self._alive().child.pid, signal.SIGSTOP)

    def resume(self) -> int:
        """Let it go on; returns its exit code, and forgets it, where somebody ended it."""
        process = self._alive()
        os.killpg(process.child.pid, signal.SIGCONT)
        time.sleep(1.0)
        if process.running:
            return 0
        self.process = None
        return self._world.runtime.stop(process)

    def stop(self) -> None:
        """End it as Fargate does.

        Raises
        ------
        Transient
            It did not end cleanly.
        """
        process = self._alive()
        code = self._world.runtime.stop(process, timeout_s=60.0)
        self.process = None
        if code != 0:
            raise Transient(f"the ingester ended with code {code}: {process.last_line()}")

    def ask(self) -> Health:
        """Return its health; the last known where it does not answer."""
        try:
            answer = self._pool.request("GET", f"http://127.0.0.1:{self._port}/")
        except urllib3.exceptions.HTTPError:
            return self.health
        self.health = msgspec.json.decode(answer.data, type=Health)
        return self.health

    def settle(self) -> None:
        """Return when it streams and holds nothing: every gap is closed then."""

        def settled() -> bool:
            self._world.runtime.check()
            health = self.ask()
            return health.state == "streaming" and health.in_hand == 0

        wait_for("the ingester to settle", settled, 180.0)
        time.sleep(_LATENESS_S)

    def _alive(self) -> Process:
        assert self.process is not None
        return self.process


class World:
    """A context in which everything of one scenario runs.

    Parameters
    ----------
    root : Path
        Its folder.
    market : sequence of str
        Arguments of the exchange that say what is played and how.
    variables : mapping
        Settings of ingesters, on top of the world's.
    """

    def __init__(
        self, root: Path, market: Sequence[str], variables: Mapping[str, str] | None = None
    ) -> None:
        self._port = free_port()
        self._url = f"http://127.0.0.1:{self._port}"
        self._market = tuple(market)
        self.journal = root.with_name(f"{root.name}.journal").absolute()
        self.layout = Layout(root)
        self.layout.prepare()
        self.runtime = Runtime(
            RuntimeOptions(
                layout=self.layout,
                project_root=ROOT,
                window_cap_s=1.0,
                extra_variables={
                    names.ENV_BAR_TIMEFRAMES: ",".join(TIMEFRAMES),
                    names.ENV_DATA_URL: self._url,
                    names.ENV_TRADING_URL: self._url,
                    names.ENV_REBUILD_GRACE_S: "5",
                },
            )
        )
        self.exchange = ExchangeClient(self._url)
        self.ingester = Ingester(self, self.ingester_variables(variables or {}))
        self._pool = urllib3.PoolManager(timeout=30.0, retries=False)

    def ingester_variables(self, more: Mapping[str, str]) -> dict[str, str]:
        """Return the settings of an ingester on the world's exchange."""
        return {
            names.ENV_FEED_URL: f"ws://127.0.0.1:{self._port}/v1beta3/crypto/us",
            names.ENV_CONNECTION_HOLD_S: "2",
            names.ENV_SPOOL: str((self.layout.root / "spool").absolute()),
            **more,
        }

    def standby(self) -> Ingester:
        """Start another ingester on the same lease, with a disk of its own."""
        spool = str((self.layout.root / "spool-standby").absolute())
        other = Ingester(self, self.ingester_variables({names.ENV_SPOOL: spool}))
        other.start()
        return other

    def __enter__(self) -> Self:
        self.runtime.__enter__()
        try:
            os.environ.update(self.runtime.variables)
            process = self.runtime.start(
                "exchange",
                [
                    *("-m", "tradelake.cli", "exchange", "--port", str(self._port)),
                    *("--start", "told", "--rate-limit", "0", "--journal", str(self.journal)),
                    *self._market,
                ],
            )
            process.wait_ready(120.0)
        except BaseException:
            self.runtime.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.runtime.__exit__(kind, error, trace)

    def wait_subscribed(self) -> None:
        """Return when the exchange has a subscriber."""

        def subscribed() -> bool:
            self.runtime.check()
            return bool(self.exchange.status().subscribed)

        wait_for("a subscription", subscribed, 120.0)

    def play(self) -> None:
        """Start the market, return when something was sent."""
        self.exchange.start()
        wait_for("the first message", lambda: self.exchange.status().total_sent)

    def wait_played(self) -> None:
        """Return when the market was played to its end."""

        def played() -> bool:
            self.runtime.check()
            return self.exchange.status().state == "finished"

        wait_for("the end of the market", played, 400.0)

    def market_fault(self, kind: str, **parameters: object) -> None:
        """Inject a fault of the exchange."""
        self._post(f"{self._url}/_exchange/fault", {"kind": kind, **parameters})

    def stream_fault(self, **request: object) -> None:
        """Put a fault of the stream server in force."""
        url = self.runtime.variables["AWS_ENDPOINT_URL_KINESIS"]
        self._post(f"{url}/_streams/fault", request)

    def stream_status(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return the shards of every stream, as the stream server tells them."""
        url = self.runtime.variables["AWS_ENDPOINT_URL_KINESIS"]
        answer = self._pool.request("GET", f"{url}/_streams/status")
        streams: dict[str, dict[str, dict[str, Any]]] = msgspec.json.decode(answer.data)["streams"]
        return streams

    def _post(self, url: str, body: object) -> None:
        answer = self._pool.request("POST", url, body=msgspec.json.encode(body))
        if answer.status != 200:
            raise Transient(f"{url}: HTTP {answer.status}: {answer.data.decode()}")

    def function_status(self, name: str) -> list[dict[str, Any]]:
        """Return what a function worker says of its mappings; empty before it said anything."""
        try:
            text = (self.layout.state / f"{name}.status.json").read_bytes()
        except FileNotFoundError:
            return []
        mappings: list[dict[str, Any]] = msgspec.json.decode(text)["mappings"]
        return mappings

    def aws(self, service: str) -> Any:
        """Return a client of the world's AWS."""
        return client(service)

    def drain(self) -> None:
        """Return when everything on the streams is dealt with."""
        self.runtime.drain(lambda: None)

    def recover(self) -> None:
        """Fill the gaps of the ledger over REST and rebuild the bars that overlap them.

        The ingester still runs: its heartbeats say that the lake is whole up to the present. The
        market is over, so a gap of channels that were mute at its end never closes; only while
        the journal knows of nothing that was published in it, it may stay open.

        Raises
        ------
        Transient
            History did not settle in time, or a run was stopped.
        """

        last: dict[str, Any] = {}

        def recovered() -> bool:
            """Fill, then rebuild; comparing with the venue's bars may open gaps to be filled."""
            self.runtime.check()
            filled = self.runtime.invoke(functions.BACKFILL)
            rebuilt = self.runtime.invoke(functions.REBUILD)["rebuilt"]
            last.update(filled=filled, rebuilt=rebuilt)
            ended = silent_gaps(self.gaps(), self.publications())
            left = [filled["open"] - len(ended)]
            left += [filled[name] for name in ("settling", "stopped")]
            left += [rebuilt[name] for name in ("unfilled", "waiting", "stopped", "lost")]
            return not any(left)

        if self.gaps():
            try:
                wait_for("the gaps to be filled and their bars rebuilt", recovered, 420.0, 8.0)
            except Transient as error:
                raise Transient(f"{error}: {last}") from error

    def gaps(self) -> list[Gap]:
        """Return the gap ledger."""
        return wire_gap_ledger(ENVIRONMENT).gaps()

    def lake(self) -> LakeReader:
        """Return the lake."""
        return wire_lake_reader(self.runtime.variables)

    def publications(self) -> list[Publication]:
        """Return the journal so far."""
        return read_journal(self.journal)
