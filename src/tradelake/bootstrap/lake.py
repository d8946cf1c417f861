"""The lake, and what reads quarantine back from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tradelake.bootstrap.stream import quality_rules_of
from tradelake.settings import LakeSettings, load_settings

if TYPE_CHECKING:
    from tradelake.lake.catalog import LakeCatalog
    from tradelake.lake.quarantine import LakeQuarantine
    from tradelake.lake.reader import LakeReader
    from tradelake.lake.tick_columns import LakeColumns
    from tradelake.lake.writer import IcebergWriter
    from tradelake.usecases.replay_quarantine import Replay


def wire_lake_catalog(environment: Mapping[str, str]) -> LakeCatalog:
    """Return the lake's catalog, as the settings say."""
    from tradelake.lake.catalog import LakeCatalog

    return LakeCatalog(load_settings(environment, LakeSettings))


def wire_lake_writer(environment: Mapping[str, str]) -> IcebergWriter:
    """Return the writer of the lake."""
    from tradelake.lake.writer import IcebergWriter

    return IcebergWriter(wire_lake_catalog(environment))


def wire_lake_reader(environment: Mapping[str, str]) -> LakeReader:
    """Return the reader of the lake."""
    from tradelake.lake.reader import LakeReader

    return LakeReader(wire_lake_catalog(environment))


def wire_lake_columns(environment: Mapping[str, str]) -> LakeColumns:
    """Return what reads ticks of the lake as columns."""
    from tradelake.lake.tick_columns import LakeColumns

    return LakeColumns(wire_lake_catalog(environment))


def wire_quarantine(environment: Mapping[str, str]) -> LakeQuarantine:
    """Return quarantine, as the lake holds it."""
    from tradelake.lake.quarantine import LakeQuarantine

    return LakeQuarantine(wire_lake_reader(environment))


def wire_replay(environment: Mapping[str, str]) -> Replay:
    """Return what sends quarantined records again that pass today's rules."""
    from tradelake.adapters.aws.epochs import DynamoEpochs
    from tradelake.adapters.aws.streams import KinesisWriter
    from tradelake.settings import ValidateSettings, load_settings
    from tradelake.topology import names, stores, streams
    from tradelake.usecases.replay_quarantine import Replay

    settings = load_settings(environment, ValidateSettings)
    return Replay(
        wire_quarantine(environment),
        KinesisWriter(names.physical(settings.environment, streams.BACKFILL.name)),
        DynamoEpochs(names.physical(settings.environment, stores.LEASES.name)),
        quality_rules_of(settings.quality_rules),
    )
