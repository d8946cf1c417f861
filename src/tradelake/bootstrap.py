"""Settings -> wired use cases: the only chooser of adapters.

Every ``wire_*`` function takes the process environment as a mapping and imports the adapters it
chooses lazily, so a light function never loads pyarrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tradelake.settings import LakeSettings, load_settings

if TYPE_CHECKING:
    from tradelake.lake.catalog import LakeCatalog
    from tradelake.lake.reader import LakeReader
    from tradelake.lake.writer import IcebergWriter

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tradelake.ports import Received
    from tradelake.usecases.validate import Validated


def wire_validate(env: Mapping[str, Any]) -> Callable[[Sequence[Received]], Validated]:
    """Return the ``validate`` function's work: ticks in, clean and quarantine out."""
    from tradelake.adapters.aws.streams import KinesisWriter
    from tradelake.settings import StreamSettings, load_settings
    from tradelake.topology import names, streams
    from tradelake.usecases.validate import validate_records

    environment = load_settings(env, StreamSettings).environment
    clean = KinesisWriter(names.physical(environment, streams.CLEAN.name))
    quarantine = KinesisWriter(names.physical(environment, streams.QUARANTINE.name))
    return lambda received: validate_records(received, clean, quarantine)


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
