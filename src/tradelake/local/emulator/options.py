"""What an emulator process is started with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

REGION: Final = "us-east-1"
ACCOUNT: Final = "123456789012"
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    # Nor may the user's files name a profile, or an endpoint for one service.
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}

NOT_INHERITED: Final = ("AWS_", "MOTO_")


def _cpus() -> int:
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class EmulatorOptions:
    """Options of :func:`tradelake.local.emulator.server.run_emulator`.

    Parameters
    ----------
    project_root : Path
        The checkout: a function's handler ``functions/<folder>/handler.handler`` is looked up below
        it.
    host, port : str, int
        Where to listen; port 0 takes a free one, which the ready line names.
    slots : int
        How many batch jobs run at once; the others wait as RUNNABLE. Also the warm workers of one
        function.
    child_environment : Mapping of str to str
        Variables for every job and function beside this process' own: the Kinesis endpoint, for
        instance. Variables of the job definition or function win.
    parent_pid : int or None
        Stop when this process is no longer the parent; None: run until a signal comes.
    """

    project_root: Path
    host: str = "127.0.0.1"
    port: int = 0
    slots: int = field(default_factory=_cpus)
    child_environment: Mapping[str, str] = field(default_factory=dict)
    parent_pid: int | None = None


def code_cache(environment: Mapping[str, str], project_root: Path) -> dict[str, str]:
    """Return the variable that says where compiled functions keep their machine code."""
    name = "NUMBA_CACHE_DIR"
    return {name: environment.get(name, str(project_root / "build/numba"))}


def child_environment(
    inherited: Mapping[str, str], options: EmulatorOptions, url: str
) -> dict[str, str]:
    """Return the environment of a job or function before its own variables.

    Every inherited ``AWS_*`` variable is left out, so nothing local can reach a real account.

    >>> options = EmulatorOptions(Path("."), child_environment={"A": "1"})
    >>> found = child_environment({"AWS_PROFILE": "prod", "HOME": "/h"}, options, "http://127.0.0.1:1")
    >>> "AWS_PROFILE" in found, found["HOME"], found["A"], found["AWS_ENDPOINT_URL"]
    (False, '/h', '1', 'http://127.0.0.1:1')
    """
    kept = {name: value for name, value in inherited.items() if not name.startswith(NOT_INHERITED)}
    return kept | {
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONUNBUFFERED": "1",
        # A job has one virtual processor; numpy's threads would only fight over the real ones.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        **code_cache(kept, options.project_root),
        **CREDENTIALS,
        **options.child_environment,
    }
