from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tradelake.local.provision import Endpoints, Plan, Provisioned, provision
from tradelake.topology import names

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
SLOTS = 2
RUN = """
import os, sys
from pathlib import Path
from tradelake.errors import ConfigError
from tradelake.local.emulator.options import EmulatorOptions
from tradelake.local.emulator.server import run_emulator
parent = os.getppid() if sys.argv[3] == "follow" else None
try:
    options = EmulatorOptions(
        Path(sys.argv[1]), port=int(sys.argv[2]), slots=2, parent_pid=parent
    )
    run_emulator(options)
except ConfigError as error:
    sys.exit(f"ConfigError: {error}")
"""


def emulator_command(root: Path, port: int = 0, follow: str = "no") -> list[str]:
    return [sys.executable, "-c", RUN, str(root), str(port), follow]


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the real handlers of the fan-out, and stubs for the rest."""
    root = tmp_path_factory.mktemp("emulator") / "project"
    shutil.copytree(HERE / "project", root)
    for name in ("prepare_backtests", "collect_backtests"):
        shutil.copytree(REPOSITORY / "functions" / name, root / "functions" / name)
    shutil.copytree(REPOSITORY / "containers/backtest", root / "containers/real_backtest")
    return root


@dataclass(frozen=True)
class Account:
    """A running emulator with a provisioned environment."""

    plan: Plan
    made: Provisioned

    def client(self, service: str):
        return self.plan.client(service)


@pytest.fixture(scope="session")
def url(root: Path) -> Iterator[str]:
    kept = os.environ.get("NUMBA_CACHE_DIR", str(REPOSITORY / "build/numba"))
    environment = {**os.environ, "AWS_PROFILE": "a-real-account", "NUMBA_CACHE_DIR": kept}
    with subprocess.Popen(
        emulator_command(root, follow="follow"),
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="session")
def account(url: str, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Account:
    lake = tmp_path_factory.mktemp("lake")
    variables = {
        names.ENV_CATALOG_URI: f"sqlite:///{lake}/catalog.db",
        names.ENV_WAREHOUSE: f"file://{lake}/warehouse",
    }
    plan = Plan("test", Endpoints(url, None), root, variables)
    return Account(plan, provision(plan))


@pytest.fixture
def aws(account: Account, monkeypatch: pytest.MonkeyPatch) -> Account:
    """The account, with this process' own boto3 clients pointed at it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", account.plan.endpoints.aws)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return account


def eventually(check: Callable[[], object], timeout_s: float = 60.0) -> object:
    """Return the first true answer of another process."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = check()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing came within {timeout_s} s")


def gone(pid: int) -> bool:
    """Whether a process does not run any more (nobody may have waited for it)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
