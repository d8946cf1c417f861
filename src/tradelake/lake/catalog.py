"""Opens the Iceberg catalog and makes the tables of the topology."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.table import Table as IcebergTable

from tradelake.errors import ConfigError
from tradelake.lake.schemas import iceberg_schema, partition_spec
from tradelake.settings import LakeSettings
from tradelake.topology import names
from tradelake.topology.tables import TABLES, Table

_PROPERTIES: Final = {
    "format-version": "2",
    # A rebased append would double rows: on conflict the writer itself reloads and checks again.
    "commit.retry.num-retries": "0",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "write.parquet.compression-codec": "zstd",
}


class LakeCatalog:
    """The Iceberg tables of one environment.

    Parameters
    ----------
    settings : LakeSettings
        ``catalog_uri`` is ``sqlite:///<file>`` (one machine) or ``glue`` (AWS); ``warehouse`` a
        folder or ``s3://``.

    Raises
    ------
    ConfigError
        The catalog cannot be opened.
    """

    def __init__(self, settings: LakeSettings) -> None:
        self.namespace = names.iceberg_namespace(settings.environment)
        self._catalog = _open(settings)

    def ensure_tables(self) -> None:
        """Create the namespace and every table of the topology that is missing."""
        for table in TABLES:
            self.ensure(table)

    def ensure(self, table: Table) -> IcebergTable:
        """Return the Iceberg table, made when it is missing."""
        with suppress(NoSuchTableError):
            return self.load(table)
        with suppress(NamespaceAlreadyExistsError):
            self._catalog.create_namespace(self.namespace)
        try:
            return self._catalog.create_table(
                (self.namespace, table.name),
                schema=iceberg_schema(table),
                partition_spec=partition_spec(table),
                properties=_PROPERTIES,
            )
        except TableAlreadyExistsError:
            return self.load(table)

    def close(self) -> None:
        """Let go of the catalog's connections."""
        self._catalog.close()

    def load(self, table: Table) -> IcebergTable:
        """Return the Iceberg table at its newest metadata."""
        return self._catalog.load_table((self.namespace, table.name))


def _open(settings: LakeSettings) -> Catalog:
    if settings.catalog_uri.startswith("sqlite:///"):
        from pyiceberg.catalog.sql import SqlCatalog

        file = Path(settings.catalog_uri.removeprefix("sqlite:///"))
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            folder = Path(settings.warehouse.removeprefix("file://"))
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"the lake's folder cannot be made: {error}") from error
        return SqlCatalog(
            "lake",
            uri=settings.catalog_uri,
            # Not as_uri(): pyiceberg takes the escapes of blanks and accents for names.
            warehouse=f"file://{folder.absolute()}",
            pool_pre_ping="false",
        )
    if settings.catalog_uri == "glue":
        from pyiceberg.catalog.glue import GlueCatalog

        return GlueCatalog("lake", warehouse=settings.warehouse)
    raise ConfigError(
        f"{names.ENV_CATALOG_URI}: expected sqlite:///<file> or glue, "
        f"found {settings.catalog_uri!r}"
    )
