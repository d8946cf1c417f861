"""A job that writes a result without an engine, or breaks where its parameters say so.

Of other strategies than ``stub`` it is the real job.
"""

import os
import runpy
import sys
from pathlib import Path

import msgspec

from tradelake.adapters.aws.objects import S3Objects
from tradelake.topology import names
from tradelake.usecases.sweeps import RunManifest, RunResult, RunSpec

artifacts = S3Objects(os.environ[names.ENV_ARTIFACT_BUCKET])
spec = msgspec.json.decode(artifacts.get(os.environ[names.ENV_BACKTEST_SPEC]), type=RunSpec)
if spec.strategy != "stub":
    real = Path(__file__).parents[1] / "real_backtest/main.py"
    runpy.run_path(str(real), run_name="__main__")  # ends the process
if spec.params["n"] == 7:
    sys.exit(3)
manifest = RunManifest(data_snapshot="none", code_version="stub", spec=spec)
result = RunResult(manifest=manifest, status="succeeded", bars=spec.params["n"])
artifacts.put(os.environ[names.ENV_RESULT_KEY], msgspec.json.encode(result))
