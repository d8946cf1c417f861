"""Runs the real command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment(**more: str) -> dict[str, str]:
    """This process' variables without those that mean something to the product or to AWS."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "TRADELAKE_", "APCA_"))
    }
    return kept | more


def command(*arguments: object) -> list[str]:
    """The command line as a user's shell would start it."""
    return [sys.executable, "-P", "-m", "tradelake.cli", *map(str, arguments)]


def run(
    *arguments: object,
    cwd: Path | None = None,
    variables: Mapping[str, str] | None = None,
    timeout_s: float = 120.0,
) -> subprocess.CompletedProcess[str]:
    """Run ``tradelake`` with arguments to its end."""
    return subprocess.run(
        command(*arguments),
        env=environment(**(variables or {})),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that work on a folder: named in arguments or environment."""
    needle = str(folder).encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            told = (entry / "cmdline").read_bytes()
            if needle in told or needle in (entry / "environ").read_bytes():
                found.append(f"{entry.name} {told.replace(bytes(1), b' ').decode()}")
        except OSError:
            continue
    return found


def wait_for_stream_server(owner: subprocess.Popen[str], folder: Path) -> int:
    """Return the process id of the stream server once the owner started it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and owner.poll() is None:
        for line in processes_of(folder):
            pid, _, told = line.partition(" ")
            if "tradelake.local.serve streams" in told:
                return int(pid)
        time.sleep(0.05)
    raise AssertionError(f"no stream server of {folder}")


def wait_until_gone(folder: Path, timeout_s: float = 20.0) -> None:
    """Return when no process works on a folder."""
    deadline = time.monotonic() + timeout_s
    while left := processes_of(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
