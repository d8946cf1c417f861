"""What a sweep of backtests consists of: the request, one specification a run, the results.

Everything of a sweep lies below ``sweeps/<sweep_id>/`` in the artifact bucket, as JSON objects.
"""

from __future__ import annotations

import hashlib
import itertools
from typing import Final, Literal, TypeAlias

import msgspec

from tradelake.decoding import json_decoder
from tradelake.errors import ConfigError, InvalidData
from tradelake.market.timeframes import timeframe_ns
from tradelake.ports import ObjectStore

MAX_RUNS: Final = 10_000
"""Most runs of one sweep: the size of the largest Distributed Map whose counts stay exact."""
MAX_SECONDS: Final = 3300.0
"""Most seconds of one run: a job is ended after an hour, and reads and compiles before it runs."""

Value: TypeAlias = bool | int | float | str


class RunTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What all runs of a sweep share: what they decide with, over which time, on which terms.

    Parameters
    ----------
    sweep_id : str
        Name of the sweep: letters, digits, ``-`` and ``_``.
    strategy : str
        Name in the library of strategies, of any style.
    timeframe : str
        Bar timeframe.
    start_ns, end_ns : int
        Bounds of the bars' opens, ns since 1970 UTC; the end is excluded.
    broker : str
        Name of the broker whose rules hold.
    fee_bps : float or None
        Basis points of each fill, maker's and taker's; None: what the broker charges by date.
    slippage_bps, spread_bps : float
        Basis points by which a taker's price is worse, and the whole spread, of which it pays half.
    participation : float
        Most of a bar's volume that fills take at rung 2; 0: all they want.
    rung : int or "auto"
        How real fills are, 1 or 2; ``auto`` takes the highest that the bars carry.
    screen : dict of str to str
        What is done about bad bars, by rule; rules left out keep their defaults.
    cash : float
        Starting equity in quote units.
    seed : int
        Seed of whatever is random.
    max_seconds, max_orders : float, int
        Wall time and orders after which a run is ended; the seconds within those of the job.
    model_key : str or None
        Key of a model archive in the artifact bucket, for strategies that predict.
    """

    sweep_id: str
    strategy: str
    timeframe: str
    start_ns: int
    end_ns: int
    broker: str = "alpaca"
    fee_bps: float | None = None
    slippage_bps: float = 5.0
    spread_bps: float = 0.0
    participation: float = 0.1
    rung: Literal["auto", 1, 2] = "auto"
    screen: dict[str, str] = {}
    cash: float = 100_000.0
    seed: int = 0
    max_seconds: float = 3000.0
    max_orders: int = 1_000_000
    model_key: str | None = None


class SweepRequest(RunTerms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fan-out: every entry of the symbols with every combination of the grid.

    Parameters
    ----------
    symbols : tuple of str
        What each run trades: a pair, for instance ``BTC/USD``, or several with commas,
        ``BTC/USD,ETH/USD``, which one run trades together.
    grid : dict of str to tuple
        Values by parameter; parameters left out keep their defaults.
    """

    symbols: tuple[str, ...]
    grid: dict[str, tuple[Value, ...]] = {}

    def __post_init__(self) -> None:
        if not self.sweep_id.replace("-", "").replace("_", "").isalnum():
            raise ValueError(
                f"sweep_id: expected letters, digits, - and _, found {self.sweep_id!r}"
            )
        timeframe_ns(self.timeframe)
        if self.start_ns >= self.end_ns:
            raise ValueError(f"expected start_ns < end_ns, found {self.start_ns} and {self.end_ns}")
        self._check_terms()
        for symbols in self.symbols:
            pairs = symbols.split(",")
            if len(set(pairs)) != len(pairs) or "" in pairs:
                raise ValueError(f"symbols: expected pairs, each once; found {symbols!r}")
        if not 0 < self.count() <= MAX_RUNS:
            raise ValueError(f"expected 1 to {MAX_RUNS} runs, found {self.count()}")

    def _check_terms(self) -> None:
        costs = (self.fee_bps or 0.0, self.slippage_bps, self.spread_bps, self.participation)
        if self.cash <= 0 or min(costs) < 0:
            raise ValueError(
                "expected cash > 0 and fee_bps, slippage_bps, spread_bps and participation >= 0"
            )
        if not 0 < self.max_seconds <= MAX_SECONDS or self.max_orders < 1:
            raise ValueError(
                f"expected max_seconds above 0 and up to {MAX_SECONDS:g}, and max_orders >= 1; "
                f"found {self.max_seconds:g} and {self.max_orders}"
            )

    def count(self) -> int:
        """Runs of the sweep before equal ones are merged."""
        count = len(self.symbols)
        for values in self.grid.values():
            count *= len(values)
        return count


class RunSpec(RunTerms, frozen=True, kw_only=True):
    """One backtest: a point of the grid on one entry of the symbols."""

    run_id: str
    symbol: str
    params: dict[str, Value]

    @property
    def pairs(self) -> tuple[str, ...]:
        """What the run trades."""
        return tuple(self.symbol.split(","))


class ManifestEntry(msgspec.Struct, frozen=True):
    """One item of the map: which run, where its specification is and where its result goes."""

    run_id: str
    spec_key: str
    result_key: str


class RunManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a result follows from: the same manifest gives the same result."""

    data_snapshot: str
    code_version: str
    spec: RunSpec
    instruments_snapshot: str = ""


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """The one object that a job writes.

    Parameters
    ----------
    status : str
        ``succeeded`` or ``failed``; ``error`` says why it failed.
    bars, first_ns, last_ns : int
        Bars seen, the first one's open and the last one's close, ns since 1970 UTC; 0: none.
    style, rung, realism : str, int, str
        How the strategy was run, how real its fills are, and what they assume, in words.
    findings : tuple of str
        What was wrong with the bars, and masked or flagged.
    orders, fills, rejects : int, int, dict of str to int
        How many; of the rejected ones by reason.
    metrics : dict of str to number or None
        Measures by column of the trials table, and a few more; None: undefined.
    equity : tuple of (int, float)
        (ns since 1970 UTC, quote units) at bar closes, evenly thinned, first and last kept.
    """

    manifest: RunManifest
    status: str
    error: str | None = None
    bars: int = 0
    first_ns: int = 0
    last_ns: int = 0
    style: str = ""
    rung: int = 0
    realism: str = ""
    findings: tuple[str, ...] = ()
    orders: int = 0
    fills: int = 0
    rejects: dict[str, int] = {}
    metrics: dict[str, float | int | None] | None = None
    equity: tuple[tuple[int, float], ...] = ()


class PreparedSweep(msgspec.Struct, frozen=True):
    """Answer of the prepare function; the state machine reads these fields."""

    sweep_id: str
    bucket: str
    manifest_key: str
    count: int


def request_key(sweep_id: str) -> str:
    """Key of a sweep's request."""
    return f"sweeps/{sweep_id}/request.json"


def manifest_key(sweep_id: str) -> str:
    """Key of a sweep's manifest."""
    return f"sweeps/{sweep_id}/manifest.json"


def results_prefix(sweep_id: str) -> str:
    """Prefix of a sweep's result objects; one object a finished run."""
    return f"sweeps/{sweep_id}/results/"


def entry_of(spec: RunSpec) -> ManifestEntry:
    """Return the manifest entry of a run."""
    return ManifestEntry(
        spec.run_id,
        f"sweeps/{spec.sweep_id}/specs/{spec.run_id}.json",
        f"{results_prefix(spec.sweep_id)}{spec.run_id}.json",
    )


def run_id_of(spec: RunSpec) -> str:
    """Return the identity of a run: a hash of everything but its ids, so equal runs are equal.

    128 bits of SHA-256 over the canonical JSON of the other fields.
    """
    content = msgspec.to_builtins(spec)
    del content["run_id"], content["sweep_id"]
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()[:32]


def expand(request: SweepRequest) -> list[RunSpec]:
    """Return one specification a run, symbols outermost; equal points of the grid are merged."""
    names = sorted(request.grid)
    shared = {name: getattr(request, name) for name in RunTerms.__struct_fields__}
    specs: dict[str, RunSpec] = {}
    for symbol in request.symbols:
        for values in itertools.product(*(request.grid[name] for name in names)):
            params = dict(zip(names, values, strict=True))
            draft = RunSpec(run_id="", symbol=symbol, params=params, **shared)
            run_id = run_id_of(draft)
            specs.setdefault(run_id, msgspec.structs.replace(draft, run_id=run_id))
    return list(specs.values())


def prepare(artifacts: ObjectStore, bucket: str, key: str) -> PreparedSweep:
    """Expand the sweep request at ``key``: write each specification, then the manifest.

    Running it again writes the same objects again.

    Raises
    ------
    ConfigError
        There is no such object or it is no sweep request.
    """
    try:
        request = json_decoder(SweepRequest).decode(artifacts.get(key))
    except KeyError as error:
        raise ConfigError(f"sweep request: there is no object {key}") from error
    except (msgspec.MsgspecError, InvalidData) as error:
        raise ConfigError(f"sweep request {key}: {error}") from error
    specs = expand(request)
    entries = [entry_of(spec) for spec in specs]
    for spec, entry in zip(specs, entries, strict=True):
        artifacts.put(entry.spec_key, msgspec.json.encode(spec))
    target = manifest_key(request.sweep_id)
    artifacts.put(target, msgspec.json.encode(entries))
    return PreparedSweep(request.sweep_id, bucket, target, len(entries))


def read_manifest(artifacts: ObjectStore, sweep_id: str) -> list[ManifestEntry]:
    """Return the manifest of a prepared sweep.

    Raises
    ------
    ConfigError
        The sweep was never prepared.
    """
    try:
        data = artifacts.get(manifest_key(sweep_id))
    except KeyError as error:
        raise ConfigError(f"sweep {sweep_id} has no manifest: it was not prepared") from error
    return json_decoder(list[ManifestEntry]).decode(data)


class SweepProgress(msgspec.Struct, frozen=True):
    """How far a sweep is: runs expected, and results that lie in the bucket."""

    expected: int
    finished: int


def progress(artifacts: ObjectStore, sweep_id: str) -> SweepProgress:
    """Count the results of a sweep by listing them; before it is prepared everything is 0."""
    try:
        expected = len(read_manifest(artifacts, sweep_id))
    except ConfigError:
        expected = 0
    return SweepProgress(expected, sum(1 for _ in artifacts.list(results_prefix(sweep_id))))
