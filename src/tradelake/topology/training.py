"""Training: SageMaker's contract with an entry script, and where models are kept."""

from __future__ import annotations

from typing import Final

from tradelake.topology.tables import BARS

SCRIPT: Final = "sagemaker/train.py"
"""Entry script, from the root of the repository."""

# SageMaker's environment variables.
ENV_CHANNEL_TRAIN: Final = "SM_CHANNEL_TRAIN"
ENV_MODEL_DIR: Final = "SM_MODEL_DIR"
ENV_OUTPUT_DATA_DIR: Final = "SM_OUTPUT_DATA_DIR"
ENV_NUM_CPUS: Final = "SM_NUM_CPUS"
ENV_HYPERPARAMETERS: Final = "SM_HPS"
ENV_CHANNELS: Final = "SM_CHANNELS"
ENV_JOB_NAME: Final = "SM_TRAINING_JOB_NAME"

CHANNEL: Final = "train"
CHANNEL_COLUMNS: Final = tuple(
    column
    for column in BARS.columns
    if column.name
    in {"symbol", "timeframe", "ts_event_ns", "open", "high", "low", "close", "volume"}
)
"""Columns of the bars table that training reads; more may be present."""
METRICS_FILE: Final = "metrics.json"
PACKAGE: Final = "model.tar.gz"

# Hyper-parameters that describe the run rather than the model.
RUN_DATA_SNAPSHOT: Final = "data_snapshot"
RUN_CODE_VERSION: Final = "code_version"

# Exit codes of the entry script.
EXIT_OTHER: Final = 1
EXIT_CONFIG: Final = 2
EXIT_INSUFFICIENT: Final = 3
EXIT_INVALID: Final = 4

MODELS_PREFIX: Final = "models/"


def model_key(name: str, version: str) -> str:
    """Key of a packaged model in the artifact bucket.

    >>> model_key("btc-1h", "0a1b2c")
    'models/btc-1h/0a1b2c/model.tar.gz'
    """
    return f"{MODELS_PREFIX}{name}/{version}/{PACKAGE}"
