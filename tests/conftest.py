"""Fixtures that several packages' tests use."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tradelake.lake.catalog import LakeCatalog
from tradelake.settings import LakeSettings

# A busy machine is no failure: how long an example takes says nothing about the code.
settings.register_profile("tradelake", deadline=None)
settings.load_profile("tradelake")


@pytest.fixture
def catalog(tmp_path):
    """A lake in a folder, with every table of the topology."""
    settings = LakeSettings(
        environment="test",
        catalog_uri=f"sqlite:///{tmp_path}/catalog.db",
        warehouse=str(tmp_path / "warehouse"),
    )
    lake = LakeCatalog(settings)
    lake.ensure_tables()
    yield lake
    lake.close()
