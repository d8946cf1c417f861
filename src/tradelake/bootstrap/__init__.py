"""Settings -> wired use cases: the only chooser of adapters.

Every ``wire_*`` function takes the process environment as a mapping and imports the adapters it
chooses lazily, so a light function never loads pyarrow.
"""

from tradelake.bootstrap.gaps import (
    wire_backfill,
    wire_gap_ledger,
    wire_rebuild_bars,
    wire_rebuild_parts,
)
from tradelake.bootstrap.ingester import wire_ingester
from tradelake.bootstrap.lake import (
    wire_lake_catalog,
    wire_lake_columns,
    wire_lake_reader,
    wire_lake_writer,
    wire_quarantine,
    wire_replay,
)
from tradelake.bootstrap.research import (
    wire_artifacts,
    wire_backtest,
    wire_collect_backtests,
    wire_history,
    wire_prepare_backtests,
    wire_recorder,
    wire_training,
    wire_workflows,
)
from tradelake.bootstrap.stream import (
    wire_aggregate,
    wire_hot,
    wire_hot_store,
    wire_neighbours,
    wire_transform,
    wire_validate,
)

__all__ = [
    "wire_aggregate",
    "wire_artifacts",
    "wire_backfill",
    "wire_backtest",
    "wire_collect_backtests",
    "wire_gap_ledger",
    "wire_history",
    "wire_hot",
    "wire_hot_store",
    "wire_ingester",
    "wire_lake_catalog",
    "wire_lake_columns",
    "wire_lake_reader",
    "wire_lake_writer",
    "wire_neighbours",
    "wire_prepare_backtests",
    "wire_quarantine",
    "wire_rebuild_bars",
    "wire_rebuild_parts",
    "wire_recorder",
    "wire_replay",
    "wire_training",
    "wire_transform",
    "wire_validate",
    "wire_workflows",
]
