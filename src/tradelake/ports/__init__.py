"""Every Protocol the use cases need. Adapters implement them; contract suites check them."""

from __future__ import annotations

from tradelake.ports.gaps import NOTHING_FILLED, OPEN, ChannelFill, Fill, FillStatus, Gap, GapLedger
from tradelake.ports.lake import (
    BarSource,
    Delivery,
    HotStore,
    InstrumentRows,
    InstrumentSource,
    LakeWriter,
    TickSource,
)
from tradelake.ports.stores import (
    Clock,
    EpochStore,
    Evictor,
    Fence,
    Lease,
    LeaseStore,
    ObjectStore,
    SecretStore,
    StateStore,
    Versioned,
)
from tradelake.ports.streams import AsyncStreamWriter, Outgoing, Received, Spool, StreamWriter
from tradelake.ports.work import (
    Assets,
    ChannelHistory,
    MarketHistory,
    Stage,
    TrainingJob,
    TrainingJobs,
    Workflows,
)

__all__ = [
    "NOTHING_FILLED",
    "OPEN",
    "Assets",
    "AsyncStreamWriter",
    "BarSource",
    "ChannelFill",
    "ChannelHistory",
    "Clock",
    "Delivery",
    "EpochStore",
    "Evictor",
    "Fence",
    "Fill",
    "FillStatus",
    "Gap",
    "GapLedger",
    "HotStore",
    "InstrumentRows",
    "InstrumentSource",
    "LakeWriter",
    "Lease",
    "LeaseStore",
    "MarketHistory",
    "ObjectStore",
    "Outgoing",
    "Received",
    "SecretStore",
    "Spool",
    "Stage",
    "StateStore",
    "StreamWriter",
    "TickSource",
    "TrainingJob",
    "TrainingJobs",
    "Versioned",
    "Workflows",
]
