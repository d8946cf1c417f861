"""What comes from the venue, and work that is done elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tradelake.feed.universe import Asset
from tradelake.market.arrays import BarArrays
from tradelake.market.records import Bar, Record


class Stage(Protocol):
    """A step every received frame's records pass in the ingester, before they are batched.

    Steps keep state, never wait, and never drop a record: what is odd is flagged.
    """

    def process(self, records: Sequence[Record], now_ns: int) -> Sequence[Record]:
        """Return the records to go on with: the same, flagged, or with others added."""
        ...


class Assets(Protocol):
    """What a venue trades."""

    def crypto_assets(self) -> Sequence[Asset]:
        """Every crypto pair the venue lists, active or not.

        Raises
        ------
        Transient
            The venue could not be reached, or asks for less.
        Fatal
            It refuses the credentials.
        InvalidData
            Rule ``assets``: the answer is not what the API documents.
        """
        ...


class MarketHistory(Protocol):
    """Historical bars over REST."""

    def bars(
        self, symbols: Sequence[str], timeframe: str, start_ns: int, end_ns: int
    ) -> Iterable[Sequence[Bar]]:
        """Pages of bars with ``start_ns <= ts_event < end_ns``, sorted by symbol, then time."""
        ...


class ChannelHistory(Protocol):
    """What a venue published on its channels, over REST."""

    def pages(
        self, channel: str, symbols: Sequence[str], start_ns: int, end_ns: int
    ) -> Iterable[Sequence[Record]]:
        """Pages of records with ``start_ns <= ts_event < end_ns``, sorted by symbol, then time.

        Records are equal in identity to what the channel carried: channel, revision, and the
        occurrence of equal quotes counted from the start of each instant.

        Raises
        ------
        Throttled
            The venue asks for a longer pause than the adapter waits.
        Transient
            It kept failing.
        Fatal, InvalidData
            It refuses the request, or the answer is not what it documents.
        """
        ...


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """What to train: bars of one timeframe, and hyper-parameters as strings."""

    name: str
    series: tuple[BarArrays, ...]
    hyperparameters: Mapping[str, str]


class TrainingJobs(Protocol):
    """Runs training jobs to their end."""

    def train(self, job: TrainingJob) -> bytes:
        """Return the trained ``model.tar.gz``; equal jobs give equal bytes.

        Raises
        ------
        ConfigError, InsufficientData, InvalidData
            The job cannot give a model as it is.
        Fatal
            It crashed or ran too long.
        """
        ...


class Workflows(Protocol):
    """Starts and watches state machines."""

    def start(self, workflow: str, name: str, payload: Mapping[str, Any]) -> str:
        """Start an execution; returns its id."""
        ...

    def status(self, execution: str) -> tuple[str, Mapping[str, Any] | None]:
        """(RUNNING | SUCCEEDED | FAILED | TIMED_OUT | ABORTED, output or None)."""
        ...
