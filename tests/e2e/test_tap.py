"""The live tap of `tradelake up`, as a shell uses it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path
from queue import Queue

import pytest

from tests.e2e.commands import command, environment, processes_of, run
from tradelake.topology import names

pytestmark = [pytest.mark.timeout(400)]


def said(process: subprocess.Popen[str], pattern: str, timeout_s: float) -> str:
    """Return what the pattern finds in the next lines of output."""
    assert process.stdout is not None
    lines: Queue[str] = Queue()
    stdout = process.stdout

    def read() -> None:
        for line in stdout:
            lines.put(line)

    threading.Thread(target=read, daemon=True).start()
    while True:
        found = re.search(pattern, lines.get(timeout=timeout_s))
        if found:
            return found.group(1)


def test_tap_shows_live_records_of_a_symbol_when_the_machine_is_up(tmp_path: Path):
    with subprocess.Popen(
        command("up", "--synthetic", "--root", tmp_path / "up"),
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as up:
        try:
            url = said(up, f"export {names.ENV_TAP_URL}=(.*)", 180.0)
            done = run(
                *("tap", "BTC/USD", "--limit", 5),
                variables={names.ENV_TAP_URL: url},
                timeout_s=120.0,
            )
            wrong = run("tap", "--url", f"{url}/nowhere")
        finally:
            os.kill(up.pid, signal.SIGTERM)
            up.wait(60)
    assert (done.returncode, done.stderr) == (0, "")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == 5
    assert {(one["venue"], one["symbol"]) for one in records} == {("us", "BTC/USD")}
    assert all(one["ts_ingest"] > 0 for one in records)
    assert wrong.returncode == 1
    assert "404" in wrong.stderr
    assert not processes_of(tmp_path)


def test_up_names_a_busy_port_of_the_tap_before_it_starts_anything(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("up", "--synthetic", "--tap-port", port, "--root", tmp_path / "up")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"tradelake: cannot listen on port {port}: Address already in use"
    ]
    assert not (tmp_path / "up").exists()
