"""A model as one file: ``model.tar.gz`` with xgboost's own UBJSON and a JSON description.

Never a pickle.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from tradelake.decoding import json_decoder
from tradelake.errors import InvalidData
from tradelake.market.arrays import FloatArray
from tradelake.models.booster import Booster
from tradelake.models.metadata import Metadata, check_features

MODEL_FILE: Final = "model.ubj"
METADATA_FILE: Final = "metadata.json"
FILES: Final = (MODEL_FILE, METADATA_FILE)
MAX_BYTES: Final = 512 * 1024 * 1024
"""Largest unpacked member that is read."""


@dataclass(frozen=True, slots=True, eq=False)
class PackagedModel:
    """A classifier with what it says about itself."""

    metadata: Metadata
    booster: Booster

    @property
    def feature_set(self) -> str:
        """Name of the feature set it expects."""
        return self.metadata.feature_set

    @property
    def train_end_ns(self) -> int:
        """End of the last label it was trained on, ns since 1970 UTC."""
        return self.metadata.train_end_ns

    def predict_proba(self, features: FloatArray) -> FloatArray:
        """Return the probability that the label is 1, shape (n,).

        Parameters
        ----------
        features : FloatArray, shape (n, k)
            Columns as in ``metadata.features``. NaN is taken as missing, infinity refused.

        Raises
        ------
        InvalidData
            Rule ``features``: another number of columns, or an infinite value.
        """
        expected = len(self.metadata.features)
        if features.ndim != 2 or features.shape[1] != expected:
            raise InvalidData("features", f"expected shape (n, {expected}); found {features.shape}")
        if np.isinf(features).any():
            raise InvalidData("features", "expected finite features or NaN; found infinity")
        if features.shape[0] == 0:
            return np.empty(0)
        return np.asarray(self.booster.inplace_predict(features), dtype=np.float64)


def pack(model: bytes, metadata: Metadata) -> bytes:
    """Return ``model.tar.gz`` of a model in UBJSON; equal input gives equal bytes."""
    return pack_files({MODEL_FILE: model, METADATA_FILE: encode_metadata(metadata)})


def encode_metadata(metadata: Metadata) -> bytes:
    """Return the description as JSON, readable by people too."""
    return msgspec.json.format(msgspec.json.encode(metadata), indent=2)


def pack_files(files: Mapping[str, bytes]) -> bytes:
    """Return a tar.gz of files by name; equal input gives equal bytes."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(files[name]), 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
    return gzip.compress(plain.getvalue(), mtime=0)


def load(package: bytes) -> PackagedModel:
    """Return the model in a ``model.tar.gz``.

    Raises
    ------
    InvalidData
        Rule ``model_package``: not such an archive, members other than two plain files, or
        contents that cannot be read.
    ConfigError
        Its features are not those this code computes.
    """
    files = _read(package)
    try:
        metadata = json_decoder(Metadata).decode(files[METADATA_FILE])
    except msgspec.MsgspecError as error:
        raise InvalidData("model_package", f"{METADATA_FILE}: {error}") from error
    check_features(metadata)
    return PackagedModel(metadata, _booster(files[MODEL_FILE], metadata))


def read_metadata(package: bytes) -> Metadata:
    """Return the description in a ``model.tar.gz`` without loading the model.

    Raises
    ------
    InvalidData
        Rule ``model_package``.
    """
    try:
        return json_decoder(Metadata).decode(_read(package)[METADATA_FILE])
    except msgspec.MsgspecError as error:
        raise InvalidData("model_package", f"{METADATA_FILE}: {error}") from error


def _read(package: bytes) -> dict[str, bytes]:
    """Members by name, nothing written to disk.

    Names, kinds and sizes are checked before reading.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if name in ("", ".") and member.isdir():
                    continue
                if name not in FILES or not member.isreg() or name in found:
                    raise InvalidData(
                        "model_package",
                        f"expected plain files {' and '.join(FILES)}; found {member.name!r}",
                    )
                if member.size > MAX_BYTES:
                    raise InvalidData(
                        "model_package",
                        f"{name}: expected at most {MAX_BYTES} bytes; found {member.size}",
                    )
                content = archive.extractfile(member)
                assert content is not None
                found[name] = content.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InvalidData("model_package", f"expected a tar.gz: {error}") from error
    missing = [name for name in FILES if name not in found]
    if missing:
        raise InvalidData("model_package", f"expected {FILES}; {missing[0]} is absent")
    return found


def _booster(model: bytes, metadata: Metadata) -> Booster:
    import xgboost

    booster: Booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(model))
    except xgboost.core.XGBoostError as error:
        raise InvalidData("model_package", f"{MODEL_FILE}: {str(error).splitlines()[0]}") from error
    names = booster.feature_names
    if booster.num_features() != len(metadata.features) or (
        names is not None and tuple(names) != metadata.features
    ):
        raise InvalidData(
            "model_package", f"{MODEL_FILE} has features {names}; {METADATA_FILE} says otherwise"
        )
    return booster
