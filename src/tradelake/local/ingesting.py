"""Runs the ingester against an exchange until the exchange has played everything."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import urllib3

from tradelake.decoding import json_decoder
from tradelake.errors import ConfigError, Transient
from tradelake.local.exchange_client import ExchangeClient, Status
from tradelake.local.processes import Process
from tradelake.local.runtime import Runtime
from tradelake.topology import names

_POLL_S: Final = 0.15
_SUBSCRIBE_S: Final = 60.0


class IngesterHealth(msgspec.Struct, frozen=True):
    """What the ingester's health endpoint says."""

    state: str = ""
    received: dict[str, int] = {}
    acknowledged_records: int = 0
    in_hand: int = 0
    latency_ms: dict[str, float | None] = {}

    @property
    def durable(self) -> int:
        """Points of the feed that are durable; what we add ourselves is not among them."""
        return max(0, sum(self.received.values()) - self.in_hand)


_LEASE_S: Final = "60"
"""Nobody stands by, and the one machine may be too busy to renew a shorter lease in time."""
_PLAYED: Final = '{"defaults": {"stale_s": null}}'
"""What an exchange plays happened long ago, or at another speed: that is not stale."""


def free_port() -> int:
    """Return a TCP port on the loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_port(port: int) -> None:
    """Find out before anything is started whether an ingester could listen there.

    Raises
    ------
    ConfigError
        The port is taken, or not ours to take.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(f"cannot listen on port {port}: {error.strerror}") from error


class Ingesting:
    """One ingester process fed by one exchange.

    Parameters
    ----------
    runtime : Runtime
        Where it runs.
    exchange_url : str
        Base URL of the exchange.
    variables : mapping
        More settings of the ingester.
    """

    def __init__(self, runtime: Runtime, exchange_url: str, variables: Mapping[str, str]) -> None:
        self._runtime = runtime
        self._exchange = ExchangeClient(exchange_url)
        self._port = int(variables.get(names.ENV_HEALTH_PORT, 0)) or free_port()
        self._pool = urllib3.PoolManager(timeout=2.0, retries=False)
        self.health = IngesterHealth()
        feed = exchange_url.replace("http", "ws", 1) + "/v1beta3/crypto/us"
        self._process: Process = runtime.start_ingester(
            {
                names.ENV_FEED_URL: feed,
                names.ENV_TRADING_URL: exchange_url,
                names.ENV_LEASE_S: _LEASE_S,
                names.ENV_QUALITY_RULES: runtime.variables.get(names.ENV_QUALITY_RULES, _PLAYED),
                **variables,
                names.ENV_HEALTH_PORT: str(self._port),
            }
        )

    @property
    def url(self) -> str:
        """Base URL of the ingester's endpoint: ``/health`` and ``/tap``."""
        return f"http://127.0.0.1:{self._port}"

    def wait_subscribed(self) -> None:
        """Return when the exchange has a subscriber.

        Raises
        ------
        Transient
            The ingester ended or did not subscribe in time.
        """
        deadline = time.monotonic() + _SUBSCRIBE_S
        while not self._exchange.status().subscribed:
            self._runtime.check()
            if time.monotonic() > deadline:
                raise Transient(f"the ingester did not subscribe within {_SUBSCRIBE_S:g} s")
            time.sleep(_POLL_S)

    def play(self, progress: Callable[[Status, IngesterHealth], None]) -> Status:
        """Start the playback, return when the exchange has sent everything."""
        self._exchange.start()
        while True:
            status = self._exchange.status()
            self.health = self._ask() or self.health
            progress(status, self.health)
            if status.state == "finished":
                return status
            self._runtime.check()
            time.sleep(_POLL_S)

    def stop(self) -> Status:
        """Stop the ingester as SIGTERM does on Fargate; return the exchange's final account.

        Raises
        ------
        Transient
            It did not end cleanly: then what it held is not accounted for.
        """
        self._settle()
        code = self._runtime.stop(self._process, timeout_s=60.0)
        if code != 0:
            raise Transient(f"the ingester ended with code {code}: {self._process.last_line()}")
        return self._exchange.status()

    def _settle(self) -> None:
        """Wait until it holds what was sent, so that the health figures are the final ones."""
        sent = self._exchange.status().total_sent
        deadline = time.monotonic() + 30.0
        while time.monotonic() < deadline:
            self.health = self._ask() or self.health
            if self.health.durable >= sent:
                return
            self._runtime.check()
            time.sleep(_POLL_S)

    def _ask(self) -> IngesterHealth | None:
        try:
            answer = self._pool.request("GET", f"{self.url}/health")
        except urllib3.exceptions.HTTPError:
            return None
        return json_decoder(IngesterHealth).decode(answer.data)
