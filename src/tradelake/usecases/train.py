"""Trains a model on bars of the lake and puts it into the registry."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tradelake.errors import ConfigError
from tradelake.models.metadata import Metadata
from tradelake.models.packaging import read_metadata
from tradelake.ports import BarSource, ObjectStore, TrainingJob, TrainingJobs
from tradelake.topology.training import RUN_CODE_VERSION, RUN_DATA_SNAPSHOT, model_key

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
VERSION_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A model in the registry.

    Attributes
    ----------
    name, version : str
        The version is a hash of the package: the same training again is the same version.
    key : str
        Of ``model.tar.gz`` in the artifact bucket.
    metadata : Metadata
        What it says about itself.
    """

    name: str
    version: str
    key: str
    metadata: Metadata


def train_model(
    name: str,
    symbols: Sequence[str],
    timeframe: str,
    *,
    bars: BarSource,
    jobs: TrainingJobs,
    artifacts: ObjectStore,
    code_version: str,
    start_ns: int | None = None,
    end_ns: int | None = None,
    hyperparameters: Mapping[str, object] | None = None,
) -> RegisteredModel:
    """Train on bars with ``start_ns <= ts_event < end_ns`` and return what was registered.

    Parameters
    ----------
    name : str
        Of the model: small letters, digits and hyphens.
    symbols : sequence of str
        Pairs; one model learns from all of them.
    timeframe : str
        Of the bars.
    bars, jobs, artifacts
        Where bars come from, what trains, where the package goes.
    code_version : str
        Kept in the package.
    start_ns, end_ns : int, optional
        Bounds; None is open.
    hyperparameters : mapping, optional
        Of :class:`tradelake.models.training.Hyperparameters`; what is absent takes its default.

    Raises
    ------
    ConfigError
        Bad name, no symbol, or a bad hyper-parameter.
    InsufficientData
        No bars, or too few.
    InvalidData
        The bars break a rule.
    """
    if _NAME.fullmatch(name) is None:
        raise ConfigError(
            f"model name: expected up to 63 small letters, digits and hyphens; found {name!r}"
        )
    if not symbols:
        raise ConfigError(f"model {name}: expected at least one symbol")
    series = [bars.bars(symbol, timeframe, start_ns, end_ns) for symbol in symbols]
    snapshot = ",".join(sorted({found.snapshot_id for found in series}))
    told = {key: str(value) for key, value in (hyperparameters or {}).items()}
    told |= {RUN_DATA_SNAPSHOT: snapshot, RUN_CODE_VERSION: code_version}
    package = jobs.train(TrainingJob(name, tuple(series), told))
    version = hashlib.sha256(package).hexdigest()[:VERSION_LENGTH]
    registered = RegisteredModel(name, version, model_key(name, version), read_metadata(package))
    artifacts.put(registered.key, package)
    return registered
